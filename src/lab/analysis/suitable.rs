//! Whether a run has what is to be measured.

use crate::methods::Method;
use crate::model::Models;

/// A run that cannot be looked into.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsuitable {
    /// It will have models.
    #[error(
        "this run has not trained its models yet: a checkpoint from after the first model training is needed"
    )]
    NotTrained,
    /// It never has.
    #[error(
        "this is a run of {0}, which learns no model of the environment that could be looked into: \
         no ensemble of Gaussians for (r, Δs)"
    )]
    NoModel(String),
    /// It trains none with R.
    #[error(
        "this is a run of {0}, which has no gradient loss; a probe shows the updates of ddppo and ddppo-plus"
    )]
    NoGradientLoss(String),
    /// Its updates are not the paper's.
    #[error("a probe writes out the paper's updates, and this run's `{0}` is another")]
    NotOfPaper(&'static str),
}

/// A method's models; `algorithm` is the method's name.
///
/// # Errors
/// When it has none, or has not trained them yet.
pub fn trained_models<'a>(
    method: &'a dyn Method,
    algorithm: &str,
) -> Result<Models<'a>, Unsuitable> {
    match method.models() {
        Some(models) if models.are_trained() => Ok(models),
        Some(_) => Err(Unsuitable::NotTrained),
        None => Err(Unsuitable::NoModel(algorithm.to_owned())),
    }
}
