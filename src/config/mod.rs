//! What a run is made of: the resolved configuration, one struct a section. Presets are TOML files compiled in
//! (`presets/<algo>/<task>.toml`); `--set section.key=value` goes on top. Nothing below this file sees raw flags.

mod error;
mod identity;
mod keys;
mod load;
mod methods;
mod presets;
mod reference;
pub mod suggest;
mod validate;
mod variants;

pub use crate::methods::Algorithm;
pub use error::ConfigError;
pub use keys::differences;
pub(crate) use methods::methods;
pub(crate) use presets::presets;
pub use presets::tasks_with_presets;
pub use variants::variants;

use serde::{Deserialize, Serialize};

/// A whole run. Written into the run directory as `config.toml`; `resume` reads it back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Task name, see `ddppo tasks`.
    pub task: String,
    /// Method, chosen by `--algo`. Settings that it has no use for are no settings of its runs.
    pub algorithm: Algorithm,
    /// Seed of every random stream of the run.
    pub seed: u64,
    /// Environment steps in all, warm-up included (Table 1: epochs × 1000).
    pub steps: u64,
    /// The loop around the algorithm (SPEC section 4).
    pub training: TrainingConfig,
    /// Evaluation in a separate environment.
    pub evaluation: EvaluationConfig,
    /// How true the models are, measured while they learn: what `ddppo analyze` measures on a saved run. It changes nothing
    /// else about a run.
    pub analysis: AnalysisConfig,
    /// Both world models (SPEC section 1).
    pub model: ModelConfig,
    /// The gradient loss R (eq. 9, 10).
    pub gradient_loss: GradientLossConfig,
    /// Branched rollouts into the model buffer.
    pub rollout: RolloutConfig,
    /// The policy and its update (eq. 11).
    pub policy: PolicyConfig,
    /// The twin critic (eq. 12).
    pub critic: CriticConfig,
    /// The entropy temperature (eq. 13).
    pub temperature: TemperatureConfig,
    /// When states are saved.
    pub checkpoint: CheckpointConfig,
    /// What stops a run that has lost its way, beside numbers that are not finite.
    pub guards: GuardConfig,
}

/// SPEC section 4.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingConfig {
    /// Steps with uniformly random actions, before anything is learned (5000; InvertedPendulum 200); SAC learns during
    /// them too.
    pub warmup_steps: u64,
    /// Rows of a minibatch, B (256).
    pub batch_size: usize,
    /// Environment steps between two model trainings (250).
    pub model_every_steps: u64,
    /// Transitions needed before the first model training (256).
    pub min_transitions: usize,
    /// Policy updates after each environment step, G1 (10).
    pub policy_updates_per_step: usize,
    /// Critic and temperature updates after each environment step, G2 (10). In SAC and MBPO a policy update follows each.
    pub critic_updates_per_step: usize,
    /// Share of real rows in a critic minibatch (0.05, that is 12 of 256).
    pub real_ratio: f64,
    /// Discount γ (0.99).
    pub discount: f64,
    /// Real transitions kept (1 000 000).
    pub replay_capacity: usize,
}

/// How a policy is scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluationConfig {
    /// Environment steps between two evaluations (1000).
    pub every_steps: u64,
    /// Episodes of one evaluation, with the deterministic policy (10).
    pub episodes: usize,
}

/// The models against the true derivatives of the world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnalysisConfig {
    /// Environment steps between two analyses of the models; 0 for none (0).
    pub every_steps: u64,
    /// Real states of one analysis (200). The true derivative at each takes 4·(|S| + |A|) steps of a world of its own.
    pub states: usize,
}

/// Both ensembles: same shape, same optimiser, own split and standardiser each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Members M (7).
    pub members: usize,
    /// Members kept for predictions, those with the lowest holdout error (5).
    pub elites: usize,
    /// Units of each hidden layer (200).
    pub hidden: usize,
    /// Hidden layers (4).
    pub layers: usize,
    /// Adam's step size (1e-3).
    pub learning_rate: f64,
    /// Weight penalty of each layer, `layers + 1` numbers (2.5e-5, 5e-5, 7.5e-5, 7.5e-5, 1e-4).
    pub weight_decay: Vec<f64>,
    /// Lower soft bound of the log-variance (−10).
    pub min_log_variance: f64,
    /// Upper soft bound of the log-variance (0.5).
    pub max_log_variance: f64,
    /// Train the bounds, one pair for each output, with 0.01·(Σ max − Σ min) in the loss (MBPO).
    pub train_bounds: bool,
    /// Share of the transitions held out at each training (0.2).
    pub holdout_fraction: f64,
    /// Most transitions held out (MBPO: 5000; DDPPO has no such limit).
    pub max_holdout: usize,
    /// Let each member train on rows drawn with replacement, once for each training, from the split (MBPO), instead of on
    /// the split itself.
    pub bootstrap: bool,
    /// Epochs in a row without an improved member that end a training (6).
    pub patience_epochs: usize,
    /// Relative fall of the holdout error that counts as an improvement (0.01).
    pub improvement: f64,
    /// Give each member back the weights of its last improvement when a training ends (MBPO).
    pub restore_best: bool,
    /// One model, trained with R, plays both roles (the paper's single-model variant).
    pub single_model: bool,
}

