//! One model learned from a random policy's data, its derivative measured while it learns (the paper's Fig. 2).
//!
//! Trials of one task and seed share data, initial weights, split and minibatches whatever their gradient loss, so that
//! nothing but R differs between a model with it and one without. They run for a fixed number of epochs: early
//! stopping would stop the two at different ones.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::analysis::gradient_error::{ModelError, RealStates};
use super::kept::{KeptError, TrialResult};
use super::precision;
use crate::config::Config;
use crate::data::Standardiser;
use crate::data::{Replay, Transition};
use crate::env::{EnvironmentError, Episode, Task, uniform_actions};
use crate::methods::ddppo::DdppoConfig;
use crate::model::fit::{FitWorkspace, best_members, epoch, minibatch};
use crate::model::{
    DynamicsModel, FitReport, GradientData, GradientLoss, GradientLossConfig, ModelConfig,
};
use crate::rng::Rng;

/// Epochs at which a trial is measured, about.
const MEASUREMENTS: u64 = 25;

/// Why a trial came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The environment failed, or has no true derivative.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// No state to measure at.
    #[error("none of the {states} states of {task} has a smooth derivative: try more --states")]
    NoState {
        /// Task name.
        task: String,
        /// States met.
        states: usize,
    },
    /// Numbers broke.
    #[error(
        "{task}, seed {seed}: the model's errors are not finite after epoch {epoch}; a smaller --weight may help"
    )]
    NonFinite {
        /// Task name.
        task: String,
        /// Seed.
        seed: u64,
        /// Epoch, from 1.
        epoch: u64,
    },
    /// A file of trials.
    #[error(transparent)]
    Kept(#[from] KeptError),
}

/// What a trial is, down to the bit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelTrial {
    /// Task name.
    pub task: String,
    /// Seed of data, weights, split, minibatches and held-out states.
    pub seed: u64,
    /// Environment steps of the random policy.
    pub steps: usize,
    /// Passes over the training split.
    pub epochs: u64,
    /// Held-out states at which errors are measured; those without a smooth derivative are left out of the mean.
    pub states: usize,
    /// Rows of a minibatch.
    pub batch_size: usize,
    /// The ensemble. Its early stopping is not used.
    pub model: ModelConfig,
    /// R; weight 0 leaves it out.
    pub gradient_loss: GradientLossConfig,
}

/// A model after some epochs, on held-out states.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialMeasurement {
    /// Epochs done.
    pub epoch: u64,
    /// What was measured.
    pub error: ModelError,
}

/// A finished trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialOutcome {
    /// What was done.
    pub trial: ModelTrial,
    /// In the order of epochs.
    pub measurements: Vec<TrialMeasurement>,
    /// Wall-clock seconds that it took.
    pub seconds: f64,
}

impl TrialResult for TrialOutcome {
    type Trial = ModelTrial;

    fn trial(&self) -> &ModelTrial {
        &self.trial
    }

    fn is_whole(&self) -> bool {
        !self.measurements.is_empty()
    }
}

impl TrialOutcome {
    /// The last measurement.
    pub fn last(&self) -> &TrialMeasurement {
        self.measurements.last().expect("a trial measures its last epoch")
    }
}

impl ModelTrial {
    /// A trial with the models of a configuration of DDPPO, on its task and seed.
    pub fn new(config: &Config, steps: usize, epochs: u64, states: usize) -> Self {
        let DdppoConfig { run, training, model, gradient_loss, .. } = config.view();
        Self {
            task: run.task,
            seed: run.seed,
            steps,
            epochs,
            states,
            batch_size: training.experience.batch_size,
            model: model.ensemble,
            gradient_loss,
        }
    }

    /// Runs it; `progress` hears of every epoch that is done.
    ///
    /// # Errors
    /// When the environment fails, no state is smooth, or the errors are not finite.
    pub fn run(
        &self,
        task: &dyn Task,
        progress: &mut dyn FnMut(u64),
    ) -> Result<TrialOutcome, TrialError> {
        let started = Instant::now();
        let mut learning = Learning::new(self, task)?;
        let measured_every = self.epochs.div_ceil(MEASUREMENTS).max(1);
        let mut measurements = Vec::new();
        for epoch in 1..=self.epochs {
            learning.epoch();
            if epoch.is_multiple_of(measured_every) || epoch == self.epochs {
                let measurement = learning.measure(task, epoch);
                let error = &measurement.error;
                if !(error.mean_prediction() + error.mean_gradient()).is_finite() {
                    let (task, seed) = (self.task.clone(), self.seed);
                    return Err(TrialError::NonFinite { task, seed, epoch });
                }
                measurements.push(measurement);
            }
            progress(epoch);
        }
        let seconds = started.elapsed().as_secs_f64();
        Ok(TrialOutcome { trial: self.clone(), measurements, seconds })
    }

