//! Off line, from a saved run's own transitions: the run's prediction model, or fresh networks, trained further with one gradient loss or without,
//! and how true the policy's gradient is then, by steps and by seconds of training.
//!
//! Trials of one seed share split, minibatches and, where networks are fresh, initial weights, whatever their loss. Policy, critic and temperature
//! are the run's, and the real paths along which gradients are compared with the true ones are the same for all trials.

use std::time::Instant;

use super::subject::{Course, Subject, subject};
use super::trial::{
    EstimatorMeasurement, EstimatorOutcome, EstimatorTrial, LossSettings, StudiedLoss,
};
use crate::env::{EnvironmentError, Task};
use crate::lab::analysis::Unsuitable;
use crate::lab::analysis::gradient_error::RealStates;
use crate::lab::analysis::horizons::{PairedPaths, PathBias};
use crate::lab::kept::KeptError;
use crate::lab::precision;
use crate::policy::Actor;
use crate::train::Trainer;

/// Shares of the steps at which a trial is measured.
const MARKS: [f64; 4] = [0.125, 0.25, 0.5, 1.0];
/// Seed of the states and paths, whatever a trial's own.
const STATES_SEED: u64 = 0;

/// Why a study came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    /// The run cannot be studied.
    #[error(transparent)]
    Unsuitable(#[from] Unsuitable),
    /// The environment failed, or has no true derivative.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// No path to measure along.
    #[error(
        "each of the {states} paths of {task} meets a contact event or the episode's end: try more --states"
    )]
    NoPath {
        /// Task name.
        task: String,
        /// Start states met.
        states: usize,
    },
    /// More members than there are.
    #[error("--members is {wanted}, but the run's ensemble has {members}")]
    Members {
        /// The number asked for.
        wanted: usize,
        /// M.
        members: usize,
    },
    /// Too few transitions.
    #[error(
        "too few of the run's {held} transitions, or of the newest of them that `gradient_loss.window` leaves, are trained on to give each \
         {needed} neighbours"
    )]
    Transitions {
        /// Transitions held.
        held: usize,
        /// n.
        needed: usize,
    },
    /// Numbers broke.
    #[error("{loss}, seed {seed}: the policy's gradient is not finite after {steps} steps")]
    NonFinite {
        /// Which loss.
        loss: &'static str,
        /// Seed.
        seed: u64,
        /// Minibatches done.
        steps: u64,
    },
    /// A file of trials.
    #[error(transparent)]
    Kept(#[from] KeptError),
}

/// How much is to be done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StudySize {
    /// Minibatches.
    pub steps: u64,
    /// Seconds of training.
    pub seconds: f64,
    /// Seeds: 0, 1, … up to this many.
    pub seeds: u64,
    /// Start states of the paths.
    pub states: usize,
    /// Members; `None` for the run's own number.
    pub members: Option<usize>,
    /// Whether networks begin anew.
    pub fresh: bool,
}

/// A run, and the real paths of its policy.
pub struct EstimatorStudy<'a> {
    run: &'a Trainer,
    subject: &'a dyn Subject,
    paths: PairedPaths,
    states: RealStates,
    smooth: Vec<usize>,
}

impl<'a> EstimatorStudy<'a> {
    /// Meets the paths.
    ///
    /// # Errors
    /// When the run has no gradient loss, its models are not trained, its environment fails or no path is free of events.
    pub fn new(run: &'a Trainer, states: usize) -> Result<Self, StudyError> {
        let algorithm = run.config().algorithm();
        let subject = subject(run.method())
            .ok_or_else(|| Unsuitable::NoGradientLoss(algorithm.to_owned()))?;
        let task = run.task();
        let of = run.method().valuation().ok_or(Unsuitable::NotTrained)?;
        let no_path = || StudyError::NoPath { task: task.name().to_owned(), states };
        let paths = PairedPaths::meet(of, task, states, STATES_SEED)?.ok_or_else(no_path)?;
        let mut actor = Actor::new(of.policy);
        let states = RealStates::along(task, states, STATES_SEED, &mut |observation, rng| {
            actor.explore(of.policy, observation, rng).to_vec()
        })?;
        let smooth = states.smooth();
        if smooth.is_empty() {
            return Err(no_path());
        }
        Ok(Self { run, subject, paths, states, smooth })
    }

    /// Paths that gradients are compared along.
    pub fn paths(&self) -> usize {
        self.paths.count()
    }

