//! What a method learns from: how many transitions are kept, and which of them a minibatch has.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::replay::Replay;
use crate::config::{ConfigError, require};
use crate::rng::Rng;

/// How the rows of a minibatch are drawn whose first `real_rows` are of `real` and whose others of `imagined`; all of `real` while
/// nothing has been imagined.
pub fn mixture<'a>(
    real: &'a Replay,
    imagined: &'a Replay,
    real_rows: usize,
) -> impl Fn(usize, &mut Rng) -> (&'a Replay, usize) + Sync {
    let others = if imagined.is_empty() { real } else { imagined };
    move |row, rng| {
        let source = if row < real_rows { real } else { others };
        (source, rng.below(source.len()))
    }
}

/// What every method that keeps its transitions learns from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExperienceConfig {
    /// Steps with uniformly random actions, before anything is learned (5000; InvertedPendulum 200); SAC learns during them, too.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub warmup_steps: u64,
    /// Rows of a minibatch, B (256).
    #[schemars(range(min = 1, max = 1_000_000))]
    pub batch_size: usize,
    /// Discount γ (0.99).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub discount: f64,
    /// Real transitions kept (1 000 000).
    #[schemars(range(min = 2, max = 100_000_000))]
    pub replay_capacity: usize,
}

impl ExperienceConfig {
    /// Checks the values against each other.
    ///
    /// # Errors
    /// On the first that is impossible.
    pub fn check(&self) -> Result<(), ConfigError> {
        let &Self { batch_size, replay_capacity, .. } = self;
        // Nothing is learned before there are more transitions than a minibatch has.
        let expected = format!("above `training.batch_size` ({batch_size})");
        let holds = replay_capacity > batch_size;
        require(holds, "training.replay_capacity", replay_capacity, expected)
    }
}
