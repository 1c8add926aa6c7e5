//! The settings: sections that methods share, and the method's own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{AnalysisConfig, ConfigError, RunConfig, Settings, require};
use crate::data::ExperienceConfig;
use crate::model::{BudgetConfig, SecantConfig};
use crate::nn::InitialWeights;
use crate::path::ShortPathConfig;
use crate::policy::TemperatureConfig;

/// All settings of a run of DDPPO+.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DdppoPlusConfig {
    #[serde(flatten)]
    pub run: RunConfig,
    /// The loop around the updates.
    pub training: PlusTraining,
    /// How true the models are, measured while they learn.
    #[serde(default)]
    pub analysis: AnalysisConfig,
    /// Both models: same shape, same training.
    pub model: BudgetConfig,
    /// The gradient model's secant loss.
    pub gradient_loss: SecantConfig,
    /// Long rollouts, from whose states the short paths start.
    pub rollout: LongRolloutConfig,
    /// The policy and its update.
    pub policy: PlusPolicy,
    /// The critics.
    pub critic: PlusCritic,
    /// The entropy temperature.
    pub temperature: TemperatureConfig,
}

/// The loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlusTraining {
    #[serde(flatten)]
    pub experience: ExperienceConfig,
    /// Environment steps between two blocks of model training and updates (1000).
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub block_steps: u64,
    /// Updates in the first block, after the random steps (5000).
    #[schemars(range(min = 0, max = 100_000_000))]
    pub first_updates: u64,
    /// Updates of critic and policy for each environment step of a later block (1).
    #[schemars(range(min = 0.0, max = 10_000.0))]
    pub updates_per_step: f64,
    /// Updates of the critic alone at the beginning of a block (250).
    #[schemars(range(min = 0, max = 100_000_000))]
    pub critic_updates: u64,
}

/// Long rollouts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LongRolloutConfig {
    /// Updates between two of them (20); the first update of a block begins with one.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub every_updates: u64,
    /// Real states from which they branch (256).
    #[schemars(range(min = 1, max = 1_000_000))]
    pub starts: usize,
    /// Steps (20).
    #[schemars(range(min = 1, max = 10_000))]
    pub length: usize,
    /// States kept, the newest (51 200).
    #[schemars(range(min = 1, max = 100_000_000))]
    pub capacity: usize,
}

/// The policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlusPolicy {
    /// Units of each hidden layer (256).
    #[schemars(range(min = 1, max = 16_384))]
    pub hidden: usize,
    /// Hidden layers (3).
    #[schemars(range(min = 1, max = 64))]
    pub layers: usize,
    /// Adam's step size (3e-4).
    #[schemars(extend("exclusiveMinimum" = 0.0), range(max = 1.0))]
    pub learning_rate: f64,
    /// Gradient entries are clipped to ± this (`inf`: not at all).
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub gradient_clip: f64,
    #[serde(flatten)]
    pub path: ShortPathConfig,
}

/// The critics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlusCritic {
    /// Networks (5). A target is the least of two of them, drawn for each update.
    #[schemars(range(min = 2, max = 1000))]
    pub members: usize,
    /// Units of each hidden layer (256).
    #[schemars(range(min = 1, max = 16_384))]
    pub hidden: usize,
    /// Hidden layers (3).
    #[schemars(range(min = 1, max = 64))]
    pub layers: usize,
    /// How a network's weights are drawn; those of its output are 0.
    #[serde(default = "initial_weights")]
    pub initial_weights: InitialWeights,
    /// Layer normalisation behind each hidden layer, without gain and bias.
    #[serde(default)]
    pub layer_norm: bool,
    /// Adam's step size (3e-4).
    #[schemars(extend("exclusiveMinimum" = 0.0), range(max = 1.0))]
    pub learning_rate: f64,
    /// Gradient entries are clipped to ± this (`inf`: not at all).
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub gradient_clip: f64,
    /// Polyak factor τ of the target networks (0.005).
    #[schemars(extend("exclusiveMinimum" = 0.0), range(max = 1.0))]
    pub target_rate: f64,
}

fn initial_weights() -> InitialWeights {
    InitialWeights::Orthogonal
}

impl Settings for DdppoPlusConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let experience = &self.training.experience;
        experience.check()?;
        self.model.check()?;
        let below =
            format!("below 1, since values are measured in 1/(1 − {})", experience.discount);
        require(experience.discount < 1.0, "training.discount", experience.discount, below)?;
        self.gradient_loss.check()?;
        let (members, k) = (self.model.members, self.policy.path.derivative_members);
        let expected = format!("at most `model.members` ({members})");
        require(k <= members, "policy.derivative_members", k, expected)
    }
}