/// R of eq. 9, in the gradient model's loss with weight w (eq. 10).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GradientLossConfig {
    /// Weight w (Table 1). 0 leaves R out.
    pub weight: f64,
    /// Nearest neighbours of each row, n (Table 1).
    pub neighbours: usize,
    /// Directions drawn from a row's n at each step, m ≤ n. m = n is the paper's loss.
    pub directions_per_row: usize,
    /// Newest real transitions among which neighbours are sought (10 000).
    pub window: usize,
}

/// Model rollouts that fill the critic's model buffer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolloutConfig {
    /// Real states from which rollouts branch after each model training (100 000).
    pub starts: usize,
    /// Rollout length k up to `first_epoch`.
    pub min_length: usize,
    /// Rollout length k from `last_epoch` on.
    pub max_length: usize,
    /// Epoch (1000 steps) at which k starts to grow.
    pub first_epoch: u64,
    /// Epoch at which k reaches `max_length`.
    pub last_epoch: u64,
    /// Model buffer rows for each step of k (400 000).
    pub capacity_per_step: usize,
}

impl RolloutConfig {
    /// k(e) = ⌊min + clip((e − first)/(last − first), 0, 1)·(max − min)⌋ (SPEC section 4).
    pub fn length_at(&self, epoch: u64) -> usize {
        let span = (self.last_epoch.saturating_sub(self.first_epoch)).max(1) as f64;
        let share = ((epoch as f64 - self.first_epoch as f64) / span).clamp(0.0, 1.0);
        (self.min_length as f64 + share * (self.max_length as f64 - self.min_length as f64)).floor()
            as usize
    }
}

/// Where the derivatives of the policy update come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GradientSource {
    /// The gradient model's mean head at the prediction model's states (DDPPO).
    GradientModel,
    /// The prediction model's own mean head (MAAC's actor as an adjoint).
    PredictionModel,
    /// The prediction model's sampled step, through its noise too: back-propagation through time (MAAC's actor).
    SampledStep,
}

/// Policy network and update (SPEC section 2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyConfig {
    /// Units of each of the two hidden layers (256).
    pub hidden: usize,
    /// Adam's step size (3e-4).
    pub learning_rate: f64,
    /// Gradient entries are clipped to ± this (5; SAC and MBPO: `inf`, not at all).
    pub gradient_clip: f64,
    /// Take log π of actions scaled to [−1, 1], as MBPO does, instead of in environment units.
    pub normalised_density: bool,
    /// Model steps before the critic takes over, H (Table 1).
    pub horizon: usize,
    /// Which model gives the derivatives.
    pub gradient_source: GradientSource,
}

/// Twin critic (SPEC section 3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CriticConfig {
    /// Units of each of the two hidden layers (256).
    pub hidden: usize,
    /// Adam's step size (3e-4).
    pub learning_rate: f64,
    /// Gradient entries are clipped to ± this (100; SAC and MBPO: `inf`, not at all).
    pub gradient_clip: f64,
    /// Polyak factor τ of the target networks (0.005).
    pub target_rate: f64,
}

/// Entropy temperature α (SPEC section 3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemperatureConfig {
    /// Learn α; otherwise it stays at its start.
    pub automatic: bool,
    /// Adam's step size on log α (3e-4).
    pub learning_rate: f64,
    /// log α at the start (0).
    pub initial_log: f64,
    /// Entropy aimed at, per action dimension, in the units of log π (−1, so −|A| in all).
    pub target_entropy_per_dim: f64,
}

/// Saved states.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointConfig {
    /// Environment steps between two checkpoints (1000).
    pub every_steps: u64,
    /// Newest checkpoints kept, beside the best by evaluation (3).
    pub keep: usize,
}

/// Guards against divergence, all off unless asked for: a resumed run may have others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardConfig {
    /// Largest |loss| of the policy and of the critic; an update beyond it stops the run (inf: none does).
    pub max_loss: f64,
}
