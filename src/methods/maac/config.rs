//! MAAC's settings: sections that methods share, and its own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{AnalysisConfig, ConfigError, RunConfig, Settings, require};
use crate::critic::CriticConfig;
use crate::data::ExperienceConfig;
use crate::model::{CadenceConfig, ModelConfig, RolloutConfig};
use crate::path::{GradientSource, PathConfig};
use crate::policy::{PolicyConfig, TemperatureConfig};

/// All settings of a run of MAAC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MaacConfig {
    #[serde(flatten)]
    pub run: RunConfig,
    /// The loop around the updates.
    pub training: MaacTraining,
    /// How true the models are, measured while they learn.
    #[serde(default)]
    pub analysis: AnalysisConfig,
    /// The model.
    pub model: ModelConfig,
    /// Branched rollouts into the model buffer.
    pub rollout: RolloutConfig,
    /// The policy and its update through the model.
    pub policy: MaacPolicy,
    /// The twin critic.
    pub critic: CriticConfig,
    /// The entropy temperature.
    pub temperature: TemperatureConfig,
}

/// The loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MaacTraining {
    #[serde(flatten)]
    pub experience: ExperienceConfig,
    #[serde(flatten)]
    pub cadence: CadenceConfig,
    /// Policy updates after each environment step, G1 (10).
    #[schemars(range(min = 0, max = 10_000))]
    pub policy_updates_per_step: usize,
    /// Critic and temperature updates after each environment step, G2 (10).
    #[schemars(range(min = 0, max = 10_000))]
    pub critic_updates_per_step: usize,
    /// Share of real rows in a critic minibatch (0.05, that is 12 of 256).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub real_ratio: f64,
}

/// The policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MaacPolicy {
    #[serde(flatten)]
    pub network: PolicyConfig,
    #[serde(flatten)]
    pub path: PathConfig,
}

impl Settings for MaacConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let (experience, cadence) = (&self.training.experience, &self.training.cadence);
        experience.check()?;
        cadence.check(experience.replay_capacity)?;
        self.model.check()?;
        require(
            self.policy.path.gradient_source != GradientSource::GradientModel,
            "policy.gradient_source",
            "gradient_model",
            "`sampled_step` or `prediction_model`: MAAC has one model",
        )?;
        self.rollout.check()
    }
}
