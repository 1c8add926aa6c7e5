//! MBPO's settings: sections that methods share, and its own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{AnalysisConfig, ConfigError, RunConfig, Settings};
use crate::critic::CriticConfig;
use crate::data::ExperienceConfig;
use crate::model::{CadenceConfig, ModelConfig, RolloutConfig};
use crate::policy::{PolicyConfig, TemperatureConfig};

/// All settings of a run of MBPO.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MbpoConfig {
    #[serde(flatten)]
    pub run: RunConfig,
    /// The loop around the updates.
    pub training: MbpoTraining,
    /// How true the model is, measured while it learns.
    #[serde(default)]
    pub analysis: AnalysisConfig,
    /// The model.
    pub model: ModelConfig,
    /// Branched rollouts into the model buffer.
    pub rollout: RolloutConfig,
    /// The policy and its update.
    pub policy: PolicyConfig,
    /// The twin critic.
    pub critic: CriticConfig,
    /// The entropy temperature.
    pub temperature: TemperatureConfig,
}

/// The loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MbpoTraining {
    #[serde(flatten)]
    pub experience: ExperienceConfig,
    #[serde(flatten)]
    pub cadence: CadenceConfig,
    /// Critic and temperature updates after each environment step, each followed by a policy update (10 to 40).
    #[schemars(range(min = 0, max = 10_000))]
    pub critic_updates_per_step: usize,
    /// Share of real rows in a minibatch (0.05, that is 12 of 256).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub real_ratio: f64,
}

impl Settings for MbpoConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let experience = &self.training.experience;
        experience.check()?;
        self.training.cadence.check(experience.replay_capacity)?;
        self.model.check()?;
        self.rollout.check()
    }
}
