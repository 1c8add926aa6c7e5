//! How an action was drawn, and the noise that another policy would have had to draw for it.
//!
//! A recorded action is told by u, the action before the squashing tanh: a = scale·tanh(u) + bias. Densities are those of u, so
//! that the tanh's part of them, which is the same for every policy, never has to be formed.

use super::gaussian::{LOG_SIGMA_RANGE, Policy, PolicyTape};
use crate::nn::Real;

const HALF_LOG_TAU: f64 = 0.918_938_533_204_672_7;
/// Largest |t| of a uniform action whose u is formed.
const LARGEST: f64 = 1.0 - 1e-6;

/// How a Gaussian policy drew an action.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw<'a> {
    /// u, `[action_dim]`.
    pub pre_squash: &'a [f32],
    /// Σ ln N(u; μ, σ).
    pub log_density: f32,
}

/// η = (u − μ)/σ and σ of one row from the network's output (μ, log σ), and Σ ln N(u; μ, σ). All slices are `[action_dim]`, the
/// output `[2·action_dim]`.
fn infer_row<T: Real>(output: &[T], pre_squash: &[T], noise: &mut [T], sigma: &mut [T]) -> T {
    let (low, high) = (T::from_f64(LOG_SIGMA_RANGE.0), T::from_f64(LOG_SIGMA_RANGE.1));
    let (half, constant) = (T::from_f64(0.5), T::from_f64(HALF_LOG_TAU));
    let (mean, raw) = output.split_at(pre_squash.len());
    let mut cost = T::ZERO;
    for (d, &u) in pre_squash.iter().enumerate() {
        let log_sigma = raw[d].max(low).min(high);
        sigma[d] = log_sigma.exp();
        noise[d] = (u - mean[d]) / sigma[d];
        cost += half * noise[d] * noise[d] + log_sigma + constant;
    }
    -cost
}

impl<T: Real> Policy<T> {
    /// Takes recorded actions, `pre_squash` `[rows, action_dim]`, as draws of this policy in the first `rows` states of the tape:
    /// η = (u − μ)/σ goes into its noise, and tanh(u), σ and a to where [`Policy::sample`] leaves them, so that the ways back
    /// run through a = scale·tanh(μ + σ·η) + bias with η held. Σ ln N(u; μ, σ) goes into `log_densities`, `[rows]`.
    ///
    /// # Panics
    /// When the policy is deterministic.
    pub fn infer(
        &self,
        tape: &mut PolicyTape<T>,
        rows: usize,
        pre_squash: &[T],
        log_densities: &mut [T],
    ) {
        self.network.forward(&mut tape.network, 0..rows);
        for (i, log_density) in log_densities.iter_mut().enumerate().take(rows) {
            *log_density = self.infer_actions(tape, i, pre_squash);
        }
    }

    /// [`Policy::infer`] of row `i` alone, after the network's pass.
    fn infer_actions(&self, tape: &mut PolicyTape<T>, i: usize, pre_squash: &[T]) -> T {
        let a = self.action_dim();
        let own = i * a..(i + 1) * a;
        let PolicyTape { network, noise, actions, sigma, squashed, slopes, .. } = tape;
        let (noise, sigma) = (&mut noise[own.clone()], &mut sigma[own.clone()]);
        let log_density = infer_row(network.output.row(i), &pre_squash[own.clone()], noise, sigma);
        for (d, at) in own.enumerate() {
            (squashed[at], slopes[at]) = pre_squash[at].tanh_with_slope();
            actions[at] = self.scale[d] * squashed[at] + self.bias[d];
        }
        log_density
    }
}

impl Policy<f32> {
    /// u of the first row of a tape that [`Policy::sample`] has filled, `[action_dim]`, and Σ ln N(u; μ, σ). The density is that of
    /// u as it is rounded here: [`Policy::infer`] by the same policy gives the same number.
    pub(super) fn describe(&self, tape: &mut PolicyTape<f32>, pre_squash: &mut [f32]) -> f32 {
        let PolicyTape { network, noise, sigma, .. } = tape;
        let output = network.output.row(0);
        for (d, u) in pre_squash.iter_mut().enumerate() {
            *u = output[d] + sigma[d] * noise[d];
        }
        infer_row(output, pre_squash, noise, sigma)
    }

    /// u of an action in environment units that was drawn uniformly from the range, `[action_dim]`, and the logarithm of its density:
    /// with t = tanh(u) uniform in ±1, that of u is Π ½·(1 − t²).
    pub fn describe_uniform(&self, action: &[f32], pre_squash: &mut [f32]) -> f32 {
        let mut log_density = 0.0;
        for (d, u) in pre_squash.iter_mut().enumerate() {
            let t = f64::from((action[d] - self.bias[d]) / self.scale[d]).clamp(-LARGEST, LARGEST);
            *u = t.atanh() as f32;
            log_density += (0.5 * (1.0 - t * t)).ln();
        }
        log_density as f32
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Actor, PolicyConfig};
    use super::*;
    use crate::nn::Keep;
    use crate::rng::Rng;

