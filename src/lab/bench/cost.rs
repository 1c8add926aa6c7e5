//! For about how long a run of DDPPO will train, from its pieces timed here.

use std::time::Duration;

use super::error::BenchError;
use super::piece::Piece;
use super::{Bench, Effort};
use crate::config::Config;
use crate::methods::ddppo::DdppoConfig;

/// Epochs of a model training that the estimate supposes: nobody knows them before.
pub const EPOCHS: f64 = 30.0;
/// How the pieces are timed for it.
const QUICK: Effort = Effort { runs: 5, limit: Duration::from_secs(1) };

/// Seconds of a run's pieces.
pub struct Cost {
    environment_step: f64,
    updates: f64,
    model_step: f64,
    rollout: f64,
    evaluation: f64,
}

impl Cost {
    /// Times the pieces, on the threads of the present rayon pool. R is timed even where a run has none: an estimate from above.
    ///
    /// # Errors
    /// When a piece cannot be built or run.
    pub fn measure(config: &Config) -> Result<Self, BenchError> {
        let DdppoConfig { training, gradient_loss, .. } = config.view();
        let weight = gradient_loss.weight.max(1.0);
        let with_loss = config.with_settings(&[format!("gradient_loss.weight={weight:?}")])?;
        let directions = gradient_loss.directions_per_row;
        let task = crate::env::task(config.task())?;
        let mut bench = Bench::new(&with_loss, task, Some(directions))?;
        let mut seconds = |piece| bench.measure(piece, QUICK).map(|timing| timing.ms_median / 1e3);
        Ok(Self {
            environment_step: seconds(Piece::EnvironmentStep)?,
            updates: training.policy_updates_per_step as f64 * seconds(Piece::PolicyUpdate)?
                + training.critic_updates_per_step as f64 * seconds(Piece::CriticUpdate)?,
            model_step: seconds(Piece::GradientModelStep)?,
            rollout: seconds(Piece::Rollout100k)?,
            evaluation: seconds(Piece::Evaluation)?,
        })
    }

    /// Of the steps from `finished` on.
    pub fn seconds(&self, config: &Config, finished: u64) -> f64 {
        let DdppoConfig { run, training, model, .. } = config.view();
        let experience = training.experience;
        let steps = run.steps.saturating_sub(finished) as f64;
        let learning = run.steps.saturating_sub(finished.max(experience.warmup_steps)) as f64;
        let trainings = learning / training.cadence.model_every_steps as f64;
        // The mean over the remaining steps of the transitions that an epoch walks through.
        let transitions =
            0.5 * (run.steps + finished) as f64 * (1.0 - model.ensemble.holdout_fraction);
        let minibatches = EPOCHS * transitions / experience.batch_size as f64;
        steps * self.environment_step
            + learning * self.updates
            + trainings * (minibatches * self.model_step + self.rollout)
            + steps / run.evaluation.every_steps as f64 * self.evaluation
    }
}