    /// Seconds that [`ModelTrial::run`] will take here, from one minibatch and one measurement.
    ///
    /// # Errors
    /// When the environment fails, or no state is smooth.
    pub fn estimate(&self, task: &dyn Task) -> Result<f64, TrialError> {
        let few = Self { states: self.states.min(20), ..self.clone() };
        let mut learning = Learning::new(&few, task)?;
        learning.minibatch(); // The first one meets cold caches.
        let started = Instant::now();
        learning.minibatch();
        let minibatch = started.elapsed().as_secs_f64();
        let started = Instant::now();
        learning.measure(task, 0);
        let state = started.elapsed().as_secs_f64() / few.states as f64;
        let minibatches = learning.training.len().div_ceil(self.batch_size) as u64 * self.epochs;
        let measured = self.epochs.min(MEASUREMENTS) as f64 * self.states as f64;
        Ok(minibatches as f64 * minibatch + measured * state)
    }
}

/// A model being trained.
struct Learning<'a> {
    trial: &'a ModelTrial,
    replay: Replay,
    data: GradientData,
    model: DynamicsModel<f32>,
    workspace: FitWorkspace<f32>,
    training: Vec<u32>,
    holdout: Vec<u32>,
    rng: Rng,
    report: FitReport,
    states: RealStates,
    smooth: Vec<usize>,
}

impl<'a> Learning<'a> {
    fn new(trial: &'a ModelTrial, task: &dyn Task) -> Result<Self, TrialError> {
        let stream = |name: &str| Rng::new(trial.seed, name);
        let (s, a) = (task.observation_dim(), task.action_dim());
        let replay = random_transitions(task, trial.steps, &mut stream("random policy"))?;
        let states = RealStates::along(task, trial.states, trial.seed, &mut uniform_actions(task))?;
        let smooth = states.smooth();
        if smooth.is_empty() {
            return Err(TrialError::NoState { task: trial.task.clone(), states: trial.states });
        }
        let mut data = GradientData::new(&trial.gradient_loss, (s, a));
        // A random policy has no critic: all slopes alike.
        data.update(&replay, || vec![1.0; s]);
        let mut model = DynamicsModel::new(s, a, &trial.model, &mut stream("initial weights"));
        let loss = gradient_loss(trial, &data);
        let mut workspace = FitWorkspace::new(&model, trial.batch_size, loss);

        let mut rng = stream("model training");
        let mut order: Vec<u32> = (0..replay.len() as u32).collect();
        rng.shuffle(&mut order);
        let held_out = ((order.len() as f64 * trial.model.holdout_fraction) as usize).max(1);
        let training = order.split_off(held_out);
        model.standardiser = Standardiser::fit(&replay, &training, s + a);
        model.elites = (0..trial.model.elites as u32).collect();
        // With the window even where R is left out: its orders are drawn from the same stream as the minibatches.
        workspace.start(&training, Some(data.loss()));
        let report =
            FitReport { epochs: 0, holdout_errors: Vec::new(), nll: 0.0, gradient_loss: None };
        let holdout = order;
        Ok(Self {
            trial,
            replay,
            data,
            model,
            workspace,
            training,
            holdout,
            rng,
            report,
            states,
            smooth,
        })
    }

    /// One pass over the training split; then the elites are those of the holdout, as in a run.
    fn epoch(&mut self) {
        self.workspace.shuffle(&mut self.rng);
        let Self { trial, replay, data, model, workspace, rng, report, .. } = self;
        let loss = gradient_loss(trial, data);
        epoch(model, workspace, replay, loss, &trial.model.weight_decay, rng, report);
        let errors = workspace.holdout_errors(model, replay, &self.holdout);
        model.elites = best_members(&errors, trial.model.elites);
    }

    /// One Adam step of every member.
    fn minibatch(&mut self) {
        let Self { trial, replay, data, model, workspace, rng, .. } = self;
        let loss = gradient_loss(trial, data);
        minibatch(model, workspace, replay, loss, &trial.model.weight_decay, 0, rng);
    }

    fn measure(&self, task: &dyn Task, epoch: u64) -> TrialMeasurement {
        TrialMeasurement {
            epoch,
            error: self.states.error(&precision::model(&self.model), task, &self.smooth),
        }
    }
}

fn gradient_loss<'a>(trial: &ModelTrial, data: &'a GradientData) -> Option<GradientLoss<'a>> {
    (trial.gradient_loss.weight > 0.0).then(|| data.loss())
}

/// Transitions of uniformly random actions, with resets where episodes end.
fn random_transitions(
    task: &dyn Task,
    steps: usize,
    rng: &mut Rng,
) -> Result<Replay, EnvironmentError> {
    let narrow = |values: &[f64]| -> Vec<f32> { values.iter().map(|&x| x as f32).collect() };
    let mut replay = Replay::new(task.observation_dim(), task.action_dim(), steps);
    let mut act = uniform_actions(task);
    let mut episode = Episode::begin(task, rng)?;
    for _ in 0..steps {
        let action = act(episode.observation(), rng);
        let outcome = episode.step(&action)?;
        // A step that broke the physics is no data.
        if !outcome.broke {
            replay.push(Transition {
                observation: &narrow(outcome.observation),
                action: &narrow(&action),
                reward: outcome.reward as f32,
                next_observation: &narrow(outcome.next_observation),
                terminated: outcome.terminated,
            });
        }
        if outcome.is_over() {
            episode.begin_next(rng);
        }
    }
    Ok(replay)
}
