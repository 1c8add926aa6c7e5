//! σ that is free of the state: one number for each coordinate of the action, in place of an output of the policy's network.
//!
//! A step of Adam moves a number by about its rate. An output of a network is a sum over hundreds of weights that all take such a step, and where
//! nothing in a method's objective holds σ up, that sum is at its least value within a few hundred updates.

use super::gaussian::{Policy, PolicyTape};
use crate::nn::{Real, Shape};

impl<T: Real> Policy<T> {
    /// Frees σ of the state: log σ is its bias in the network's last map, which is 0 in a new network.
    pub fn free_sigma(&mut self) {
        let a = self.action_dim();
        self.network.update(|parameters, shape| free(parameters, shape, a));
    }

    /// [`Policy::update`] of a policy whose σ is free of the state and stays so. No σ is below `least` afterwards.
    pub fn update_free_sigma(&mut self, gradient: &[T], least: f64) {
        let (a, least) = (self.action_dim(), T::from_f64(least.ln()));
        let Self { network, adam, gradient_clip, .. } = self;
        network.update(|parameters, shape| {
            adam.update_clipped(parameters, gradient, *gradient_clip);
            free(parameters, shape, a);
            let first = shape.layers[shape.layers.len() - 1].bias.start + a;
            // Not by `max`, which would hide a NaN.
            parameters[first..first + a]
                .iter_mut()
                .filter(|b| **b < least)
                .for_each(|b| *b = least);
        });
    }
}

fn free<T: Real>(parameters: &mut [T], shape: &Shape, action_dim: usize) {
    shape.cut_inputs(shape.layers.len() - 1, action_dim, parameters);
}

impl<T> PolicyTape<T> {
    /// σ, `[rows, action_dim]`, after [`Policy::sample`] or [`Policy::infer`].
    pub fn deviations(&self) -> &[T] {
        &self.sigma
    }
}

#[cfg(test)]
mod tests {
    use super::super::PolicyConfig;
    use super::*;
    use crate::nn::Keep;
    use crate::rng::Rng;

    const ROWS: usize = 5;

    fn tape(policy: &Policy<f64>, rng: &mut Rng) -> PolicyTape<f64> {
        let mut tape = PolicyTape::new(policy, ROWS, Keep::Adjoints);
        (0..ROWS).for_each(|i| rng.fill_normal(tape.network.input.row_mut(i)));
        rng.fill_normal(&mut tape.noise);
        policy.sample(&mut tape, ROWS);
        tape
    }

    /// With 9 coordinates, means and log σ share a panel of the last map's weights.
    #[test]
    fn it_is_one_in_every_state_moves_by_the_rate_and_stops_at_its_least() {
        let rng = &mut Rng::new(0, "free sigma");
        let (hidden, learning_rate, gradient_clip) = (16, 0.01, f64::INFINITY);
        let config =
            PolicyConfig { hidden, learning_rate, gradient_clip, normalised_density: false };
        let mut policy = Policy::<f64>::new(3, (&[-1.0; 9], &[1.0; 9]), &config, rng);
        let with_states = tape(&policy, rng);
        assert!(with_states.deviations().iter().any(|&s| (s - 1.0).abs() > 0.01));
        policy.free_sigma();
        let mut tape = tape(&policy, rng);
        assert!(tape.deviations().iter().all(|&s| s == 1.0), "{:?}", tape.deviations());
        let means = |tape: &PolicyTape<f64>| -> Vec<f64> {
            (0..ROWS).flat_map(|i| tape.network.output.row(i)[..9].to_vec()).collect()
        };
        let before = means(&tape);
        assert!(before.iter().any(|m| m.abs() > 0.01), "the means still read the state");
        for updates in 1..=30_i32 {
            // A loss that grows with every output: each step of Adam is one of its rate.
            let mut gradient = vec![0.0; policy.network.parameters().len()];
            (0..ROWS).for_each(|i| tape.network.output_adjoint.row_mut(i).fill(1.0));
            policy.network.backward(&mut tape.network, 0..ROWS, Some(&mut gradient), false);
            policy.update_free_sigma(&gradient, 0.8);
            policy.sample(&mut tape, ROWS);
            let expected = (-0.01 * f64::from(updates)).exp().max(0.8);
            for (at, &sigma) in tape.deviations().iter().enumerate() {
                assert!((sigma - expected).abs() < 2e-3, "{updates}, {at}: {sigma} {expected}");
                assert_eq!(sigma, tape.deviations()[at % 9], "one number in every state");
            }
        }
        assert!(tape.deviations().iter().all(|&s| (s - 0.8).abs() < 1e-12));
        assert_ne!(means(&tape), before);
    }
}
