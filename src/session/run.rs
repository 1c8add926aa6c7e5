//! One process's work on a run, from its start or a checkpoint to its end: train, log, save, tell the sinks.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::env::Task;
use crate::run::checkpoint::{CheckpointStore, Evaluation, Info, Loaded};
use crate::run::directory::RunDirectory;
use crate::run::manifest::{self, ManifestFile};
use crate::run::metrics::{self, MetricsLog, Record};
use crate::train::{TrainError, Trainer};

use super::SessionError;
use super::goal::{self, EVALUATION, Goal};
use super::signals::StopRequest;
use super::sink::{Answer, Begun, End, Ended, Sink, Sinks};
use super::start::{Ready, State};
use crate::run::text::thousands;

/// Looks at a run after each step, without changing it, and may add records to those of the step.
pub trait Observer: Send {
    /// The step is done; `records` are those that the trainer gave.
    ///
    /// # Errors
    /// When what is observed fails: the run stops.
    fn observe(&mut self, trainer: &Trainer, records: &mut Vec<Record>) -> Result<(), TrainError>;
}

/// What came of a session.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SessionOutcome {
    /// How it ended.
    pub end: End,
    /// Environment steps done, all of them saved.
    pub step: u64,
    /// The last evaluation.
    pub evaluation: Option<Evaluation>,
    /// How long it took.
    pub elapsed: Duration,
}

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

/// The run of a saved state, and what the state says of itself.
pub(super) fn restore(
    config: Config,
    task: Arc<dyn Task>,
    loaded: Loaded,
) -> Result<(Trainer, Info), SessionError> {
    let Loaded { path, info, snapshot, .. } = loaded;
    let trainer = match Trainer::restore(config, task, snapshot) {
        Ok(trainer) => trainer,
        Err(error) => {
            let source = Box::new(error);
            return Err(SessionError::Unusable { path, source });
        }
    };
    let found = trainer.step();
    if found != info.step {
        return Err(SessionError::OtherStep { path, found });
    }
    Ok((trainer, info))
}

/// What is at work while a run trains.
struct Work {
    directory: RunDirectory,
    config: Config,
    store: CheckpointStore,
    trainer: Trainer,
    log: MetricsLog,
    manifest: ManifestFile,
    sinks: Sinks,
    observers: Vec<Box<dyn Observer>>,
    evaluation: Option<Evaluation>,
    /// Score of the best policy that is saved.
    best: Option<f64>,
    goal: Goal,
}

impl Session {
    /// Trains to the end of the run, until its task is solved, a signal comes, or a sink wants it to stop.
    ///
    /// # Errors
    /// When the run cannot be begun, or breaks: [`SessionError::Stopped`] says then what is saved.
    pub fn run(self, stop: &StopRequest) -> Result<SessionOutcome, SessionError> {
        let threads = worker_threads(self.threads);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("worker {i}"))
            .build()
            .map_err(|error| SessionError::Threads(error.to_string()))?;
        pool.install(|| self.run_in_pool(threads, stop))
    }

    fn run_in_pool(
        self,
        threads: usize,
        stop: &StopRequest,
    ) -> Result<SessionOutcome, SessionError> {
        let started = Instant::now();
        let mut work = self.prepare(threads)?;
        let result = work.train(stop);
        let step = work.trainer.step();
        let outcome = match &result {
            Ok(End::Finished) => "finished".to_owned(),
            Ok(End::Solved) => "solved".to_owned(),
            Ok(End::Interrupted(_) | End::Stopped) => "interrupted".to_owned(),
            Err(error) => chain(error),
        };
        work.manifest.end(step, &outcome);
        let noted = work.manifest.write();
        if let (Ok(_), Err(error)) = (&result, noted) {
            // Of a run that failed, the same reason may keep the manifest from being written.
            work.sinks.notice(&format!("the manifest is not up to date: {error}"));
        }
        let (evaluation, elapsed) = (work.evaluation, started.elapsed());
        let Work { directory, config, store, mut sinks, trainer, .. } = work;
        // A sink may load what was saved: two of it may be too much.
        drop(trainer);
        let end = result.as_ref().ok().copied();
        let root = directory.root();
        sinks.end(Ended { root, config: &config, step, end, evaluation, elapsed });
        match result {
            Ok(end) => Ok(SessionOutcome { end, step, evaluation, elapsed }),
            Err(error) => {
                let broke = matches!(error, SessionError::Train(TrainError::Diverged { .. }));
                let metrics = if broke { last_finite(&directory.metrics_path()) } else { None };
                Err(SessionError::Stopped {
                    step,
                    saved: store.newest_whole(),
                    root: root.display().to_string(),
                    metrics,
                    source: Box::new(error),
                })
            }
        }
    }

    fn prepare(self, threads: usize) -> Result<Work, SessionError> {
        let Self { ready, threads: _, sinks, observers } = self;
        let Ready { directory, config, task, store, state, notices } = ready;
        let (trainer, evaluation, lines) = match state {
            State::New => (Trainer::new(config.clone(), task)?, None, 0),
            State::Saved(loaded) => {
                let (trainer, info) = restore(config.clone(), task, *loaded)?;
                (trainer, info.evaluation, info.metrics_lines)
            }
        };
        let first_step = trainer.step();
        let log = MetricsLog::open(&directory.metrics_path(), lines)?;
        let goal = Goal::new(&config.run().evaluation, &directory.metrics_path())?;
        let best = store.best_score(first_step)?;
        let session =
            manifest::SessionRecord::start(threads, first_step, mujoco_rs::mujoco_version());
        let manifest = ManifestFile::begin(&directory.manifest_path(), &config, session);
        let sinks = Sinks::new(sinks);
        let mut work = Work {
            directory,
            config,
            store,
            trainer,
            log,
            manifest,
            sinks,
            observers,
            evaluation,
            best,
            goal,
        };
        let root = work.directory.root();
        work.sinks.begin(Begun { root, config: &work.config, first_step });
        notices.iter().for_each(|notice| work.sinks.notice(notice));
        work.write_manifest();
        Ok(work)
    }
}

