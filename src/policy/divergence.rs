//! How far a Gaussian policy has moved from an older one: KL(π‖π_old) of the actions before their squashing, which is that of the
//! actions, too.

use super::gaussian::{LOG_SIGMA_RANGE, Policy, PolicyTape};
use crate::nn::{Real, Tape};

impl<T: Real> Policy<T> {
    /// Each row's KL(π‖π_old) = Σ_d ((μ − μₒ)² + σ² − σₒ²)/(2σₒ²) + ln σₒ − ln σ, into `divergences`, as
    /// many as there are rows; `weight` times its derivatives are added to the output adjoints of the policy's tape, after
    /// [`Policy::output_adjoints`]. `old` has π_old's pass over the same states.
    pub fn add_divergence(
        &self,
        tape: &mut PolicyTape<T>,
        old: &Tape<T>,
        weight: T,
        divergences: &mut [f64],
    ) {
        let a = self.action_dim();
        let (low, high) = (T::from_f64(LOG_SIGMA_RANGE.0), T::from_f64(LOG_SIGMA_RANGE.1));
        let clamped = |raw: T| raw.max(low).min(high);
        let (half, two) = (T::from_f64(0.5), T::from_f64(2.0));
        for (i, row) in divergences.iter_mut().enumerate() {
            *row = 0.0;
            let (output, before) = (tape.network.output.row(i), old.output.row(i));
            let adjoint = tape.network.output_adjoint.row_mut(i);
            for d in 0..a {
                let (log_sigma, old_log_sigma) = (clamped(output[a + d]), clamped(before[a + d]));
                // In units of σₒ: exactly 1 and 0 where nothing has moved.
                let moved = (output[d] - before[d]) / old_log_sigma.exp();
                let ratio = (two * (log_sigma - old_log_sigma)).exp();
                let divergence =
                    half * (moved * moved + ratio - T::ONE) + old_log_sigma - log_sigma;
                *row += divergence.to_f64();
                adjoint[d] += weight * moved / old_log_sigma.exp();
                let inside = output[a + d] >= low && output[a + d] <= high;
                adjoint[a + d] += if inside { weight * (ratio - T::ONE) } else { T::ZERO };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::PolicyConfig;
    use super::*;
    use crate::nn::Keep;
    use crate::rng::Rng;

    const ROWS: usize = 7;

    fn policies() -> (Policy<f64>, Policy<f64>, Vec<f64>) {
        let rng = &mut Rng::new(0, "divergence");
        let (hidden, learning_rate, gradient_clip) = (16, 1e-3, f64::INFINITY);
        let config =
            PolicyConfig { hidden, learning_rate, gradient_clip, normalised_density: false };
        let mut make = || Policy::new(3, (&[-1.0, -1.0], &[1.0, 1.0]), &config, rng);
        let (mut policy, old) = (make(), make());
        // One log σ about the upper clamp: cut off in some rows, not in others.
        policy.network.update(|p, shape| p[shape.layers[2].bias.start + 3] = 2.0);
        let mut states = vec![0.0; ROWS * 3];
        rng.fill_normal(&mut states);
        (policy, old, states)
    }

    /// β·Σ KL and its gradient by the policy's parameters.
    fn divergence(policy: &Policy<f64>, old: &Policy<f64>, states: &[f64]) -> (f64, Vec<f64>) {
        let mut tape = PolicyTape::new(policy, ROWS, Keep::Adjoints);
        let mut before = PolicyTape::new(old, ROWS, Keep::Nothing);
        for i in 0..ROWS {
            let state = &states[i * 3..(i + 1) * 3];
            tape.network.input.row_mut(i).copy_from_slice(state);
            before.network.input.row_mut(i).copy_from_slice(state);
        }
        policy.sample(&mut tape, ROWS);
        old.sample(&mut before, ROWS);
        policy.output_adjoints(&mut tape, ROWS, &[0.0; ROWS * 2], &[0.0; ROWS]);
        let mut divergences = [0.0; ROWS];
        policy.add_divergence(&mut tape, &before.network, 0.3, &mut divergences);
        let mut gradient = vec![0.0; policy.network.parameters().len()];
        policy.network.backward(&mut tape.network, 0..ROWS, Some(&mut gradient), false);
        (0.3 * divergences.iter().sum::<f64>(), gradient)
    }

    #[test]
    fn its_gradient_equals_central_differences() {
        let (policy, old, states) = policies();
        let (value, gradient) = divergence(&policy, &old, &states);
        assert!(value > 0.0);
        let mut largest = 0.0_f64;
        for (k, &g) in gradient.iter().enumerate() {
            if policy.network.parameters()[k] == 0.0 && g == 0.0 {
                continue;
            }
            let at = |h: f64| {
                let mut moved = policy.clone();
                moved.network.update(|p, _| p[k] += h);
                divergence(&moved, &old, &states).0
            };
            let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
            assert!(
                (difference - g).abs() < 1e-6 * (1.0 + g.abs()),
                "parameter {k}: {difference} {g}"
            );
            largest = largest.max(g.abs());
        }
        assert!(largest > 0.1);
    }

    #[test]
    fn a_policy_that_has_not_moved_has_none_and_no_gradient() {
        let (policy, _, states) = policies();
        let (value, gradient) = divergence(&policy, &policy.clone(), &states);
        assert_eq!(value, 0.0);
        assert!(gradient.iter().all(|&g| g == 0.0));
    }
}
