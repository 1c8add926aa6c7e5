//! Acting in a world, with an observation and an action in its precision.

use super::{Policy, PolicyTape};
use crate::nn::Keep;
use crate::rng::Rng;

/// Acts for one observation at a time.
pub struct Actor {
    tape: PolicyTape<f32>,
    action: Vec<f64>,
}

impl Actor {
    /// Buffers for one row.
    pub fn new(policy: &Policy<f32>) -> Self {
        Self {
            tape: PolicyTape::new(policy, 1, Keep::Nothing),
            action: vec![0.0; policy.action_dim()],
        }
    }

    fn load(&mut self, observation: &[f64]) {
        for (x, &o) in self.tape.network.input.row_mut(0).iter_mut().zip(observation) {
            *x = o as f32;
        }
    }

    fn widen(&mut self) -> &[f64] {
        self.action
            .iter_mut()
            .zip(&self.tape.actions)
            .for_each(|(to, &from)| *to = f64::from(from));
        &self.action
    }

    /// The deterministic action, scale·tanh(μ) + bias.
    pub fn best(&mut self, policy: &Policy<f32>, observation: &[f64]) -> &[f64] {
        self.load(observation);
        policy.act_deterministically(&mut self.tape, 1);
        self.widen()
    }

    /// A sampled action.
    pub fn explore(&mut self, policy: &Policy<f32>, observation: &[f64], rng: &mut Rng) -> &[f64] {
        self.load(observation);
        rng.fill_normal(&mut self.tape.noise);
        policy.sample(&mut self.tape, 1);
        self.widen()
    }
}
