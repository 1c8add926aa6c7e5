//! STEVE's settings: sections that methods share, and its own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, RunConfig, Settings};
use crate::data::ExperienceConfig;
use crate::model::TerminationSource;

/// All settings of a run of STEVE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SteveConfig {
    #[serde(flatten)]
    pub run: RunConfig,
    /// The loop around the updates.
    pub training: SteveTraining,
    /// The critic's targets.
    pub steve: ExpansionConfig,
    /// The model: ensembles of transitions, rewards and ends.
    pub model: WorldConfig,
    /// The policy and its update.
    pub policy: StevePolicy,
    /// The critic.
    pub critic: SteveCritic,
}

/// The loop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SteveTraining {
    #[serde(flatten)]
    pub experience: ExperienceConfig,
    /// Model updates when the random steps are over (10 000, as many as random steps).
    #[schemars(range(min = 0, max = 100_000_000))]
    pub pretraining_updates: u64,
    /// Model updates after each environment step from then on (4).
    #[schemars(range(min = 0, max = 10_000))]
    pub model_updates_per_step: usize,
    /// Critic updates after each environment step, each followed by a policy update on the same rows (4).
    #[schemars(range(min = 0, max = 10_000))]
    pub critic_updates_per_step: usize,
}

/// The targets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExpansionConfig {
    /// Most imagined steps in a target, H (3); 0 for targets of the real step alone.
    #[schemars(range(min = 0, max = 1000))]
    pub horizon: usize,
}

/// The model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorldConfig {
    /// Networks of each ensemble (4).
    #[schemars(range(min = 1, max = 1000))]
    pub members: usize,
    /// Units of each hidden layer of a transition network (512).
    #[schemars(range(min = 1, max = 16_384))]
    pub hidden: usize,
    /// Hidden layers of a transition network (7).
    #[schemars(range(min = 1, max = 64))]
    pub layers: usize,
    /// Units of each hidden layer of a reward or termination network (128).
    #[schemars(range(min = 1, max = 16_384))]
    pub head_hidden: usize,
    /// Hidden layers of a reward or termination network (3).
    #[schemars(range(min = 1, max = 64))]
    pub head_layers: usize,
    /// Adam's step size (3e-4).
    #[schemars(extend("exclusiveMinimum" = 0.0), range(max = 1.0))]
    pub learning_rate: f64,
    /// Weight λ of ½·λ‖weights and biases‖², over all members, in the loss (1e-4).
    #[schemars(range(min = 0.0, max = 1e6))]
    pub decay: f64,
    /// What ends imagined episodes (learned).
    #[serde(default = "learned")]
    pub termination: TerminationSource,
}

fn learned() -> TerminationSource {
    TerminationSource::Learned
}

/// The policy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StevePolicy {
    /// Units of each hidden layer (128).
    #[schemars(range(min = 1, max = 16_384))]
    pub hidden: usize,
    /// Hidden layers (3).
    #[schemars(range(min = 1, max = 64))]
    pub layers: usize,
    /// Adam's step size (3e-4).
    #[schemars(extend("exclusiveMinimum" = 0.0), range(max = 1.0))]
    pub learning_rate: f64,
    /// Chance of each coordinate of an action to be tanh(z + N(0, 1)) in place of tanh(z) (0.05).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub exploration: f64,
    /// Weight of the mean of z² in the loss, which keeps tanh(z) from saturating (1e-3).
    #[schemars(range(min = 0.0, max = 1e6))]
    pub output_penalty: f64,
}

/// The critic.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SteveCritic {
    /// Networks Q₁, Q₂, … (4).
    #[schemars(range(min = 1, max = 1000))]
    pub members: usize,
    /// Units of each hidden layer (128).
    #[schemars(range(min = 1, max = 16_384))]
    pub hidden: usize,
    /// Hidden layers (3).
    #[schemars(range(min = 1, max = 64))]
    pub layers: usize,
    /// Adam's step size (3e-4).
    #[schemars(extend("exclusiveMinimum" = 0.0), range(max = 1.0))]
    pub learning_rate: f64,
    /// Critic updates after which the target networks become copies (500).
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub copy_every_updates: u64,
}

impl Settings for SteveConfig {
    fn check(&self) -> Result<(), ConfigError> {
        self.training.experience.check()
    }
}
