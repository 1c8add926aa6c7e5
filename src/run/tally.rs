//! What a run tells of its learning: means and counts since the last `train` record, seconds by phase, and records of single events.

use std::borrow::Cow;
use std::time::Instant;

use super::entries::Entries;
use super::metrics::Record;
use super::snapshot::SnapshotError;

type Name = Cow<'static, str>;

/// A sum and how many numbers it has.
#[derive(Clone, Debug, PartialEq)]
struct Sum {
    name: Name,
    /// Over all environment steps before this one.
    sum: f64,
    /// Over this environment step's: added up first, so that long sums lose less.
    fresh: f64,
    count: u64,
}

/// Everything that is told of learning. Nothing is allocated for a name that has been told before.
#[derive(Debug, Default)]
pub struct Tally {
    means: Vec<Sum>,
    counts: Vec<Sum>,
    /// Wall-clock seconds: no part of the state.
    seconds: Vec<(&'static str, f64)>,
    records: Vec<Record>,
}

fn entry<'a>(sums: &'a mut Vec<Sum>, name: &'static str) -> &'a mut Sum {
    let at = sums.iter().position(|sum| sum.name == name).unwrap_or_else(|| {
        sums.push(Sum { name: Cow::Borrowed(name), sum: 0.0, fresh: 0.0, count: 0 });
        sums.len() - 1
    });
    &mut sums[at]
}

impl Tally {
    /// Tells a number, of which the next record has the mean.
    pub fn mean(&mut self, name: &'static str, value: f64) {
        let sum = entry(&mut self.means, name);
        sum.fresh += value;
        sum.count += 1;
    }

    /// Ends an environment step.
    pub fn end_step(&mut self) {
        for Sum { sum, fresh, .. } in &mut self.means {
            *sum += std::mem::take(fresh);
        }
    }

    /// Counts events, of which the next record has the number.
    pub fn count(&mut self, name: &'static str, more: u64) {
        entry(&mut self.counts, name).count += more;
    }

    /// Tells a record of its own.
    pub fn record(&mut self, record: Record) {
        self.records.push(record);
    }

    /// Runs `work` and adds its seconds to a phase.
    pub fn timed<R>(&mut self, phase: &'static str, work: impl FnOnce() -> R) -> R {
        let started = Instant::now();
        let result = work();
        self.add_seconds(phase, started.elapsed().as_secs_f64());
        result
    }

    /// Adds seconds to a phase.
    pub fn add_seconds(&mut self, phase: &'static str, seconds: f64) {
        match self.seconds.iter_mut().find(|(name, _)| *name == phase) {
            Some((_, sum)) => *sum += seconds,
            None => self.seconds.push((phase, seconds)),
        }
    }

    /// The records told since the last call.
    pub fn take_records(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records)
    }

    /// The `train` record, with the present values of `gauges`; sums and seconds start anew. A mean of nothing is left out.
    pub fn take_train_record(&mut self, step: u64, gauges: &[(&'static str, f64)]) -> Record {
        self.end_step();
        let mut record = Record::new("train", step);
        for Sum { name, sum, count, .. } in &mut self.means {
            if *count > 0 {
                record.put(name, *sum / *count as f64);
            }
            (*sum, *count) = (0.0, 0);
        }
        for &(name, value) in gauges {
            record.put(name, value);
        }
        for Sum { name, count, .. } in &mut self.counts {
            record.put_count(name, *count);
            *count = 0;
        }
        for (phase, seconds) in &mut self.seconds {
            record.put_seconds(phase, *seconds);
            *seconds = 0.0;
        }
        record
    }

    /// Saves or restores what has been told since the last record.
    ///
    /// # Errors
    /// When an entry is missing or of another type.
    pub fn visit(&mut self, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        self.end_step();
        let Self { means, counts, seconds: _, records: _ } = self;
        for (key, sums) in [("tally/means", means), ("tally/counts", counts)] {
            let mut names: Vec<(Name, u64)> =
                sums.iter().map(|sum| (sum.name.clone(), sum.count)).collect();
            entries.value(key, &mut names)?;
            let mut numbers: Vec<f64> = sums.iter().map(|sum| sum.sum).collect();
            entries.vector(&format!("{key}/sums"), &[], &mut numbers)?;
            if numbers.len() != names.len() {
                return Err(SnapshotError::invalid(key, "a name for each sum"));
            }
            let all = names.into_iter().zip(numbers);
            *sums = all.map(|((name, count), sum)| Sum { name, sum, fresh: 0.0, count }).collect();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::Snapshot;
    use super::*;

    #[test]
    fn what_is_told_is_averaged_counted_saved_and_forgotten() {
        let mut tally = Tally::default();
        tally.mean("loss", 1.0);
        tally.mean("loss", 4.0);
        tally.mean("broken", f64::NAN);
        tally.count("updates", 2);
        let mut snapshot = Snapshot::new();
        tally.visit(&mut Entries::Save(&mut snapshot)).unwrap();
        let mut other = Tally::default();
        other.visit(&mut Entries::Restore(&mut snapshot)).unwrap();
        snapshot.finish().unwrap();
        for tally in [&mut tally, &mut other] {
            let record = tally.take_train_record(9, &[("alpha", 0.5)]);
            let seen = ["loss", "alpha", "updates"].map(|name| record.get(name));
            assert_eq!(seen, [Some(2.5), Some(0.5), Some(2.0)]);
            assert!(record.get("broken").is_some_and(f64::is_nan));
            let empty = tally.take_train_record(18, &[]);
            assert_eq!((empty.get("loss"), empty.get("updates")), (None, Some(0.0)));
        }
    }
}