impl Work {
    fn train(&mut self, stop: &StopRequest) -> Result<End, SessionError> {
        let (steps, every) = (self.config.steps(), self.config.run().checkpoint.every_steps);
        let mut step = self.trainer.step();
        while step < steps {
            // At once where a run is gone on with that was solved.
            if self.goal.is_reached() {
                return Ok(End::Solved);
            }
            let mut records = self.trainer.advance()?;
            step = self.trainer.step();
            for observer in &mut self.observers {
                observer.observe(&self.trainer, &mut records)?;
            }
            self.log.append(&records)?;
            self.directory.beat()?;
            if let Some(warning) = self.trainer.take_warning() {
                self.sinks.notice(&format!("step {}: {warning}", thousands(step)));
            }
            let best = self.take_scores(step, &records);
            let answer = self.sinks.step(step, &records);
            let signal = stop.signal();
            let stops = signal.is_some() || answer == Answer::Stop;
            let over = step >= steps || self.goal.is_reached();
            if stops || best || over || step.is_multiple_of(every) {
                self.save()?;
            }
            match signal {
                Some(signal) => return Ok(End::Interrupted(signal)),
                None if stops => return Ok(End::Stopped),
                None => {}
            }
        }
        Ok(if self.goal.is_reached() { End::Solved } else { End::Finished })
    }

    /// Notes the evaluations of a step; whether the policy is better than all that are saved. It is saved then, whatever
    /// the interval of checkpoints: `--best` is the policy that was scored.
    fn take_scores(&mut self, step: u64, records: &[Record]) -> bool {
        let mut better = false;
        for record in records.iter().filter(|record| record.kind == EVALUATION) {
            let score = goal::score(|name| record.get(name));
            self.goal.note(score);
            self.evaluation = score.map(|return_mean| Evaluation { step, return_mean });
            if let Some(score) = score.filter(|score| self.best.is_none_or(|best| *score > best)) {
                self.best = Some(score);
                better = true;
            }
        }
        better
    }

    fn save(&mut self) -> Result<(), SessionError> {
        let info = Info {
            step: self.trainer.step(),
            metrics_lines: self.log.sync()?,
            evaluation: self.evaluation,
            config: self.config.identity().to_string(),
        };
        self.store.save(&info, &self.trainer.snapshot())?;
        for warning in self.store.take_warnings() {
            self.sinks.notice(&warning);
        }
        if self.manifest.saved(info.step) {
            self.write_manifest();
        }
        Ok(())
    }

    fn write_manifest(&mut self) {
        if let Err(error) = self.manifest.write() {
            self.sinks.notice(&format!("the manifest is not up to date: {error}"));
        }
    }
}

/// An error with its causes, as one sentence.
fn chain(error: &SessionError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// What training saw last that was all finite, in words.
fn last_finite(path: &Path) -> Option<String> {
    let lines = metrics::read(path).ok()?;
    let line = lines.iter().rfind(|line| line.kind == "train" && line.is_finite())?;
    let seen = |name: &String| Some(format!("{name} {:.5}", line.get(name)?));
    let seen: Vec<String> = line.values.keys().filter_map(seen).collect();
    let step = thousands(line.step);
    Some(format!("the last finite metrics, of step {step}: {}", seen.join(", ")))
}