    fn policy<T: Real>(rng: &mut Rng) -> Policy<T> {
        let (hidden, learning_rate, gradient_clip) = (16, 1e-3, f64::INFINITY);
        let config =
            PolicyConfig { hidden, learning_rate, gradient_clip, normalised_density: false };
        Policy::new(3, (&[-3.0, -0.4], &[3.0, 0.6]), &config, rng)
    }

    #[test]
    fn a_drawn_action_is_inferred_as_it_was_drawn() {
        let rng = &mut Rng::new(0, "draw");
        let policy = policy::<f64>(rng);
        let rows = 5;
        let mut tape = PolicyTape::new(&policy, rows, Keep::Nothing);
        (0..rows).for_each(|i| rng.fill_normal(tape.network.input.row_mut(i)));
        rng.fill_normal(&mut tape.noise);
        policy.sample(&mut tape, rows);
        let (noise, actions) = (tape.noise.clone(), tape.actions.clone());
        let log_probs = tape.log_probs.clone();
        let pre_squash: Vec<f64> = (0..rows * 2)
            .map(|at| ((actions[at] - policy.bias[at % 2]) / policy.scale[at % 2]).atanh())
            .collect();
        let mut log_densities = vec![0.0; rows];
        policy.infer(&mut tape, rows, &pre_squash, &mut log_densities);
        for (at, (&inferred, &drawn)) in tape.noise.iter().zip(&noise).enumerate() {
            assert!((inferred - drawn).abs() < 1e-9, "noise {at}: {inferred} for {drawn}");
            assert!((tape.actions[at] - actions[at]).abs() < 1e-12, "action {at}");
        }
        // The density of u is that of a times the slope of a by u, which log π corrects for.
        for i in 0..rows {
            let slope = |at: usize| policy.scale[at % 2] * (1.0 - pre_squash[at].tanh().powi(2));
            let of_action =
                log_densities[i] - (2 * i..2 * i + 2).map(|at| slope(at).ln()).sum::<f64>();
            // `sample` adds 1e-6 to the slope.
            assert!((of_action - log_probs[i]).abs() < 1e-3, "row {i}");
        }
    }

    #[test]
    fn the_actor_tells_what_its_policy_infers() {
        let rng = &mut Rng::new(1, "draw");
        let mut policy = policy::<f32>(rng);
        // Actions at the ends of the range, whose tanh is ±1 to the bit, too.
        policy.network.update(|p, shape| {
            let last = shape.layers[2].clone();
            p[last.bias.start] = 12.0;
        });
        let mut actor = Actor::new(&policy);
        let mut tape = PolicyTape::new(&policy, 1, Keep::Nothing);
        for _ in 0..20 {
            let observation = [rng.normal(), rng.normal(), rng.normal()];
            let action: Vec<f32> =
                actor.explore(&policy, &observation, rng).iter().map(|&a| a as f32).collect();
            let draw = actor.draw().expect("a Gaussian policy says how it drew");
            let narrow = observation.map(|o| o as f32);
            tape.network.input.row_mut(0).copy_from_slice(&narrow);
            let mut log_density = [0.0];
            policy.infer(&mut tape, 1, draw.pre_squash, &mut log_density);
            assert_eq!(log_density[0], draw.log_density);
            assert_eq!(tape.actions, action);
        }
    }

    #[test]
    fn the_density_of_a_uniform_action_integrates_to_one() {
        let policy = policy::<f32>(&mut Rng::new(2, "draw"));
        let n = 20_000;
        let (mut sum, mut last): (f64, Option<(f64, f64)>) = (0.0, None);
        for k in 0..=n {
            let t = -0.999_99 + 1.999_98 * f64::from(k) / f64::from(n);
            let mut u = [0.0_f32; 2];
            // The second action stands in the middle of its range, where its own factor is ½.
            let density = policy.describe_uniform(&[3.0 * t as f32, 0.1], &mut u);
            let density = 2.0 * f64::from(density).exp();
            if let Some((before, other)) = last {
                sum += 0.5 * (density + other) * (f64::from(u[0]) - before);
            }
            last = Some((f64::from(u[0]), density));
        }
        assert!((sum - 1.0).abs() < 1e-3, "{sum}");
        let mut u = [0.0_f32; 2];
        let log_density = policy.describe_uniform(&[3.0, -0.4], &mut u);
        assert!(log_density.is_finite() && u[0] > 7.0 && u[1] < -7.0, "{log_density} {u:?}");
    }
}
