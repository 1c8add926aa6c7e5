//! A model together with what its training needs, and the transitions imagined in it.

use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dynamics::{DynamicsModel, ModelConfig};
use super::fit::{FitReport, FitWorkspace, fit};
use super::gradient_loss::GradientLoss;
use super::rollout::{RolloutConfig, RolloutWorkspace, rollout};
use super::termination::{Ending, TerminationSource};
use super::termination_fit::LearnedTermination;
use crate::config::{ConfigError, require};
use crate::data::{Replay, RowStorage, mixture};
use crate::env::Task;
use crate::nn::{LearnError, StopFlag};
use crate::policy::Policy;
use crate::rng::Rng;
use crate::run::{Entries, Record, SnapshotError, Tally};

/// When models are trained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CadenceConfig {
    /// Environment steps between two model trainings (250).
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub model_every_steps: u64,
    /// Transitions needed before the first model training (256).
    // Fewer than two would leave nothing to train on beside the holdout.
    #[schemars(range(min = 2, max = 100_000_000))]
    pub min_transitions: usize,
}

impl CadenceConfig {
    /// Checks the values against each other.
    ///
    /// # Errors
    /// On the first that is impossible.
    pub fn check(&self, replay_capacity: usize) -> Result<(), ConfigError> {
        let expected = format!("at least `training.min_transitions` ({})", self.min_transitions);
        let holds = replay_capacity >= self.min_transitions;
        require(holds, "training.replay_capacity", replay_capacity, expected)
    }

    /// Whether the models are to be trained after this step.
    pub fn is_due(&self, step: u64, transitions: usize) -> bool {
        step.is_multiple_of(self.model_every_steps) && transitions >= self.min_transitions
    }
}

/// A method's models.
#[derive(Clone, Copy)]
pub struct Models<'a> {
    /// M^p.
    pub prediction: &'a DynamicsModel<f32>,
    /// M^g; `None` where the prediction model plays its role.
    pub gradient: Option<&'a DynamicsModel<f32>>,
}

impl Models<'_> {
    /// Whether they have been trained at least once.
    pub fn are_trained(&self) -> bool {
        !self.prediction.elites.is_empty()
    }
}

/// A model that is trained again and again on a growing replay.
pub struct LearnedModel {
    /// The networks.
    pub model: DynamicsModel<f32>,
    /// What ends episodes in it, where that is learned; a gradient model has none.
    pub termination: Option<LearnedTermination>,
    /// "prediction" or "gradient": how its metrics, entries and errors are called.
    name: &'static str,
    /// Splits, orders and, with R, directions of its training.
    stream: Rng,
    /// Made at the first training.
    workspace: Option<FitWorkspace<f32>>,
    /// Breaks trainings off.
    stop: StopFlag,
}

impl LearnedModel {
    /// Freshly drawn networks.
    pub fn new(
        name: &'static str,
        (observation_dim, action_dim): (usize, usize),
        config: &ModelConfig,
        seed: u64,
        weights: &mut Rng,
    ) -> Self {
        let model = DynamicsModel::new(observation_dim, action_dim, config, weights);
        let imagines = name == "prediction" && config.termination == TerminationSource::Learned;
        let sizes = (observation_dim, action_dim);
        let termination = imagines.then(|| LearnedTermination::new(sizes, config, seed));
        Self {
            model,
            termination,
            name,
            stream: Rng::new(seed, &format!("{name} model")),
            workspace: None,
            stop: StopFlag::default(),
        }
    }

    /// Whether it has been trained at least once.
    pub fn is_trained(&self) -> bool {
        !self.model.elites.is_empty()
    }

    /// What ends episodes imagined in it.
    pub fn ending<'a>(&'a self, task: &'a dyn Task) -> Ending<'a, f32> {
        match &self.termination {
            Some(learned) => Ending::Learned(&learned.head),
            None => Ending::Given(task),
        }
    }

