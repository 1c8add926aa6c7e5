//! Scoring a policy: whole episodes of its deterministic actions, in worlds of their own.

use rayon::prelude::*;

use crate::agent::{Policy, PolicyTape};
use crate::env::{EnvironmentError, Task};
use crate::nn::Keep;
use crate::rng::Rng;

/// One evaluation episode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Episode {
    /// Sum of rewards, undiscounted.
    pub score: f64,
    /// Steps.
    pub length: usize,
}

/// Runs `episodes` episodes, each in a world of its own with a reset stream grown from a word of `rng`, so that the
/// result does not depend on how many run at the same time.
///
/// # Errors
/// When a world cannot be made or refuses a step.
pub fn evaluate(
    policy: &Policy<f32>,
    task: &dyn Task,
    episodes: usize,
    rng: &mut Rng,
) -> Result<Vec<Episode>, EnvironmentError> {
    let words: Vec<u64> = (0..episodes).map(|_| rng.next_u64()).collect();
    words.par_iter().map(|&word| run_episode(policy, task, &mut Rng::from_word(word))).collect()
}

fn run_episode(
    policy: &Policy<f32>,
    task: &dyn Task,
    rng: &mut Rng,
) -> Result<Episode, EnvironmentError> {
    let mut environment = task.make()?;
    let mut observation = vec![0.0; task.observation_dim()];
    let mut actor = Actor::new(policy);
    environment.reset(rng, &mut observation);
    let mut episode = Episode { score: 0.0, length: 0 };
    while episode.length < task.time_limit() {
        let action = actor.best(policy, &observation);
        let step = environment.step(action, &mut observation)?;
        episode.score += step.reward;
        episode.length += 1;
        if step.terminated {
            break;
        }
    }
    Ok(episode)
}

/// Acts for one observation at a time.
pub struct Actor {
    tape: PolicyTape<f32>,
    action: Vec<f64>,
}

impl Actor {
    /// Buffers for one row.
    pub fn new(policy: &Policy<f32>) -> Self {
        Self {
            tape: PolicyTape::new(policy, 1, Keep::Values),
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
