//! Theorem 2: with steps α_t = 1/√t along a biased policy gradient, the smallest ‖dJ/dφ‖² falls until the bias holds it.

use super::matrix::{apply, norm, plus, spectral_norm};
use super::theorem1::BiasFactors;
use super::{ErrorSizes, KnownError, LinearTask};
use crate::rng::Rng;

/// Where the set point starts.
const START: [f64; 2] = [0.9, -0.4];

/// One more point of a descent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DescentPoint {
    /// T: updates done.
    pub updates: u64,
    /// min over t ≤ T of ‖dJ/dφ_t‖².
    pub smallest: f64,
    /// (47) with Theorem 1's bound as the bias.
    pub bound: f64,
    /// (47) with the largest bias that was met on the way.
    pub bound_by_measured_bias: f64,
}

/// A whole descent with one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Descent {
    /// Sizes of the model's errors.
    pub sizes: ErrorSizes,
    /// Largest ‖dR^M̂/dφ − dR/dφ‖ on the way.
    pub largest_bias: f64,
    /// At powers of 2 and at the end.
    pub progress: Vec<DescentPoint>,
}

/// What the reward of [`LinearTask::new`] is multiplied with: α_1 = 1 would reach the maximum of a J with second derivative
/// 1 in one update, and there would be no fall to see.
pub const REWARD_SCALE: f64 = 0.1;

/// Errors whose floor the descents of [`REWARD_SCALE`] reach within some thousand updates, times `share`.
pub fn sizes(share: f64) -> ErrorSizes {
    ErrorSizes {
        prediction: 0.01 * share,
        transition_gradient: 0.02 * share,
        reward_gradient: 0.01 * REWARD_SCALE * share,
    }
}

/// Improves the policy by `updates` steps with a model whose errors have these sizes.
pub fn descend(task: &LinearTask, sizes: ErrorSizes, updates: u64, seed: u64) -> Descent {
    let error = KnownError::draw(sizes, &mut Rng::new(seed, "theory descent"));
    let (truth, model) = (task.affine_gradient(&KnownError::NONE), task.affine_gradient(&error));
    let at = |(origin, slope): &([f64; 2], _), x: &[f64; 2]| plus(*origin, apply(slope, x));

    let mut setpoint = START;
    let (mut smallest, mut largest_bias, mut largest_setpoint) = (f64::INFINITY, 0.0_f64, 0.0_f64);
    let (mut steps, mut squares) = (0.0, 0.0);
    // (T, smallest ‖dJ/dφ‖², Σα, Σα²): the bounds need constants over all that is visited.
    let mut visited = Vec::new();
    for t in 1..=updates {
        smallest = smallest.min(norm(&at(&truth, &setpoint)).powi(2));
        let off = plus(at(&model, &setpoint), at(&truth, &setpoint).map(|x| -x));
        largest_bias = largest_bias.max(norm(&off));
        largest_setpoint = largest_setpoint.max(norm(&setpoint));
        let step = 1.0 / (t as f64).sqrt();
        steps += step;
        squares += step * step;
        if t.is_power_of_two() || t == updates {
            visited.push((t, smallest, steps, squares));
        }
        setpoint = plus(setpoint, at(&model, &setpoint).map(|x| step * x));
    }

    let constants = task.constants(largest_setpoint, sizes.prediction);
    let rest = 1.0 - constants.discount;
    // Lemma 6, Lemma 8 (79) and L_J^g, which is exact: J is quadratic.
    let largest_return = constants.largest_reward / rest;
    let slope = constants.reward * constants.policy / rest
        + constants.discount
            * constants.stationary
            * constants.policy
            * constants.transition
            * constants.reward
            / rest.powi(2);
    let curvature = spectral_norm(&truth.1);
    let by_theorem = BiasFactors::new(&constants).bound(&sizes);
    let progress = visited.into_iter().map(|(updates, smallest, steps, squares)| {
        // (47): 4U_J/Σα + 2B₂/Σα + B₃², with B₂ = Σα²·L_J^g·‖dR^M̂/dφ‖²/2 alone, as no data are sampled.
        let bound = |bias: f64| {
            let second = 0.5 * squares * curvature * (slope + bias).powi(2);
            (4.0 * largest_return + 2.0 * second) / steps + bias * bias
        };
        let (bound, bound_by_measured_bias) = (bound(by_theorem), bound(largest_bias));
        DescentPoint { updates, smallest, bound, bound_by_measured_bias }
    });
    Descent { sizes, largest_bias, progress: progress.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> LinearTask {
        LinearTask::new(0.9, 0).scaled(REWARD_SCALE)
    }

    #[test]
    fn the_smallest_gradient_lies_under_the_bound_and_stops_at_the_bias() {
        let task = task();
        let exact = descend(&task, sizes(0.0), 4096, 0);
        let ends = [0.25, 1.0].map(|share| {
            let descent = descend(&task, sizes(share), 4096, 0);
            for p in &descent.progress {
                assert!(
                    p.smallest <= p.bound_by_measured_bias && p.bound_by_measured_bias <= p.bound,
                    "{p:?}"
                );
            }
            let end = descent.progress[descent.progress.len() - 1].smallest;
            // Where the biased gradient vanishes, the true one is the bias.
            assert!(end <= descent.largest_bias.powi(2), "{descent:?}");
            assert!(end > 0.01 * descent.largest_bias.powi(2), "{descent:?}");
            end
        });
        assert!(exact.progress[exact.progress.len() - 1].smallest < 1e-6 * ends[0], "{exact:?}");
        // The floor is the bias squared: four times the error, about sixteen times the floor.
        assert!((8.0..32.0).contains(&(ends[1] / ends[0])), "{ends:?}");
    }

    #[test]
    fn without_errors_the_bound_falls_at_the_rate_of_the_theorem() {
        let task = task();
        let descent = descend(&task, sizes(0.0), 1 << 14, 0);
        let last = descent.progress.len() - 1;
        let fall = descent.progress[last - 4].bound / descent.progress[last].bound;
        // T grows sixteenfold: 1/√T alone would be 4, the logarithm in Σα² costs some.
        assert!((2.5..4.0).contains(&fall), "{fall}");
        for p in &descent.progress {
            assert!(p.smallest <= p.bound, "{p:?}");
        }
    }
}
