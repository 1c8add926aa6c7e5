//! The settings that every run has, whatever its method.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunConfig {
    /// Task name, see `ddppo tasks`.
    #[schemars(length(min = 1))]
    pub task: String,
    /// Method, chosen by `--algo`.
    pub algorithm: String,
    /// Seed of every random stream of the run.
    // TOML's integers end there.
    #[schemars(range(min = 0, max = 9_223_372_036_854_775_807_u64))]
    pub seed: u64,
    /// Environment steps in all, warm-up included (Table 1: epochs × 1000).
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub steps: u64,
    /// Evaluation in a separate environment.
    pub evaluation: EvaluationConfig,
    /// When states are saved.
    pub checkpoint: CheckpointConfig,
    /// What stops a run that has lost its way, beside numbers that are not finite.
    #[serde(default)]
    pub guards: GuardConfig,
    /// What is written for people beside the metrics. It changes nothing else about a run.
    #[serde(default)]
    pub report: ReportConfig,
}

/// How a policy is scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EvaluationConfig {
    /// Environment steps between two evaluations (1000).
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub every_steps: u64,
    /// Episodes of one evaluation, with the deterministic policy (10).
    #[schemars(range(min = 1, max = 100_000))]
    pub episodes: usize,
    /// Mean return at which the task is solved and the run stops (inf: none is).
    #[serde(default = "no_limit")]
    pub stop_at_return: f64,
    /// Evaluations whose mean must reach it: the last so many (3).
    #[serde(default = "stop_evaluations")]
    #[schemars(range(min = 1, max = 10_000))]
    pub stop_evaluations: usize,
}

fn stop_evaluations() -> usize {
    3
}

/// The models against the true derivatives of the environment, for methods that learn models. It changes nothing else about a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AnalysisConfig {
    /// Environment steps between two analyses of the models; 0 for none (0).
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub every_steps: u64,
    /// Real states of one analysis (200). The true derivative at each takes 4·(|S| + |A|) steps of an environment of its own.
    #[serde(default = "analysed_states")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub states: usize,
}

fn analysed_states() -> usize {
    200
}

impl Default for AnalysisConfig {
    fn default() -> Self {
        Self { every_steps: 0, states: analysed_states() }
    }
}

/// Saved states.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckpointConfig {
    /// Environment steps between two checkpoints (1000).
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub every_steps: u64,
    /// Newest checkpoints kept, beside the best by evaluation (3).
    #[schemars(range(min = 1, max = 10_000))]
    pub keep: usize,
}

/// Guards against divergence, all off unless asked for: a resumed run may have others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GuardConfig {
    /// Largest |loss| of the policy and of the critic; an update beyond it stops the run (inf: none does).
    #[serde(default = "no_limit")]
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub max_loss: f64,
}

/// What is written for people.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReportConfig {
    /// Write event files for TensorBoard into the run's folder, as `--tensorboard` does.
    #[serde(default)]
    pub tensorboard: bool,
}

fn no_limit() -> f64 {
    f64::INFINITY
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self { max_loss: no_limit() }
    }
}