    /// The trials, seed by seed, so that a study that was stopped has whole comparisons.
    ///
    /// # Errors
    /// When the run has not as many members or transitions.
    pub fn trials(&self, size: StudySize) -> Result<Vec<EstimatorTrial>, StudyError> {
        let all = self.subject.members();
        let members = size.members.unwrap_or(all);
        if members == 0 || members > all {
            return Err(StudyError::Members { wanted: members, members: all });
        }
        let task = self.run.task().name();
        let losses = self.subject.losses(task, members);
        let of_seed = |seed| losses.iter().map(move |(_, settings)| (seed, settings));
        let lacking = (0..size.seeds)
            .flat_map(of_seed)
            .find(|&(seed, settings)| !self.subject.has_neighbours(settings, seed));
        if let Some((_, settings)) = lacking {
            let (held, needed) = (self.subject.real().len(), settings.neighbours());
            return Err(StudyError::Transitions { held, needed });
        }
        let of = |seed: u64, (loss, settings): &(StudiedLoss, LossSettings)| EstimatorTrial {
            task: task.to_owned(),
            run_seed: self.run.config().seed(),
            run_step: self.run.step(),
            loss: *loss,
            settings: settings.clone(),
            seed,
            members,
            fresh: size.fresh,
            steps: size.steps,
            seconds: size.seconds,
            states: size.states,
        };
        let seeds = 0..size.seeds;
        Ok(seeds.flat_map(|seed| losses.iter().map(move |loss| of(seed, loss))).collect())
    }

    /// Runs one.
    ///
    /// # Errors
    /// When a gradient is not finite.
    pub fn run(&self, trial: &EstimatorTrial) -> Result<EstimatorOutcome, StudyError> {
        let mut training = Training::new(self, trial);
        let marks: Vec<u64> =
            MARKS.map(|share| ((trial.steps as f64 * share) as u64).max(1)).into();
        let (mut by_steps, mut at_seconds) = (Vec::new(), None);
        while training.steps < trial.steps || at_seconds.is_none() {
            training.advance();
            let after_seconds = at_seconds.is_none() && training.seconds >= trial.seconds;
            let mark = marks.contains(&training.steps);
            if after_seconds || mark {
                let measurement = self.measure(&training, trial)?;
                if mark {
                    by_steps.push(measurement.clone());
                }
                if after_seconds {
                    at_seconds = Some(measurement);
                }
            }
        }
        let at_seconds = at_seconds.expect("the loop ends with it");
        Ok(EstimatorOutcome { trial: trial.clone(), by_steps, at_seconds })
    }

    /// Seconds that a trial will take here, from some minibatches and one measurement.
    ///
    /// # Errors
    /// As [`EstimatorStudy::run`].
    pub fn estimate(&self, trial: &EstimatorTrial) -> Result<f64, StudyError> {
        const TIMED: u64 = 3;
        let mut training = Training::new(self, trial);
        training.advance(); // The first one meets cold caches.
        let before = training.seconds;
        (0..TIMED).for_each(|_| training.advance());
        let step = (training.seconds - before) / TIMED as f64;
        let started = Instant::now();
        self.measure(&training, trial)?;
        let measurement = started.elapsed().as_secs_f64();
        let training = (trial.steps as f64 * step).max(trial.seconds);
        Ok(training + (MARKS.len() + 1) as f64 * measurement)
    }

    fn measure(
        &self,
        training: &Training<'_>,
        trial: &EstimatorTrial,
    ) -> Result<EstimatorMeasurement, StudyError> {
        let (model, task): (_, &dyn Task) = (training.course.model(), self.run.task());
        let horizons = self.paths.biases(&[&model], task);
        let biases: Vec<(usize, PathBias)> =
            horizons.iter().map(|horizon| (horizon.horizon, horizon.models[0])).collect();
        let errors = self.states.error(&precision::model(&model), task, &self.smooth);
        let steps = training.steps;
        let finite = biases.iter().all(|(_, bias)| bias.relative.is_finite());
        if !(finite && errors.relative_gradient.is_finite()) {
            let (loss, seed) = (trial.loss.name(), trial.seed);
            return Err(StudyError::NonFinite { loss, seed, steps });
        }
        Ok(EstimatorMeasurement {
            steps,
            seconds: training.seconds,
            biases,
            relative_jacobian_error: errors.relative_gradient,
            prediction_error: errors.mean_prediction(),
        })
    }
}

/// A course, and what it has taken.
struct Training<'a> {
    course: Box<dyn Course + 'a>,
    steps: u64,
    seconds: f64,
}

impl<'a> Training<'a> {
    fn new(study: &EstimatorStudy<'a>, trial: &EstimatorTrial) -> Self {
        Self { course: study.subject.course(trial), steps: 0, seconds: 0.0 }
    }

    fn advance(&mut self) {
        let started = Instant::now();
        self.course.advance();
        self.seconds += started.elapsed().as_secs_f64();
        self.steps += 1;
    }
}
