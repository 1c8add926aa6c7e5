//! One process's work on several runs, which learn on one device: each has a folder of its own, as if it were alone. Runs that can be are in
//! one batch; batches advance beside each other, each at its own pace, so that one acts and draws while the device works for another.

use std::time::Instant;

use crate::config::Config;
use crate::device::graph::ProductPrecision;
use crate::device::pjrt::{Device, DeviceError};
use crate::train::{Lockstep, Trainer, lockstep};

use super::SessionError;
use super::run::{pool, worker_threads};
use super::signals::StopRequest;
use super::sink::{End, Sink};
use super::start::Ready;
use super::work::{Observer, SessionOutcome, Told, Work};

/// A run of a group: what [`super::Session`] is of a run alone.
pub struct GroupMember {
    /// The run.
    pub ready: Ready,
    /// Told what happens.
    pub sinks: Vec<Box<dyn Sink>>,
    /// Asked after each step.
    pub observers: Vec<Box<dyn Observer>>,
}

/// Which runs make a batch, by their places among those given: a list for each batch.
pub fn batches(configs: &[Config]) -> Vec<Vec<usize>> {
    let mut all: Vec<Vec<usize>> = Vec::new();
    for (number, config) in configs.iter().enumerate() {
        let alike =
            |batch: &&mut Vec<usize>| lockstep::difference(&configs[batch[0]], config).is_none();
        match all.iter_mut().find(alike) {
            Some(batch) => batch.push(number),
            None => all.push(vec![number]),
        }
    }
    all
}

/// Runs that are ready, and the device that learns for them.
pub struct GroupSession {
    /// The runs. Those that are ahead wait for the others.
    pub members: Vec<GroupMember>,
    /// Learns.
    pub device: Device,
    /// Of its products.
    pub precision: ProductPrecision,
    /// Physics' threads; all cores if `None`.
    pub threads: Option<u16>,
}

/// A run at work, and how its session ended.
struct Running {
    /// Among all runs of the session.
    number: usize,
    work: Work,
    /// Its place in the lockstep; `None` where it was finished before.
    place: Option<usize>,
    step: u64,
    result: Option<Result<End, SessionError>>,
}

impl Running {
    /// What went wrong ends this run, not the others.
    fn ended<T>(&mut self, outcome: Result<T, SessionError>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(error) => {
                self.result = Some(Err(error));
                None
            }
        }
    }
}

impl GroupSession {
    /// Trains all runs to their ends, or until a signal comes. A run that breaks ends alone; each has an outcome of its own.
    ///
    /// # Errors
    /// When the runs cannot be begun, or not together.
    pub fn run(
        self,
        stop: &StopRequest,
    ) -> Result<Vec<Result<SessionOutcome, SessionError>>, SessionError> {
        let started = Instant::now();
        let threads = worker_threads(self.threads);
        let workers = pool(threads)?;
        let Self { members, device, precision, threads: _ } = self;
        let exactness = match precision {
            ProductPrecision::Single => "f32",
            ProductPrecision::Fast => "tf32",
        };
        let name = format!("{} ({}), {exactness}", device.platform, device.kind);
        let configs: Vec<Config> =
            members.iter().map(|member| member.ready.config.clone()).collect();
        let places = batches(&configs);
        let mut batches: Vec<Batch> = places.iter().map(|_| Batch::default()).collect();
        for (number, GroupMember { ready, sinks, observers }) in members.into_iter().enumerate() {
            let begin = || Work::begin(ready, sinks, observers, threads, Some(name.clone()));
            let (work, trainer) = match workers.install(begin) {
                Ok(begun) => begun,
                Err(error) => return Err(give_up(batches, error, started)),
            };
            let at = places.iter().position(|batch| batch.contains(&number));
            batches[at.expect("every run is in a batch")].add(number, work, trainer);
        }
        // What cannot be begun is known before anything is trained.
        let mut begun = Vec::new();
        for number in 0..batches.len() {
            let trainers = std::mem::take(&mut batches[number].trainers);
            if trainers.is_empty() {
                continue;
            }
            let begin = || Lockstep::new(trainers, device.clone(), precision);
            match workers.install(begin) {
                Ok(lockstep) => begun.push((number, lockstep)),
                Err(error) => return Err(give_up(batches, error.into(), started)),
            }
        }
        std::thread::scope(|scope| {
            let mut begun = begun.into_iter().peekable();
            for (number, Batch { runs, .. }) in batches.iter_mut().enumerate() {
                if let Some((_, lockstep)) = begun.next_if(|(of, _)| *of == number) {
                    let workers = &workers;
                    scope.spawn(move || train(runs, lockstep, workers, stop));
                }
            }
        });
        let mut ended = Vec::new();
        for Running { number, work, step, result, .. } in
            batches.into_iter().flat_map(|batch| batch.runs)
        {
            let result = result.expect("every run has ended");
            ended.push((number, work.end(step, result, started.elapsed())));
        }
        ended.sort_by_key(|(number, _)| *number);
        Ok(ended.into_iter().map(|(_, outcome)| outcome).collect())
    }
}

