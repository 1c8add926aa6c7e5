//! The order of a method's updates, and what is the same for all runs of a group.

use crate::config::{Config, RunConfig};
use crate::data::ExperienceConfig;
use crate::device::pjrt::DeviceError;
use crate::methods::ddppo::DdppoConfig;
use crate::methods::maac::MaacConfig;
use crate::methods::mbpo::MbpoConfig;
use crate::methods::sac::SacConfig;
use crate::model::{CadenceConfig, Estimator, ModelConfig, OutputWeights, TerminationSource};
use crate::path::PathConfig;

/// The updates after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// So many of critic and temperature, each followed by one of the policy on the same minibatch.
    Together(usize),
    /// So many of the policy, through models, then so many of critic and temperature.
    Apart { policy: usize, critic: usize },
}

/// When learning begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// When there are more transitions than a minibatch has.
    Filled,
    /// After the random steps, models and updates at once.
    AfterWarmup,
    /// Models on the last of the random steps, updates after it.
    ModelsFirst,
}

/// What is done after a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// The models are trained, and rolled out.
    pub models: bool,
    /// The updates are made.
    pub updates: bool,
}

/// The models of a method.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ModelRecipe {
    pub config: ModelConfig,
    pub cadence: CadenceConfig,
    /// The imagined steps of a policy update; `None` where it has none.
    pub path: Option<PathConfig>,
}

/// A method's updates.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Recipe {
    pub experience: ExperienceConfig,
    /// Of a run from beginning to end.
    pub steps: u64,
    /// `guards.max_loss`.
    pub max_loss: f64,
    pub order: Order,
    /// Real rows of a critic's minibatch, where the others are imagined.
    pub real_rows: usize,
    pub models: Option<ModelRecipe>,
    start: Start,
}

fn refused(what: &str) -> DeviceError {
    DeviceError::Unsupported(format!(
        "{what} has no device program yet: train it on the processor, without --device"
    ))
}

impl Recipe {
    /// That of a configuration.
    ///
    /// # Errors
    /// When a method or a setting has no device program.
    pub fn of(config: &Config) -> Result<Self, DeviceError> {
        let recipe = match config.algorithm() {
            "sac" => {
                let SacConfig { run, training, .. } = config.view();
                let order = Order::Together(training.critic_updates_per_step);
                Self::new(&run, training.experience, order, Start::Filled)
            }
            "mbpo" => {
                let MbpoConfig { run, training, model, .. } = config.view();
                let order = Order::Together(training.critic_updates_per_step);
                Self::new(&run, training.experience, order, Start::ModelsFirst).with_models(
                    training.real_ratio,
                    model,
                    training.cadence,
                    None,
                )
            }
            "maac" => {
                let MaacConfig { run, training, model, policy, .. } = config.view();
                let order = Order::Apart {
                    policy: training.policy_updates_per_step,
                    critic: training.critic_updates_per_step,
                };
                Self::new(&run, training.experience, order, Start::AfterWarmup).with_models(
                    training.real_ratio,
                    model,
                    training.cadence,
                    Some(policy.path),
                )
            }
            "ddppo" => Self::of_ddppo(&config.view())?,
            other => return Err(refused(&format!("the method `{other}`"))),
        };
        match &recipe.models {
            Some(models) if models.config.termination == TerminationSource::Learned => {
                Err(refused("`model.termination = \"learned\"`"))
            }
            _ => Ok(recipe),
        }
    }

    fn of_ddppo(config: &DdppoConfig) -> Result<Self, DeviceError> {
        let DdppoConfig { run, training, model, gradient_loss, policy, critic, .. } = config;
        if critic.action_gradient_weight > 0.0 {
            return Err(refused("`critic.action_gradient_weight` above 0"));
        }
        if policy.derivative_members > 1 {
            return Err(refused("`policy.derivative_members` above 1"));
        }
        if gradient_loss.estimator == Estimator::Secant {
            return Err(refused("`gradient_loss.estimator = \"secant\"`"));
        }
        if gradient_loss.output_weights == OutputWeights::Value {
            return Err(refused("`gradient_loss.output_weights = \"value\"`"));
        }
        let order = Order::Apart {
            policy: training.policy_updates_per_step,
            critic: training.critic_updates_per_step,
        };
        let path = Some(policy.path);
        Ok(Self::new(run, training.experience, order, Start::AfterWarmup).with_models(
            training.real_ratio,
            model.ensemble.clone(),
            training.cadence,
            path,
        ))
    }

    fn new(run: &RunConfig, experience: ExperienceConfig, order: Order, start: Start) -> Self {
        let (max_loss, real_rows) = (run.guards.max_loss, experience.batch_size);
        Self { experience, steps: run.steps, max_loss, order, real_rows, models: None, start }
    }

    fn with_models(
        mut self,
        real_ratio: f64,
        config: ModelConfig,
        cadence: CadenceConfig,
        path: Option<PathConfig>,
    ) -> Self {
        self.real_rows = (self.batch() as f64 * real_ratio) as usize;
        self.models = Some(ModelRecipe { config, cadence, path });
        self
    }

    /// Rows of a minibatch.
    pub fn batch(&self) -> usize {
        self.experience.batch_size
    }

    /// What is done after step number `step` of a run with so many transitions.
    pub fn due(&self, step: u64, transitions: usize) -> Due {
        let (warmup, batch) = (self.experience.warmup_steps, self.batch());
        let (models, updates) = match self.start {
            Start::Filled => return Due { models: false, updates: transitions > batch },
            Start::AfterWarmup => (step > warmup, step > warmup),
            Start::ModelsFirst => (step >= warmup, step > warmup),
        };
        let filled = transitions >= batch;
        let due = |models: &ModelRecipe| models.cadence.is_due(step, transitions);
        let trains = self.models.as_ref().is_some_and(due);
        Due { models: filled && models && trains, updates: filled && updates }
    }
}
