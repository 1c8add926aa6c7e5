//! MAGE's settings: sections that methods share, and its own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, RunConfig, Settings};
use crate::critic::CriticConfig;
use crate::data::ExperienceConfig;
use crate::model::StandardisedModelConfig;

/// All settings of a run of MAGE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MageConfig {
    #[serde(flatten)]
    pub run: RunConfig,
    /// The loop around the updates.
    pub training: MageTraining,
    /// The model.
    pub model: StandardisedModelConfig,
    /// The policy and its update.
    pub policy: MagePolicy,
    /// The twin critic.
    pub critic: MageCritic,
}

/// The loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MageTraining {
    #[serde(flatten)]
    pub experience: ExperienceConfig,
    /// Environment steps between two model trainings, random first steps included (25).
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub model_every_steps: u64,
    /// Critic updates after each environment step (10).
    #[schemars(range(min = 0, max = 10_000))]
    pub critic_updates_per_step: usize,
}

/// The deterministic policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MagePolicy {
    /// Units of each of the two hidden layers (384).
    #[schemars(range(min = 1, max = 16_384))]
    pub hidden: usize,
    /// RAdam's step size (1e-4).
    #[schemars(extend("exclusiveMinimum" = 0.0), range(max = 1.0))]
    pub learning_rate: f64,
    /// Gradient entries are clipped to ± this (5).
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub gradient_clip: f64,
    /// Critic updates for each policy update (2).
    #[schemars(range(min = 1, max = 1_000_000))]
    pub delay: u64,
    /// Deviation of the noise added to actions in [−1, 1] while acting (0.1).
    #[schemars(range(min = 0.0, max = 10.0))]
    pub exploration_noise: f64,
    /// Deviation of the noise added to the target policy's actions in [−1, 1] (0.2).
    #[schemars(range(min = 0.0, max = 10.0))]
    pub target_noise: f64,
    /// Largest size of that noise (0.5).
    #[schemars(range(min = 0.0, max = 10.0))]
    pub target_noise_clip: f64,
    /// Largest |loss| of a policy update; beyond it policy and critic are drawn anew (1e5; `inf`: never).
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub reset_loss: f64,
}

/// The critic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MageCritic {
    #[serde(flatten)]
    pub network: CriticConfig,
    /// Weight of the error's action gradient in the loss, 1/λ (5). 0 is TD3 on imagined transitions.
    #[schemars(range(min = 0.0, max = 1e9))]
    pub action_gradient_weight: f64,
    /// Weight of the error itself (1).
    #[schemars(range(min = 0.0, max = 1e9))]
    pub error_weight: f64,
    /// Largest mean loss of the errors themselves; beyond it policy and critic are drawn anew (100; `inf`: never).
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub reset_loss: f64,
}

impl Settings for MageConfig {
    fn check(&self) -> Result<(), ConfigError> {
        self.training.experience.check()?;
        self.model.check()
    }
}
