//! One process's work on a run, from its start or a checkpoint to its end: train, log, save, tell the sinks.

use std::time::Instant;

use crate::train::{Advance, Trainer};

use super::SessionError;
use super::signals::StopRequest;
use super::sink::{End, Sink};
use super::start::Ready;
use super::work::{Observer, SessionOutcome, Work};

/// A run that is ready, and who is told of it.
pub struct Session {
    /// The run.
    pub ready: Ready,
    /// All cores if `None`.
    pub threads: Option<u16>,
    /// Told what happens.
    pub sinks: Vec<Box<dyn Sink>>,
    /// Asked after each step.
    pub observers: Vec<Box<dyn Observer>>,
}

/// Worker threads for what was asked for: no more than there are cores. The result does not depend on their number, and
/// threads without a core only wait for each other (a critic update took 1.7 times as long with 16 on two cores).
pub fn worker_threads(asked: Option<u16>) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    asked.map_or(cores, |asked| usize::from(asked).min(cores))
}

impl Session {
    /// Trains to the end of the run, until its task is solved, a signal comes, or a sink wants it to stop.
    ///
    /// # Errors
    /// When the run cannot be begun, or breaks: [`SessionError::Stopped`] says then what is saved.
    pub fn run(self, stop: &StopRequest) -> Result<SessionOutcome, SessionError> {
        let threads = worker_threads(self.threads);
        pool(threads)?.install(|| self.run_in_pool(threads, stop))
    }

    fn run_in_pool(
        self,
        threads: usize,
        stop: &StopRequest,
    ) -> Result<SessionOutcome, SessionError> {
        let started = Instant::now();
        let Self { ready, threads: _, sinks, observers } = self;
        let (mut work, mut trainer) = Work::begin(ready, sinks, observers, threads, None)?;
        let result = train(&mut work, &mut trainer, stop);
        let step = trainer.step();
        // A sink may load what was saved: two of it may be too much.
        drop(trainer);
        work.end(step, result, started.elapsed())
    }
}

/// The worker threads of a session.
pub(super) fn pool(threads: usize) -> Result<rayon::ThreadPool, SessionError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|i| format!("worker {i}"))
        .build()
        .map_err(|error| SessionError::Threads(error.to_string()))
}

fn train(work: &mut Work, trainer: &mut Trainer, stop: &StopRequest) -> Result<End, SessionError> {
    while trainer.step() < work.config.steps() {
        // At once where a run is gone on with that was solved.
        if work.is_solved() {
            break;
        }
        let records = match trainer.advance_until(stop.flag())? {
            Advance::Done(records) => records,
            Advance::BrokenOff(before) => {
                work.save_state(trainer.step(), &before)?;
                return Ok(stop.signal().map_or(End::Stopped, End::Interrupted));
            }
        };
        let told = work.tell(trainer, records, stop)?;
        if told.saves {
            work.save(trainer)?;
        }
        if let Some(end) = told.end {
            return Ok(end);
        }
    }
    Ok(if work.is_solved() { End::Solved } else { End::Finished })
}
