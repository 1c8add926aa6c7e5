//! MAAC: model-augmented actor-critic (Clavera et al., ICLR 2020), in the form that DDPPO's authors compare with (facts.md 1.5b):
//! one model, and a policy improved by true back-propagation through its sampled steps, the noise included.
//!
//! `policy.gradient_source = "prediction_model"` takes the derivatives of the model's mean head instead, which have the same
//! expectation over the noise's sign and less variance (facts.md 3.2).

use crate::config::Config;
use crate::methods::ddppo::Ddppo;
use crate::methods::learner::Learner;
use crate::methods::report::{LearnError, Learned};
use crate::methods::{Method, Models};
use crate::path::objective::Objective;

/// Model-augmented actor-critic.
pub struct Maac;

impl Method for Maac {
    fn models(&self, _: &Config) -> Models {
        Models::One
    }

    /// −Σ_{j<K} γʲ·m_j·(r_j − α·log π_j) − γᴷ·m_K·(min Q − α·log π_K), each step sampled from an elite of the one model.
    fn objective<'a>(&self, learner: &'a Learner) -> Option<Objective<'a, f32>> {
        learner.imagined_objective()
    }

    /// The order is DDPPO's.
    fn learn(&self, learner: &mut Learner, step: u64) -> Result<Learned, LearnError> {
        Ddppo.learn(learner, step)
    }
}