/// Notes in the runs that were begun that one like them could not be; gives why.
fn give_up(batches: Vec<Batch>, error: SessionError, started: Instant) -> SessionError {
    for Running { work, step, result, .. } in batches.into_iter().flat_map(|batch| batch.runs) {
        let other = || Err(SessionError::Together(error.to_string()));
        let _ = work.end(step, result.unwrap_or_else(other), started.elapsed());
    }
    error
}

/// Runs that advance together, and those like them that were finished before.
#[derive(Default)]
struct Batch {
    runs: Vec<Running>,
    trainers: Vec<Trainer>,
}

impl Batch {
    fn add(&mut self, number: usize, work: Work, trainer: Trainer) {
        let (step, solved) = (trainer.step(), work.is_solved());
        let finished = solved || step >= work.config.steps();
        let place = (!finished).then_some(self.trainers.len());
        let result = finished.then_some(Ok(if solved { End::Solved } else { End::Finished }));
        self.runs.push(Running { number, work, place, step, result });
        if !finished {
            self.trainers.push(trainer);
        }
    }
}

/// Advances until every run has ended.
fn train(
    runs: &mut [Running],
    mut lockstep: Lockstep,
    workers: &rayon::ThreadPool,
    stop: &StopRequest,
) {
    while runs.iter().any(|run| run.result.is_none()) {
        if let Err(error) = workers.install(|| step(runs, &mut lockstep, stop)) {
            // The device is gone, and with it what every run had learned since it was saved.
            for run in runs.iter_mut().filter(|run| run.result.is_none()) {
                run.result = Some(Err(SessionError::Device(error.to_string())));
            }
        }
    }
}

/// One step of all runs that have not ended.
fn step(
    runs: &mut [Running],
    lockstep: &mut Lockstep,
    stop: &StopRequest,
) -> Result<(), DeviceError> {
    let mut outcomes = lockstep.advance()?;
    let active = |run: &&mut Running| run.result.is_none();
    let looks = |run: &Running, lockstep: &Lockstep| {
        let trainer = run.place.and_then(|place| lockstep.run(place));
        run.result.is_none() && trainer.is_some_and(|trainer| run.work.looks(trainer))
    };
    let mut fetched = runs.iter().any(|run| looks(run, lockstep));
    if fetched {
        lockstep.fetch()?;
    }
    let mut told: Vec<(usize, Told)> = Vec::new();
    for run in runs.iter_mut().filter(active) {
        let Some(place) = run.place else { continue };
        let Some(outcome) = outcomes[place].take() else {
            // It waits for others, and is saved where it stands.
            run.result = stop.signal().map(|signal| Ok(End::Interrupted(signal)));
            continue;
        };
        run.step += 1;
        let Some(records) = run.ended(outcome.map_err(SessionError::from)) else { continue };
        let Some(trainer) = lockstep.run_mut(place) else { continue };
        let heard = run.work.tell(trainer, records, stop);
        if let Some(heard) = run.ended(heard) {
            told.push((place, heard));
        }
    }
    if told.iter().any(|(_, told)| told.saves) && !fetched {
        lockstep.fetch()?;
        fetched = true;
    }
    for (place, Told { saves, end }) in told {
        let Some(run) = runs.iter_mut().find(|run| run.place == Some(place)) else { continue };
        if saves && fetched {
            let Some(trainer) = lockstep.run_mut(place) else { continue };
            let saved = run.work.save(trainer);
            if run.ended(saved).is_none() {
                continue;
            }
        }
        if let Some(end) = end {
            run.result = Some(Ok(end));
        }
    }
    for run in runs.iter().filter(|run| run.result.is_some()) {
        if let Some(place) = run.place {
            lockstep.end(place);
        }
    }
    Ok(())
}
