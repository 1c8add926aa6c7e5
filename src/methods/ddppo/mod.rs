//! DDPPO: two models of the world, one that predicts well and one whose derivative is right, and a policy improved by
//! back-propagating through them (Li et al., ICLR 2022; Algorithm 1).

use crate::config::{Config, GradientSource};
use crate::methods::learner::Learner;
use crate::methods::report::{LearnError, Learned};
use crate::methods::{Method, Models};
use crate::path::objective::Objective;
use crate::path::update::Starts;

/// The paper's method.
pub struct Ddppo;

impl Method for Ddppo {
    fn models(&self, config: &Config) -> Models {
        match (config.model.single_model, config.policy.gradient_source) {
            (true, _) => Models::OneWithGradientLoss,
            (false, GradientSource::GradientModel) => Models::Two,
            (false, _) => Models::One,
        }
    }

    /// Eq. 11: K steps through M^p with the derivatives of M^g, then the critic.
    fn objective<'a>(&self, learner: &'a Learner) -> Option<Objective<'a, f32>> {
        learner.imagined_objective()
    }

    /// Every 250 steps both models are trained and short imagined rollouts refill the critic's buffer; then the policy is
    /// improved through the models, then the critic and the temperature. Before the first model, the critic alone.
    fn learn(&self, learner: &mut Learner, step: u64) -> Result<Learned, LearnError> {
        let mut learned = Learned::default();
        if step <= learner.config().training.warmup_steps || !learner.can_learn() {
            return Ok(learned);
        }
        learner.renew_world(step, &mut learned)?;
        for _ in 0..learner.config().training.policy_updates_per_step {
            learned.policy_update(|| learner.improve_policy(Starts::Real))?;
        }
        for _ in 0..learner.config().training.critic_updates_per_step {
            learned.critic_update(|| learner.improve_critic())?;
        }
        Ok(learned)
    }
}
