//! One update of each kind that a method's gradients are taken in, written out whole: what went in, every draw, what came
//! out. `docs/probe.md` documents the names, so that anyone can recompute it in another framework; our own tests do so
//! in JAX. Everything is computed by the code that trains, in `f32` as it trains or in `f64`.

mod file;
mod paper;
mod plus;

pub use file::Probe;

use super::analysis::Unsuitable;
use crate::methods::Method;
use crate::methods::ddppo::Ddppo;
use crate::methods::ddppo_plus::DdppoPlus;
use crate::nn::Real;
use crate::run::snapshot::Element;

/// Writes out the updates of a run of DDPPO or DDPPO+. `T` is the float type they are computed in.
///
/// # Errors
/// When the method, whose name is `algorithm`, has no gradient loss, or its models have not been trained yet.
pub fn probe<T: Real + Element>(
    method: &dyn Method,
    algorithm: &str,
    seed: u64,
) -> Result<Probe, Unsuitable> {
    if let Some(ddppo) = method.downcast::<Ddppo>() {
        return paper::written::<T>(ddppo, seed);
    }
    match method.downcast::<DdppoPlus>() {
        Some(plus) => plus::written::<T>(plus, seed),
        None => Err(Unsuitable::NoGradientLoss(algorithm.to_owned())),
    }
}
