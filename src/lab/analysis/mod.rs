//! What is measured on a finished or saved run.

pub mod gradient_error;
pub mod mean_head;
pub mod multi_step;
pub mod policy_gradient;
pub mod trajectory;

use crate::methods::{Learner, World};

/// A run that cannot be looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsuitable {
    /// It will have models.
    #[error(
        "this run has not trained its models yet: a checkpoint from after the first model training is needed"
    )]
    NotTrained,
    /// It never has.
    #[error("this is a run of {0}, which learns no model of the world that could be looked into")]
    NoModel(&'static str),
    /// It trains none with R.
    #[error("this is a run of {0}, which has no gradient loss; a probe shows the updates of ddppo")]
    NoGradientLoss(&'static str),
}

/// The learner's models.
///
/// # Errors
/// When it has none, or has not trained them yet.
pub fn trained_world(learner: &Learner) -> Result<&World, Unsuitable> {
    match (&learner.world, learner.trained_world()) {
        (_, Some(world)) => Ok(world),
        (Some(_), None) => Err(Unsuitable::NotTrained),
        (None, None) => Err(Unsuitable::NoModel(learner.config().algorithm.name())),
    }
}
