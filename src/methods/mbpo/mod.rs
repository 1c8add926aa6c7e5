//! MBPO: soft actor-critic on the short rollouts of one model (Janner et al., NeurIPS 2019; facts.md 1.2). How its model differs
//! from DDPPO's (bootstrap, trained bounds, restored weights) is configuration.

use crate::config::Config;
use crate::methods::learner::Learner;
use crate::methods::report::{LearnError, Learned};
use crate::methods::{Method, Models, sac};
use crate::path::objective::Objective;

/// Model-based policy optimisation.
pub struct Mbpo;

impl Method for Mbpo {
    fn models(&self, _: &Config) -> Models {
        Models::One
    }

    /// SAC's, in the states of the critic's minibatch, of which 95 % are imagined.
    fn objective<'a>(&self, learner: &'a Learner) -> Option<Objective<'a, f32>> {
        Some(learner.objective())
    }

    /// The first model is trained on the last of the random steps; the first update follows the step after it.
    fn learn(&self, learner: &mut Learner, step: u64) -> Result<Learned, LearnError> {
        let mut learned = Learned::default();
        let warmup_steps = learner.config().training.warmup_steps;
        if step < warmup_steps || !learner.can_learn() {
            return Ok(learned);
        }
        learner.renew_world(step, &mut learned)?;
        if step > warmup_steps {
            sac::update(learner, &mut learned)?;
        }
        Ok(learned)
    }
}
