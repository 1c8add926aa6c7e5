//! What is at work while a run trains, alone or in a group: its folder, metrics, checkpoints, sinks and observers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::env::Task;
use crate::run::checkpoint::{CheckpointStore, Evaluation, Info, Loaded};
use crate::run::directory::RunDirectory;
use crate::run::manifest::{self, ManifestFile};
use crate::run::metrics::{self, MetricsLog, Record};
use crate::run::snapshot::Snapshot;
use crate::run::text::thousands;
use crate::train::{TrainError, Trainer};

use super::SessionError;
use super::goal::{self, EVALUATION, Goal};
use super::signals::StopRequest;
use super::sink::{Answer, Begun, End, Ended, Sink, Sinks};
use super::start::{Ready, State};

/// Looks at a run after each step, without changing it, and may add records to those of the step.
pub trait Observer: Send {
    /// Whether it will look at the run after this step: all that is learned must be at hand then.
    fn is_due(&self, _trainer: &Trainer) -> bool {
        true
    }

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
pub(super) struct Work {
    directory: RunDirectory,
    pub config: Config,
    store: CheckpointStore,
    log: MetricsLog,
    manifest: ManifestFile,
    sinks: Sinks,
    observers: Vec<Box<dyn Observer>>,
    evaluation: Option<Evaluation>,
    /// Score of the best policy that is saved.
    best: Option<f64>,
    goal: Goal,
}

/// What follows from a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    /// The state is to be saved.
    pub saves: bool,
    /// The session is over.
    pub end: Option<End>,
}

impl Work {
    /// Opens the files of a run, and the run itself; `device` is what it is trained on beside the processor.
    pub fn begin(
        ready: Ready,
        sinks: Vec<Box<dyn Sink>>,
        observers: Vec<Box<dyn Observer>>,
        threads: usize,
        device: Option<String>,
    ) -> Result<(Self, Trainer), SessionError> {
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
        let mut session =
            manifest::SessionRecord::start(threads, first_step, mujoco_rs::mujoco_version());
        session.device = device;
        let manifest = ManifestFile::begin(&directory.manifest_path(), &config, session);
        let sinks = Sinks::new(sinks);
        let mut work = Self {
            directory,
            config,
            store,
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
        Ok((work, trainer))
    }

    /// Whether the run's task is solved.
    pub fn is_solved(&self) -> bool {
        self.goal.is_reached()
    }

    /// Whether an observer will look at the run after this step.
    pub fn looks(&self, trainer: &Trainer) -> bool {
        self.observers.iter().any(|observer| observer.is_due(trainer))
    }

    /// A step is done: observers look, its records are written, sinks hear of it. `stop` says whether somebody has asked the run to stop.
    pub fn tell(
        &mut self,
        trainer: &mut Trainer,
        mut records: Vec<Record>,
        stop: &StopRequest,
    ) -> Result<Told, SessionError> {
        let (steps, every) = (self.config.steps(), self.config.run().checkpoint.every_steps);
        let step = trainer.step();
        for observer in &mut self.observers {
            observer.observe(trainer, &mut records)?;
        }
        self.log.append(&records)?;
        self.directory.beat()?;
        if let Some(warning) = trainer.take_warning() {
            self.sinks.notice(&format!("step {}: {warning}", thousands(step)));
        }
        let best = self.take_scores(step, &records);
        let answer = self.sinks.step(step, &records);
        let asked = stop.flag().is_raised();
        let signal = stop.signal().filter(|_| asked);
        let stops = asked || answer == Answer::Stop;
        let solved = self.is_solved();
        let saves = stops || best || solved || step.is_multiple_of(every) || step >= steps;
        let end = match signal {
            Some(signal) => Some(End::Interrupted(signal)),
            None if stops => Some(End::Stopped),
            None if solved => Some(End::Solved),
            None => (step >= steps).then_some(End::Finished),
        };
        Ok(Told { saves, end })
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

    /// Saves the run's state.
    pub fn save(&mut self, trainer: &mut Trainer) -> Result<(), SessionError> {
        self.save_state(trainer.step(), &trainer.snapshot())
    }

    /// Saves a run's state after step `step`, of which everything up to that step has been told.
    pub fn save_state(&mut self, step: u64, state: &Snapshot) -> Result<(), SessionError> {
        let info = Info {
            step,
            metrics_lines: self.log.sync()?,
            evaluation: self.evaluation,
            config: self.config.identity().to_string(),
        };
        self.store.save(&info, state)?;
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

    /// Notes how the session ended, at this step, and tells the sinks.
    pub fn end(
        mut self,
        step: u64,
        result: Result<End, SessionError>,
        elapsed: Duration,
    ) -> Result<SessionOutcome, SessionError> {
        let outcome = match &result {
            Ok(End::Finished) => "finished".to_owned(),
            Ok(End::Solved) => "solved".to_owned(),
            Ok(End::Interrupted(_) | End::Stopped) => "interrupted".to_owned(),
            Err(error) => chain(error),
        };
        self.manifest.end(step, &outcome);
        let noted = self.manifest.write();
        if let (Ok(_), Err(error)) = (&result, noted) {
            // Of a run that failed, the same reason may keep the manifest from being written.
            self.sinks.notice(&format!("the manifest is not up to date: {error}"));
        }
        let Self { directory, config, store, mut sinks, evaluation, .. } = self;
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
