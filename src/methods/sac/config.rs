//! SAC's settings: sections that methods share, and its own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, RunConfig, Settings};
use crate::critic::CriticConfig;
use crate::data::ExperienceConfig;
use crate::policy::{PolicyConfig, TemperatureConfig};

/// All settings of a run of SAC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SacConfig {
    #[serde(flatten)]
    pub run: RunConfig,
    /// The loop around the updates.
    pub training: SacTraining,
    /// The policy and its update.
    pub policy: PolicyConfig,
    /// The twin critic.
    pub critic: CriticConfig,
    /// The entropy temperature.
    pub temperature: TemperatureConfig,
}

/// The loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SacTraining {
    #[serde(flatten)]
    pub experience: ExperienceConfig,
    /// Critic and temperature updates after each environment step, each followed by a policy update (1).
    #[schemars(range(min = 0, max = 10_000))]
    pub critic_updates_per_step: usize,
}

impl Settings for SacConfig {
    fn check(&self) -> Result<(), ConfigError> {
        self.training.experience.check()
    }
}
