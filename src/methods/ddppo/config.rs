//! DDPPO's settings: sections that methods share, and its own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{AnalysisConfig, ConfigError, RunConfig, Settings, require};
use crate::critic::CriticConfig;
use crate::data::ExperienceConfig;
use crate::model::{CadenceConfig, GradientLossConfig, ModelConfig, RolloutConfig};
use crate::path::PathConfig;
use crate::policy::{PolicyConfig, TemperatureConfig};

/// All settings of a run of DDPPO.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DdppoConfig {
    #[serde(flatten)]
    pub run: RunConfig,
    /// The loop around the updates.
    pub training: DdppoTraining,
    /// How true the models are, measured while they learn.
    #[serde(default)]
    pub analysis: AnalysisConfig,
    /// Both models: same shape, same optimiser, own split and standardiser each.
    pub model: DdppoModel,
    /// The gradient loss R (eq. 9, 10).
    pub gradient_loss: GradientLossConfig,
    /// Branched rollouts into the model buffer.
    pub rollout: RolloutConfig,
    /// The policy and its update (eq. 11).
    pub policy: DdppoPolicy,
    /// The twin critic (eq. 12).
    pub critic: DdppoCritic,
    /// The entropy temperature (eq. 13).
    pub temperature: TemperatureConfig,
}

/// The loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DdppoTraining {
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

/// The models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DdppoModel {
    #[serde(flatten)]
    pub ensemble: ModelConfig,
    /// One model, trained with R, plays both roles (the paper's single-model variant).
    #[serde(default)]
    pub single_model: bool,
}

/// The policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DdppoPolicy {
    #[serde(flatten)]
    pub network: PolicyConfig,
    #[serde(flatten)]
    pub path: PathConfig,
    /// Elites whose mean is the derivative of an imagined step, k; each costs a reverse pass (1).
    #[serde(default = "one_member")]
    #[schemars(range(min = 1, max = 1000))]
    pub derivative_members: usize,
}

fn one_member() -> usize {
    1
}

/// The critic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DdppoCritic {
    #[serde(flatten)]
    pub network: CriticConfig,
    /// Weight of the error of the critic's action gradient beside that of its value, on imagined rows, the target's slope taken
    /// through the gradient model (0: the paper's critic; MAGE: 5).
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1e9))]
    pub action_gradient_weight: f64,
}

impl Settings for DdppoConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let (experience, cadence) = (&self.training.experience, &self.training.cadence);
        experience.check()?;
        cadence.check(experience.replay_capacity)?;
        self.model.ensemble.check()?;
        self.gradient_loss.check(cadence.min_transitions, experience.replay_capacity)?;
        let (k, elites) = (self.policy.derivative_members, self.model.ensemble.elites);
        let expected = format!("at most `model.elites` ({elites})");
        require(k <= elites, "policy.derivative_members", k, expected)?;
        self.rollout.check()
    }
}
