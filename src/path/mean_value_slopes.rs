//! How steep the value of the next state is along each of its numbers, where policy and critics read standardised states and the value is the
//! mean of the critics'.

use super::short_adjoint::load;
use super::value_slopes::evenly;
use crate::critic::Critic;
use crate::data::Replay;
use crate::nn::{Keep, Real, Tape};
use crate::policy::{Policy, PolicyTape};

/// γ²·E[(∂V/∂s'_d)²] over real transitions, evenly spaced in the replay, `[observation_dim]`, by raw states: V(s') is the mean of the critics'
/// values at the policy's deterministic action, whose outputs of 1 are `half_width`.
///
/// Nothing is drawn. The replay must not be empty, and the policy must have its standardiser.
pub fn mean_value_slopes<T: Real>(
    policy: &Policy<T>,
    critic: &Critic<T>,
    half_width: f64,
    discount: f64,
    real: &Replay,
) -> Vec<f64> {
    let standardiser =
        policy.input.as_ref().expect("short paths' policies read standardised states");
    let rows = evenly(real).len();
    let (s, a) = (policy.observation_dim(), policy.action_dim());
    let mut acting = PolicyTape::new(policy, rows, Keep::Adjoints);
    for (i, row) in evenly(real).enumerate() {
        let next = real.get(row).next_observation.iter().map(|&x| T::from_f32(x));
        standardiser.apply(next, acting.network.input.row_mut(i));
    }
    policy.sample(&mut acting, rows);
    let share = T::from_f64(half_width / critic.networks.len() as f64);
    let mut values = Tape::new(critic.shape(), rows, Keep::Slopes);
    let (mut by_state, mut by_action) = (vec![T::ZERO; rows * s], vec![T::ZERO; rows * a]);
    for q in &critic.networks {
        load(&mut values, &acting);
        q.network.forward(&mut values, 0..rows);
        (0..rows).for_each(|i| values.output_adjoint.row_mut(i)[0] = share);
        q.network.backward(&mut values, 0..rows, None, true);
        for i in 0..rows {
            let slopes = values.input_adjoint.row(i).iter();
            let sums = by_state[i * s..][..s].iter_mut().chain(&mut by_action[i * a..][..a]);
            sums.zip(slopes).for_each(|(sum, &slope)| *sum += slope);
        }
    }
    // The critics read normalised actions, the policy's way back starts from those in environment units.
    for row in by_action.chunks_exact_mut(a) {
        row.iter_mut().zip(&policy.scale).for_each(|(x, &scale)| *x = *x / scale);
    }
    policy.backward(&mut acting, rows, &by_action, &vec![T::ZERO; rows], None, true);
    let mut squares = vec![0.0; s];
    for i in 0..rows {
        let through_action = acting.network.input_adjoint.row(i);
        for (d, square) in squares.iter_mut().enumerate() {
            let slope = (by_state[i * s + d] + through_action[d]) / standardiser.deviation[d];
            *square += (discount * slope.to_f64()).powi(2) / rows as f64;
        }
    }
    squares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::critic::TargetRule;
    use crate::data::{Standardiser, Transition};
    use crate::nn::{Activation, Mlp, Shape};
    use crate::policy::Head;
    use crate::rng::Rng;

    #[test]
    fn slopes_are_those_of_the_mean_value_by_central_differences() {
        let rng = &mut Rng::new(0, "mean value slopes");
        let network = |sizes: &[usize], rng: &mut Rng| {
            Mlp::<f64>::orthogonal(Shape::new(sizes, Activation::Silu), rng)
        };
        let of_policy = network(&[3, 16, 4], rng);
        // A range that is not [−1, 1], so that a forgotten scale shows.
        let range = (&[-0.5; 2][..], &[2.0; 2][..]);
        let mut policy = Policy::from_network(of_policy, range, Head::Softplus, 1e-3, 1.0);
        let standardiser =
            Standardiser { mean: vec![0.1, -0.4, 2.0], deviation: vec![0.5, 3.0, 1.5] };
        policy.input = Some(standardiser.clone());
        let networks: Vec<_> = (0..3).map(|_| network(&[5, 16, 1], rng)).collect();
        let critic =
            Critic::from_networks(networks.into_iter(), 1e-3, 1.0, TargetRule::Polyak(0.005));
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
        let (half_width, discount) = (7.0, 0.9);
        let value = |state: &[f64]| {
            let mut acting = PolicyTape::new(&policy, 1, Keep::Nothing);
            standardiser.apply(state.iter().copied(), acting.network.input.row_mut(0));
            policy.sample(&mut acting, 1);
            let mut tape = Tape::new(critic.shape(), 1, Keep::Nothing);
            let outputs = critic.networks.iter().map(|q| {
                load(&mut tape, &acting);
                q.network.forward(&mut tape, 0..1);
                tape.output.row(0)[0]
            });
            half_width * outputs.sum::<f64>() / 3.0
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
                *sum += (discount * (at(1e-6) - at(-1e-6)) / 2e-6).powi(2) / 50.0;
            }
        }
        let found = mean_value_slopes(&policy, &critic, half_width, discount, &real);
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6 * expected, "{found} for {expected}");
            assert!(expected > 1e-4, "nothing to see");
        }
    }
}
