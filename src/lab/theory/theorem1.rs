//! Theorem 1: the bias of the policy gradient is at most C6·ε_r^g + C7·ε_f^g + C8·ε_f.

use super::matrix::{norm, plus};
use super::{Constants, ErrorSizes, KnownError, LinearTask};
use crate::rng::Rng;

/// Error directions tried at each size; the worst bias counts.
const DRAWS: usize = 40;
/// Set points at which the bias is measured.
const SETPOINTS: [[f64; 2]; 3] = [[0.0, 0.0], [0.9, -0.4], [-0.3, 0.6]];
/// Largest ‖φ‖ that the constants are to hold for.
const LARGEST_SETPOINT: f64 = 1.0;

/// The factors of the three errors, computed from the constants of the assumptions (C.1; docs/theory.md).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BiasFactors {
    /// C6, of ε_r^g.
    pub reward_gradient: f64,
    /// C7, of ε_f^g.
    pub transition_gradient: f64,
    /// C8, of ε_f.
    pub prediction: f64,
}

impl BiasFactors {
    /// From the constants: Lemmas 1, 2, 4 and (30)–(34). The transition is linear, so L_f^g = 0.
    pub fn new(c: &Constants) -> Self {
        let rest = 1.0 - c.discount;
        // Lemma 1.
        let c0 = (2.0 * c.radius).min(1.0 / (1.0 - c.transition));
        // Lemma 4.
        let c3 = c.stationary / rest;
        let c4 = c.discount * c.reward * c.stationary.powi(2) / rest.powi(2);
        let c5 = c0 * c.stationary * c.reward_gradient / rest;
        let through = c.discount * c.transition * c.policy / rest;
        Self {
            reward_gradient: c.policy / rest + through * c3,
            transition_gradient: through * c4
                + c.discount * c.stationary * c.reward * c.policy / rest.powi(2),
            prediction: c.policy * c0 * c.reward_gradient / rest + through * c5,
        }
    }

    /// The theorem's right side.
    pub fn bound(&self, sizes: &ErrorSizes) -> f64 {
        self.reward_gradient * sizes.reward_gradient
            + self.transition_gradient * sizes.transition_gradient
            + self.prediction * sizes.prediction
    }
}

/// A measured bias beside its bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeasuredBias {
    /// Sizes of the model's errors.
    pub sizes: ErrorSizes,
    /// ‖dR^M̂/dφ − dR/dφ‖, the largest over error directions and set points.
    pub measured: f64,
    /// C6·ε_r^g + C7·ε_f^g + C8·ε_f.
    pub bound: f64,
}

/// One way in which the errors grow: a name and the biases in the order of size.
#[derive(Clone, Debug, PartialEq)]
pub struct Growth {
    /// Such as "ε_f".
    pub name: &'static str,
    /// From small errors to large ones.
    pub biases: Vec<MeasuredBias>,
}

/// Lets each error grow on its own, then all three, up to the size where the theorem's assumptions end.
pub fn grow(task: &LinearTask, seed: u64) -> Vec<Growth> {
    // Beyond, models exist whose closed loop expands, and L_1 is no longer 1.
    let room = 1.0 - task.constants(LARGEST_SETPOINT, 0.0).transition;
    let none = ErrorSizes::default();
    let largest = ErrorSizes { prediction: 0.1, transition_gradient: room, reward_gradient: 0.1 };
    let ways = [
        ("ε_f", ErrorSizes { prediction: largest.prediction, ..none }),
        ("ε_f^g", ErrorSizes { transition_gradient: room, ..none }),
        ("ε_r^g", ErrorSizes { reward_gradient: largest.reward_gradient, ..none }),
        ("all three", largest),
    ];
    let mut rng = Rng::new(seed, "theory errors");
    ways.into_iter()
        .map(|(name, largest)| {
            let shares = (-8..=0).map(|power| 2.0_f64.powi(power));
            let biases = shares.map(|share| {
                let sizes = ErrorSizes {
                    prediction: share * largest.prediction,
                    transition_gradient: share * largest.transition_gradient,
                    reward_gradient: share * largest.reward_gradient,
                };
                measure(task, sizes, &mut rng)
            });
            Growth { name, biases: biases.collect() }
        })
        .collect()
}

fn measure(task: &LinearTask, sizes: ErrorSizes, rng: &mut Rng) -> MeasuredBias {
    let constants = task.constants(LARGEST_SETPOINT, sizes.prediction);
    let mut measured = 0.0_f64;
    for _ in 0..DRAWS {
        let error = KnownError::draw(sizes, rng);
        for setpoint in &SETPOINTS {
            measured = measured.max(bias(task, setpoint, &error));
        }
    }
    MeasuredBias { sizes, measured, bound: BiasFactors::new(&constants).bound(&sizes) }
}

/// ‖dR^M̂/dφ − dR/dφ‖.
fn bias(task: &LinearTask, setpoint: &[f64; 2], error: &KnownError) -> f64 {
    let truth = task.gradient(setpoint, &KnownError::NONE);
    norm(&plus(task.gradient(setpoint, error), truth.map(|x| -x)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bias_lies_under_the_bound_and_grows_with_each_error() {
        let task = LinearTask::new(0.9, 0);
        for growth in grow(&task, 0) {
            for bias in &growth.biases {
                assert!(bias.measured > 0.0 && bias.measured <= bias.bound, "{growth:?}");
            }
            // Over 256 times the error, the worst of 40 directions grows at least a hundredfold.
            let (first, last) = (growth.biases[0], growth.biases[growth.biases.len() - 1]);
            assert!(last.measured > 100.0 * first.measured, "{growth:?}");
        }
    }

    #[test]
    fn the_bound_would_notice_smaller_constants() {
        // A fifteenth of C6 is too little: the bound is not so loose that anything passes.
        let task = LinearTask::new(0.9, 0);
        let growth = &grow(&task, 0)[2];
        assert!(growth.biases.iter().any(|bias| bias.measured > bias.bound / 15.0), "{growth:?}");
    }
}
