//! How steep the value of the next state is along each of its numbers: what an error of the predicted state costs the policy's gradient.

use crate::critic::{Critic, LeastTape};
use crate::data::Replay;
use crate::nn::{Keep, Real};
use crate::policy::{Policy, PolicyTape};

/// Most transitions that the mean is taken over.
const ROWS: u64 = 1024;

/// Rows of the replay, evenly spaced from the oldest on, at most [`ROWS`].
pub(super) fn evenly(real: &Replay) -> impl ExactSizeIterator<Item = usize> + '_ {
    let held = real.len() as u64;
    let (rows, first) = (held.min(ROWS), real.pushed() - held);
    (0..rows as usize).map(move |i| real.row_of(first + i as u64 * held / rows))
}

/// γ²·E[(∂V/∂s'_d)²] over real transitions, evenly spaced in the replay, `[observation_dim]`: V(s') is the least of the critic's values
/// at the policy's deterministic action.
///
/// Nothing is drawn. The replay must not be empty, and its observations be what policy and critic read.
pub fn value_slopes<T: Real>(
    policy: &Policy<T>,
    critic: &Critic<T>,
    discount: f64,
    real: &Replay,
) -> Vec<f64> {
    let rows = evenly(real).len();
    let mut acting = PolicyTape::new(policy, rows, Keep::Adjoints);
    for (i, row) in evenly(real).enumerate() {
        let next = real.get(row).next_observation;
        let input = acting.network.input.row_mut(i);
        input.iter_mut().zip(next).for_each(|(x, &s)| *x = T::from_f32(s));
    }
    let s = policy.observation_dim();
    policy.sample(&mut acting, rows);
    let mut values = LeastTape::new(critic, rows);
    critic.least(&mut values, &acting.network.input, &acting.actions);
    critic.least_slopes(&mut values, |_| T::ONE);
    let by_action: Vec<T> = (0..rows).flat_map(|i| values.slopes(i).skip(s)).collect();
    policy.backward(&mut acting, rows, &by_action, &vec![T::ZERO; rows], None, true);
    let mut squares = vec![0.0; s];
    for i in 0..rows {
        let through_action = acting.network.input_adjoint.row(i);
        for (d, slope) in values.slopes(i).take(s).enumerate() {
            let slope = discount * (slope + through_action[d]).to_f64();
            squares[d] += slope * slope / rows as f64;
        }
    }
    squares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::critic::CriticConfig;
    use crate::data::Transition;
    use crate::nn::Matrix;
    use crate::policy::PolicyConfig;
    use crate::rng::Rng;

    #[test]
    fn slopes_are_those_of_the_value_by_central_differences() {
        let mut rng = Rng::new(0, "value slopes");
        let config = PolicyConfig {
            hidden: 16,
            learning_rate: 1e-3,
            gradient_clip: f64::INFINITY,
            normalised_density: false,
        };
        let policy = Policy::<f64>::new(3, (&[-2.0; 2], &[2.0; 2]), &config, &mut rng);
        let config = CriticConfig {
            hidden: 16,
            learning_rate: 1e-3,
            gradient_clip: 1.0,
            target_rate: 0.005,
        };
        let critic = Critic::new(3, 2, 2, &config, &mut rng);
        let mut real = Replay::new(3, 2, 50);
        for _ in 0..70 {
            let mut x = [0.0_f32; 8];
            rng.fill_normal(&mut x);
            real.push(Transition {
                observation: &x[..3],
                action: &x[3..5],
                reward: 0.0,
                next_observation: &x[5..],
                terminated: false,
            });
        }
        let value = |state: &[f64]| {
            let mut acting = PolicyTape::new(&policy, 1, Keep::Nothing);
            acting.network.input.row_mut(0).copy_from_slice(state);
            policy.sample(&mut acting, 1);
            let mut states = Matrix::zeros(1, 3);
            states.row_mut(0).copy_from_slice(state);
            let mut values = LeastTape::new(&critic, 1);
            critic.least(&mut values, &states, &acting.actions);
            values.value(0)
        };
        let mut expected = [0.0; 3];
        for row in 0..50 {
            let state: Vec<f64> =
                real.get(row).next_observation.iter().map(|&x| f64::from(x)).collect();
            for (d, sum) in expected.iter_mut().enumerate() {
                let at = |h: f64| {
                    let mut moved = state.clone();
                    moved[d] += h;
                    value(&moved)
                };
                *sum += (0.9 * (at(1e-6) - at(-1e-6)) / 2e-6).powi(2) / 50.0;
            }
        }
        let found = value_slopes(&policy, &critic, 0.9, &real);
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5 * expected, "{found} for {expected}");
            assert!(expected > 1e-6, "nothing to see");
        }
    }
}
