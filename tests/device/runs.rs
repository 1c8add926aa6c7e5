//! Small runs on the device, and how they are compared with the CPU's.

use ddppo::config::Config;
use ddppo::device::graph::ProductPrecision;
use ddppo::device::pjrt::CompileEffort;
use ddppo::run::Record;
use ddppo::run::snapshot::{Data, Snapshot};
use ddppo::train::{Lockstep as Runs, Trainer};

use crate::plugin::device;
use crate::small_runs;

/// A method's configuration on a task with other settings.
pub fn config(algorithm: &str, task: &str, settings: &[&str], seed: u64) -> Config {
    let preset = ddppo::methods::preset(algorithm, task).unwrap();
    let seed = format!("seed={seed}");
    let settings: Vec<&str> = settings.iter().copied().chain([&*seed]).collect();
    small_runs::with(&preset, &settings)
}

/// A group of runs.
pub struct Lockstep {
    runs: Runs,
    count: usize,
}

impl Lockstep {
    fn of(trainers: Vec<Trainer>, effort: CompileEffort) -> Self {
        let count = trainers.len();
        let device = device().clone().compiled_with(effort);
        let runs = Runs::new(trainers, device, ProductPrecision::Single).unwrap();
        Self { runs, count }
    }

    /// Programs are compiled with little effort: such runs are compared with one another.
    pub fn new(configs: Vec<Config>) -> Self {
        Self::with_effort(configs, CompileEffort::Little)
    }

    pub fn with_effort(configs: Vec<Config>, effort: CompileEffort) -> Self {
        Self::of(configs.iter().map(small_runs::trainer).collect(), effort)
    }

    /// As [`Lockstep::new`].
    pub fn resume(configs: Vec<Config>, snapshots: Vec<Snapshot>) -> Self {
        Self::resume_with(configs, snapshots, CompileEffort::Little)
    }

    fn resume_with(configs: Vec<Config>, snapshots: Vec<Snapshot>, effort: CompileEffort) -> Self {
        let runs = configs.into_iter().zip(snapshots);
        Self::of(runs.map(|(config, snapshot)| restored(config, snapshot)).collect(), effort)
    }

    /// Advances the first run to `steps`, and others that do not wait; each run's records without their times.
    pub fn advance(&mut self, steps: u64) -> Vec<Vec<Record>> {
        let mut records = vec![Vec::new(); self.count];
        while self.runs.run(0).unwrap().step() < steps {
            for (records, outcome) in records.iter_mut().zip(self.runs.advance().unwrap()) {
                records.extend(outcome.map(Result::unwrap).into_iter().flatten());
            }
        }
        records.iter_mut().flatten().for_each(|record| record.time.clear());
        records
    }

    pub fn snapshots(&mut self) -> Vec<Snapshot> {
        self.runs.fetch().unwrap();
        (0..self.count).map(|i| self.runs.run_mut(i).unwrap().snapshot()).collect()
    }
}

fn restored(config: Config, snapshot: Snapshot) -> Trainer {
    let task = ddppo::env::task(config.task()).unwrap();
    Trainer::restore(config, task, snapshot).unwrap()
}

/// Trains on the CPU to `steps`, and makes one more step there and one on the device: all that is learned, the moments with it, is to be
/// the same to 1e-5, and so is what the step tells.
pub fn compare_a_step(algorithm: &str, task: &str, settings: &[&str], steps: u64) {
    compare(algorithm, task, settings, steps, [1, 2], |_| true);
}

/// [`compare_a_step`] of the runs of two seeds.
pub fn compare_runs(algorithm: &str, task: &str, settings: &[&str], steps: u64, seeds: [u64; 2]) {
    compare(algorithm, task, settings, steps, seeds, |_| true);
}

/// [`compare_a_step`] of the models and what was imagined in them: the updates of policy and critic are compared in steps without a training.
pub fn compare_a_training(algorithm: &str, task: &str, settings: &[&str], steps: u64) {
    let of = |name: &str| name.contains("model") || name.contains("imagined") || name == "rollout";
    compare(algorithm, task, settings, steps, [1, 2], of);
}

/// Compares what has a name of which `of` holds, array or kind of record.
fn compare(
    algorithm: &str,
    task: &str,
    settings: &[&str],
    steps: u64,
    seeds: [u64; 2],
    of: fn(&str) -> bool,
) {
    let of_seed = |seed: u64| {
        let config = config(algorithm, task, settings, seed);
        let mut trainer = small_runs::trainer(&config);
        small_runs::advance(&mut trainer, steps - 1);
        (config, trainer.snapshot())
    };
    let (configs, snapshots): (Vec<_>, Vec<_>) = seeds.map(of_seed).into_iter().unzip();
    let mut device = Lockstep::resume_with(configs.clone(), snapshots.clone(), CompileEffort::Full);
    let records = device.advance(steps);
    let found = device.snapshots();
    for (run, (config, snapshot)) in configs.into_iter().zip(snapshots).enumerate() {
        let mut cpu = restored(config, snapshot.clone());
        let expected_records = small_runs::advance(&mut cpu, steps);
        let expected = cpu.snapshot();
        let what = format!("{algorithm} on {task}, run {run}");
        compare_snapshots(&what, &found[run], &expected, &snapshot, of);
        for (found, expected) in records[run].iter().zip(&expected_records) {
            if !of(found.kind) {
                continue;
            }
            for (key, expected) in &expected.values {
                let (found, expected) = (found.values[key].as_f64(), expected.as_f64());
                let (Some(found), Some(expected)) = (found, expected) else { continue };
                let close = (found - expected).abs() <= 1e-4 * (1.0 + expected.abs());
                assert!(close, "{what}, `{key}`: {found} for {expected}");
            }
        }
    }
}

/// Every number is as on the CPU to 1e-5, and what is learned has changed.
fn compare_snapshots(
    what: &str,
    found: &Snapshot,
    expected: &Snapshot,
    before: &Snapshot,
    of: fn(&str) -> bool,
) {
    let names: Vec<&String> = expected.tensors.keys().collect();
    assert_eq!(names, found.tensors.keys().collect::<Vec<_>>(), "{what}");
    assert_eq!(found.values, expected.values, "{what}");
    let mut changed = 0;
    for name in names.into_iter().filter(|name| of(name)) {
        let all = [found, expected, before].map(|snapshot| &snapshot.tensors[name].data);
        let [Some(found), Some(expected), Some(before)] = all.map(numbers) else {
            assert_eq!(all[0], all[1], "{what}: {name}");
            continue;
        };
        assert_eq!(found.len(), expected.len(), "{what}: {name}");
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let close = (found - expected).abs() <= 1e-5 * (1.0 + expected.abs());
            assert!(close, "{what}: {name}[{i}] is {found}, not {expected}");
        }
        changed += usize::from(expected != before && name.contains("weight"));
    }
    assert!(changed > 10, "{what}: {changed} arrays have changed");
}

/// Floating-point numbers; `None` of others, random streams for example, which are to be the same bits.
fn numbers(data: &Data) -> Option<Vec<f64>> {
    match data {
        Data::F32(numbers) => Some(numbers.iter().map(|&x| f64::from(x)).collect()),
        Data::F64(numbers) => Some(numbers.clone()),
        _ => None,
    }
}
