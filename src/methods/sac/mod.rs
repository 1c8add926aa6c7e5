//! SAC: soft actor-critic (Haarnoja et al., 2018), without a model of the world (facts.md 1.1).

use crate::config::Config;
use crate::methods::learner::Learner;
use crate::methods::report::{LearnError, Learned};
use crate::methods::{Method, Models};
use crate::path::objective::Objective;
use crate::path::update::Starts;

/// Soft actor-critic.
pub struct Sac;

impl Method for Sac {
    fn models(&self, _: &Config) -> Models {
        Models::None
    }

    /// −min(Q₁, Q₂)(s, a) + α·log π(a|s) in the states of the critic's minibatch.
    fn objective<'a>(&self, learner: &'a Learner) -> Option<Objective<'a, f32>> {
        Some(learner.objective())
    }

    /// As soon as there are more transitions than a minibatch has, during the random first steps too.
    fn learn(&self, learner: &mut Learner, _: u64) -> Result<Learned, LearnError> {
        let mut learned = Learned::default();
        if learner.real.len() > learner.config().training.batch_size {
            update(learner, &mut learned)?;
        }
        Ok(learned)
    }
}

/// The updates after one environment step: critic with temperature, then the policy on the same minibatch.
///
/// # Errors
/// When a loss is not finite.
pub fn update(learner: &mut Learner, learned: &mut Learned) -> Result<(), LearnError> {
    for _ in 0..learner.config().training.critic_updates_per_step {
        learned.critic_update(|| learner.improve_critic())?;
        learned.policy_update(|| learner.improve_policy(Starts::CriticMinibatch))?;
    }
    Ok(())
}
