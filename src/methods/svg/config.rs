//! SVG's settings: sections that methods share, and its own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{AnalysisConfig, ConfigError, RunConfig, Settings, require};
use crate::critic::CriticConfig;
use crate::data::ExperienceConfig;
use crate::model::{CadenceConfig, ModelConfig};
use crate::policy::PolicyConfig;

/// All settings of a run of SVG.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SvgConfig {
    #[serde(flatten)]
    pub run: RunConfig,
    /// The loop around the updates.
    pub training: SvgTraining,
    /// How true the model is, measured while it learns.
    #[serde(default)]
    pub analysis: AnalysisConfig,
    /// The updates along recorded steps.
    pub svg: RecordedConfig,
    /// The model.
    pub model: ModelConfig,
    /// The policy and its update.
    pub policy: PolicyConfig,
    /// The critic of states, V.
    pub critic: CriticConfig,
}

/// The loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SvgTraining {
    #[serde(flatten)]
    pub experience: ExperienceConfig,
    #[serde(flatten)]
    pub cadence: CadenceConfig,
}

/// Updates on real transitions whose noise is inferred.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RecordedConfig {
    /// Rows of a minibatch of policy and critic updates (256); `training.batch_size` is that of the model's training.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub batch_size: usize,
    /// Rows start among this many of the newest transitions (25 000).
    #[schemars(range(min = 1, max = 100_000_000))]
    pub window: usize,
    /// Recorded steps that a gradient goes along, H: 1 is SVG(1); with the longest episode, SVG(∞) (1).
    #[serde(default = "one_step")]
    #[schemars(range(min = 1, max = 100_000))]
    pub horizon: usize,
    /// Importance weights are truncated at this (5).
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub importance_cap: f64,
    /// β, the weight of KL(π‖π_old) in the policy's loss; π_old is the policy at the last training of the model (1e-3).
    #[schemars(range(min = 0.0, max = 1e6))]
    pub divergence_weight: f64,
    /// Where above 0, the policy's σ is one number for each coordinate of the action, whatever the state: it begins at 1 and is at least
    /// this (0.1; the benchmark: 1e-6). With 0, σ is an output of the policy's network.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub least_sigma: f64,
    /// Updates of critic and policy after each environment step (1).
    #[schemars(range(min = 0, max = 10_000))]
    pub updates_per_step: usize,
    /// Updates after each training of the model (0; the benchmark's schedule: 62).
    #[serde(default)]
    #[schemars(range(min = 0, max = 10_000_000))]
    pub updates_per_training: usize,
    /// Passes of the critic, after each training of the model, over the discounted returns of the steps since the last one; where above
    /// 0, the critic learns from nothing else (0; the benchmark's schedule: 50).
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub return_epochs: usize,
    /// Rows of a minibatch of these passes (32).
    #[serde(default = "return_batch")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub return_batch_size: usize,
}

fn one_step() -> usize {
    1
}

fn return_batch() -> usize {
    32
}

impl Settings for SvgConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let SvgTraining { experience, cadence } = &self.training;
        experience.check()?;
        cadence.check(experience.replay_capacity)?;
        self.model.check()?;
        let capacity = experience.replay_capacity;
        let expected = format!("at most `training.replay_capacity` ({capacity})");
        let every = usize::try_from(cadence.model_every_steps).unwrap_or(usize::MAX);
        let holds = self.svg.return_epochs == 0 || every <= capacity;
        require(holds, "training.model_every_steps", every, expected)
    }
}
