//! Acting in an environment, with an observation and an action in its precision.

use super::draw::Draw;
use super::gaussian::{Exploration, Head, Policy, PolicyTape};
use crate::nn::Keep;
use crate::rng::Rng;

/// Acts for one observation at a time.
pub struct Actor {
    tape: PolicyTape<f32>,
    action: Vec<f64>,
    /// How the last action was drawn, where it was by a Gaussian's own noise: u, `[action_dim]`, and its log density.
    pre_squash: Vec<f32>,
    log_density: Option<f32>,
}

impl Actor {
    /// Buffers for one row.
    pub fn new(policy: &Policy<f32>) -> Self {
        Self {
            tape: PolicyTape::new(policy, 1, Keep::Nothing),
            action: vec![0.0; policy.action_dim()],
            pre_squash: vec![0.0; policy.action_dim()],
            log_density: None,
        }
    }

    fn load(&mut self, policy: &Policy<f32>, observation: &[f64]) {
        let input = self.tape.network.input.row_mut(0);
        let narrow = observation.iter().map(|&o| o as f32);
        match &policy.input {
            Some(standardiser) => standardiser.apply(narrow, input),
            None => input.iter_mut().zip(narrow).for_each(|(x, o)| *x = o),
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
        self.load(policy, observation);
        policy.act_deterministically(&mut self.tape, 1);
        self.widen()
    }

    /// An action that explores, as the policy does.
    pub fn explore(&mut self, policy: &Policy<f32>, observation: &[f64], rng: &mut Rng) -> &[f64] {
        self.load(policy, observation);
        self.log_density = None;
        match policy.exploration {
            Exploration::Sampled => {
                rng.fill_normal(&mut self.tape.noise);
                policy.sample(&mut self.tape, 1);
                if policy.head == Head::Gaussian {
                    self.log_density = Some(policy.describe(&mut self.tape, &mut self.pre_squash));
                }
            }
            Exploration::Added(deviation) => {
                policy.act_deterministically(&mut self.tape, 1);
                self.squash(policy, |z| f64::from(z.tanh()) + deviation * rng.normal());
            }
            Exploration::Occasional(chance) => {
                policy.act_deterministically(&mut self.tape, 1);
                self.squash(policy, |z| {
                    let moved = if rng.uniform() < chance { rng.normal() } else { 0.0 };
                    (f64::from(z) + moved).tanh()
                });
            }
        }
        self.widen()
    }

    /// How the last action of [`Actor::explore`] was drawn; `None` where it was not by a Gaussian policy's own noise.
    pub fn draw(&self) -> Option<Draw<'_>> {
        let log_density = self.log_density?;
        Some(Draw { pre_squash: &self.pre_squash, log_density })
    }

    /// Actions from the network's outputs, coordinate by coordinate, through a map to [−1, 1].
    fn squash(&mut self, policy: &Policy<f32>, mut map: impl FnMut(f32) -> f64) {
        let range = policy.scale.iter().zip(&policy.bias);
        let outputs = self.tape.network.output.row(0).iter();
        for ((action, &z), (&scale, &bias)) in self.tape.actions.iter_mut().zip(outputs).zip(range)
        {
            *action = scale * map(z).clamp(-1.0, 1.0) as f32 + bias;
        }
    }
}