    /// The setting by which the task's own function ends episodes imagined in it; `None` where a head does.
    pub fn given_termination(&self) -> Option<&'static str> {
        self.termination.is_none().then_some("model.termination")
    }

    /// Trains on all of `real` by likelihood (eq. 2), with R in the loss where it is given (eq. 10).
    ///
    /// # Errors
    /// When a loss is not finite, or the training was broken off.
    pub fn fit(
        &mut self,
        real: &Replay,
        gradient_loss: Option<GradientLoss<'_>>,
        config: &ModelConfig,
        batch: usize,
        record: &mut Record,
    ) -> Result<(), LearnError> {
        let Self { model, stream, workspace, .. } = self;
        let workspace =
            workspace.get_or_insert_with(|| FitWorkspace::new(model, batch, gradient_loss));
        workspace.stop = self.stop.clone();
        let report = fit(model, workspace, real, gradient_loss, config, stream);
        self.stop.check()?;
        self.tell(&report, record)?;
        match &mut self.termination {
            Some(termination) => termination.fit(real, config, batch, &self.stop, record),
            None => Ok(()),
        }
    }

    /// Has trainings break off when `stop` is raised.
    pub fn heed(&mut self, stop: &StopFlag) {
        self.stop = stop.clone();
    }

    /// Tells `record` what a training came to.
    ///
    /// # Errors
    /// When a loss is not finite.
    pub fn tell(&self, report: &FitReport, record: &mut Record) -> Result<(), LearnError> {
        let Self { model, name, .. } = self;
        if !report.is_finite() {
            return Err(LearnError::NonFinite(match *name {
                "prediction" => "the prediction model's loss",
                _ => "the gradient model's loss",
            }));
        }
        let FitReport { epochs, nll, gradient_loss, .. } = report;
        record.put_count(&format!("{name}_epochs"), *epochs);
        record.put(&format!("{name}_nll"), *nll);
        record.put(&format!("{name}_holdout_error"), report.elite_error(&model.elites));
        if let Some(r) = *gradient_loss {
            record.put("gradient_loss", r);
        }
        Ok(())
    }

    /// The model and the draws of its training, for a device that trains it.
    pub fn training_mut(&mut self) -> (&mut DynamicsModel<f32>, &mut Rng) {
        (&mut self.model, &mut self.stream)
    }

    /// [`LearnedModel::fit`] by likelihood, with its time and its record told to `tally`: all that a method with one model does.
    ///
    /// # Errors
    /// As [`LearnedModel::fit`].
    pub fn train(
        &mut self,
        real: &Replay,
        config: &ModelConfig,
        batch: usize,
        step: u64,
        tally: &mut Tally,
    ) -> Result<(), LearnError> {
        let mut record = Record::new("model", step);
        record.put_count("transitions", real.len() as u64);
        tally.timed("models", || self.fit(real, None, config, batch, &mut record))?;
        tally.record(record);
        Ok(())
    }

    /// Saves or restores the model and its stream.
    ///
    /// # Errors
    /// When an entry is missing or of another size.
    pub fn visit(&mut self, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        let Self { model, termination, name, stream, workspace: _, stop: _ } = self;
        model.visit(&format!("{name}_model"), entries)?;
        entries.rng(&format!("streams/{name}_model"), stream)?;
        match termination {
            Some(termination) => termination.visit(entries),
            None => Ok(()),
        }
    }
}

/// The buffer of imagined transitions, refilled by branched rollouts after each training.
pub struct Imagined {
    /// Imagined transitions.
    pub transitions: Replay,
    config: RolloutConfig,
    /// Start states, noise and elites.
    stream: Rng,
    /// Made at the first rollout.
    workspace: Option<RolloutWorkspace<f32>>,
}

impl Imagined {
    /// An empty buffer.
    pub fn new(
        (observation_dim, action_dim): (usize, usize),
        config: &RolloutConfig,
        seed: u64,
    ) -> Self {
        let capacity = config.capacity_per_step * config.length_at(0);
        Self {
            transitions: Replay::new(observation_dim, action_dim, capacity),
            config: config.clone(),
            stream: Rng::new(seed, "rollout"),
            workspace: None,
        }
    }

    /// How the rows of a minibatch of `batch` are drawn: `real_ratio` of them from `real`, the others from here.
    pub fn mixture<'a>(
        &'a self,
        real: &'a Replay,
        batch: usize,
        real_ratio: f64,
    ) -> impl Fn(usize, &mut Rng) -> (&'a Replay, usize) + Sync {
        mixture(real, &self.transitions, (batch as f64 * real_ratio) as usize)
    }

    /// Rolls k steps of the present policy through a trained model from real states, into the buffer; time and record are told to
    /// `tally`.
    ///
    /// # Errors
    /// When an imagined transition is not finite.
    pub fn refill(
        &mut self,
        policy: &Policy<f32>,
        model: &LearnedModel,
        task: &dyn Task,
        real: &Replay,
        step: u64,
        tally: &mut Tally,
    ) -> Result<(), LearnError> {
        let started = Instant::now();
        let (model, ending) = (&model.model, model.ending(task));
        let longest = self.config.max_length;
        let mut workspace = self.workspace.take();
        let own =
            workspace.get_or_insert_with(|| RolloutWorkspace::new(policy, model, ending, longest));
        let (transitions, stream, size) = self.begin(step);
        let report = rollout(own, policy, model, ending, real, transitions, size, stream);
        self.workspace = workspace;
        let record = report.record(step)?;
        tally.add_seconds("rollout", started.elapsed().as_secs_f64());
        tally.record(record);
        Ok(())
    }

    /// Makes the buffer as large as it is to be from a step on, and gives all that rollouts into it need: the buffer, their draws, and how
    /// many start states and steps there are.
    pub fn begin(&mut self, step: u64) -> (&mut Replay, &mut Rng, (usize, usize)) {
        let Self { transitions, config, stream, workspace: _ } = self;
        let length = config.length_at(step / 1000);
        transitions.resize(config.capacity_per_step * length);
        (transitions, stream, (config.starts, length))
    }

    /// Start states of a call.
    pub fn starts(&self) -> usize {
        self.config.starts
    }

    /// Saves or restores the buffer and its stream.
    ///
    /// # Errors
    /// When an entry is missing or of another size.
    pub fn visit(&mut self, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        let Self { transitions, config: _, stream, workspace: _ } = self;
        transitions.visit("imagined", entries, RowStorage::Whole)?;
        entries.rng("streams/rollout", stream)
    }
}
