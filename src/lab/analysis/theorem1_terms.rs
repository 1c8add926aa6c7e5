//! The errors that Theorem 1 bounds the policy gradient's bias by, of a learned model at real states: ε_f, ε_f^g and ε_r^g.
//!
//! The paper (section 2, eq. 5) bounds ‖f̂ − f‖ and ‖∂f̂/∂s − ∂f/∂s‖ + ‖∂f̂/∂a − ∂f/∂a‖ for all (s, a). Over some states
//! nothing is known of all: their largest is a lower bound of ε, their mean is what a trajectory typically meets.
//! The norms are those of docs/theory.md, Euclidean for vectors and spectral for matrices, here in the task's raw units.

use rayon::prelude::*;
use serde::Serialize;

use super::learned_steps::LearnedSteps;
use super::real_path::RealPath;
use crate::lab::theory::ErrorSizes;
use crate::lab::theory::matrix::largest_singular_value;

/// Both models' errors.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Terms {
    /// Real states that they were measured at.
    pub states: usize,
    /// M^p.
    pub prediction_model: ModelTerms,
    /// M^g; `None` where the prediction model plays its role.
    pub gradient_model: Option<ModelTerms>,
}

/// A model's errors over some states.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ModelTerms {
    /// Their means.
    pub mean: ErrorSizes,
    /// The largest, each on its own.
    pub largest: ErrorSizes,
}

impl ModelTerms {
    /// Over the steps of these trajectories, which must not be none.
    pub(crate) fn new(learned: &LearnedSteps, trajectories: &[RealPath]) -> Self {
        let of_trajectory = |(i, trajectory): (usize, &RealPath)| -> Vec<ErrorSizes> {
            let steps = trajectory.truth.iter().enumerate();
            steps
                .map(|(j, truth)| {
                    let predicted = &learned.predictions[i][j];
                    sizes((predicted, &learned.jacobians[i][j]), (trajectory.next(j), truth))
                })
                .collect()
        };
        let all: Vec<Vec<ErrorSizes>> =
            trajectories.par_iter().enumerate().map(of_trajectory).collect();
        // Summed in order, so that the number of threads does not show.
        let all: Vec<ErrorSizes> = all.into_iter().flatten().collect();
        let over = |f: fn(f64, f64) -> f64, share: f64| {
            let of = |size: fn(&ErrorSizes) -> f64| share * all.iter().map(size).fold(0.0, f);
            ErrorSizes {
                prediction: of(|sizes| sizes.prediction),
                transition_gradient: of(|sizes| sizes.transition_gradient),
                reward_gradient: of(|sizes| sizes.reward_gradient),
            }
        };
        Self { mean: over(|a, b| a + b, 1.0 / all.len() as f64), largest: over(f64::max, 1.0) }
    }
}

/// The three errors at one state: of a model's ((s', r), J) against the environment's (s', J*). J has |S| rows of the next
/// observation and one of the reward, each of |S| + |A| numbers.
fn sizes(learned: (&[f64], &[f64]), real: (&[f64], &[f64])) -> ErrorSizes {
    let states = real.0.len();
    let columns = real.1.len() / (states + 1);
    let off: Vec<f64> = learned.1.iter().zip(real.1).map(|(a, b)| a - b).collect();
    let (transition, reward) = off.split_at(states * columns);
    let block = |from: usize, to: usize| {
        let entries: Vec<f64> =
            transition.chunks(columns).flat_map(|row| &row[from..to]).copied().collect();
        largest_singular_value(&entries, to - from)
    };
    ErrorSizes {
        prediction: norm(learned.0.iter().zip(real.0).map(|(a, b)| a - b)),
        transition_gradient: block(0, states) + block(states, columns),
        reward_gradient: norm(reward[..states].iter().copied())
            + norm(reward[states..].iter().copied()),
    }
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|x| x * x).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::trajectory::VisitedState;

    /// Two state entries and one action entry; the errors are 3-4-5 triangles and a diagonal.
    #[test]
    fn errors_of_known_size_are_found() {
        let truth = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
        let off = [0.5, 0.0, 0.3, 0.0, -2.0, 0.4, 0.6, 0.8, -1.5];
        let off_by = |share: f64| -> Vec<f64> {
            truth.iter().zip(off).map(|(x, off)| x + share * off).collect()
        };
        let point =
            |s: f64| VisitedState { state: vec![], observation: vec![s, s], action: vec![0.0] };
        let trajectory = RealPath {
            points: vec![point(0.0), point(1.0)],
            truth: vec![truth.clone(); 2],
            last: vec![2.0, 2.0],
            noise: vec![],
        };
        let learned = LearnedSteps {
            predictions: vec![vec![vec![4.0, 5.0, 7.0], vec![2.0, 2.0, 7.0]]],
            jacobians: vec![vec![off_by(1.0), off_by(2.0)]],
        };
        let terms = ModelTerms::new(&learned, &[trajectory]);
        let close = |found: ErrorSizes, expected: [f64; 3]| {
            let found = [found.prediction, found.transition_gradient, found.reward_gradient];
            for (found, expected) in found.into_iter().zip(expected) {
                assert!((found - expected).abs() < 1e-12, "{found} for {expected}");
            }
        };
        // The first step is off by (3, 4), the second by nothing; ‖diag(0.5, −2)‖ + ‖(0.3, 0.4)‖ and 1 + 1.5, then twice that.
        close(terms.mean, [2.5, 3.75, 3.75]);
        close(terms.largest, [5.0, 5.0, 5.0]);
    }
}
