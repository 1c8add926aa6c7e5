//! The rows of an update as the networks read them, s raw and actions t = (a − bias)/scale in [−1, 1].

use crate::data::Replay;
use crate::nn::Real;
use crate::policy::Policy;
use crate::rng::Rng;

/// Real transitions (s₀, t₀, r₀, s₁, d₀). Allocated once.
#[derive(Debug)]
pub struct Minibatch<T> {
    observation_dim: usize,
    action_dim: usize,
    rows: Vec<usize>,
    states: Vec<T>,
    actions: Vec<T>,
    next_states: Vec<T>,
    /// r₀, `[rows]`.
    pub rewards: Vec<T>,
    /// d₀, `[rows]`.
    pub terminated: Vec<bool>,
}

impl<T: Real> Minibatch<T> {
    /// Buffers for `rows` transitions.
    pub fn new((observation_dim, action_dim): (usize, usize), rows: usize) -> Self {
        Self {
            observation_dim,
            action_dim,
            rows: vec![0; rows],
            states: vec![T::ZERO; rows * observation_dim],
            actions: vec![T::ZERO; rows * action_dim],
            next_states: vec![T::ZERO; rows * observation_dim],
            rewards: vec![T::ZERO; rows],
            terminated: vec![false; rows],
        }
    }

    /// Draws transitions with replacement; the policy has the range of actions.
    pub fn draw(&mut self, real: &Replay, policy: &Policy<T>, rng: &mut Rng) {
        self.rows.iter_mut().for_each(|row| *row = rng.below(real.len()));
        self.rows.iter().for_each(|&row| real.prefetch(row));
        let (s, a) = (self.observation_dim, self.action_dim);
        for (i, &row) in self.rows.iter().enumerate() {
            let t = real.get(row);
            fill(&mut self.states[i * s..], t.observation);
            fill(&mut self.actions[i * a..], t.action);
            fill(&mut self.next_states[i * s..], t.next_observation);
            for (d, action) in self.actions[i * a..(i + 1) * a].iter_mut().enumerate() {
                *action = (*action - policy.bias[d]) / policy.scale[d];
            }
            self.rewards[i] = T::from_f32(t.reward);
            self.terminated[i] = t.terminated;
        }
    }

    /// How many transitions.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// |S|.
    pub fn observation_dim(&self) -> usize {
        self.observation_dim
    }

    /// |A|.
    pub fn action_dim(&self) -> usize {
        self.action_dim
    }

    /// s₀ of row `i`, `[observation_dim]`.
    pub fn state(&self, i: usize) -> &[T] {
        &self.states[i * self.observation_dim..][..self.observation_dim]
    }

    /// t₀ of row `i`, `[action_dim]`.
    pub fn action(&self, i: usize) -> &[T] {
        &self.actions[i * self.action_dim..][..self.action_dim]
    }

    /// s₁ of row `i`, `[observation_dim]`.
    pub fn next_state(&self, i: usize) -> &[T] {
        &self.next_states[i * self.observation_dim..][..self.observation_dim]
    }
}

fn fill<T: Real>(to: &mut [T], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(t, &f)| *t = T::from_f32(f));
}

/// Writes vectors one behind the other into a network's input, which they fill.
pub fn join<T: Real>(input: &mut [T], parts: &[&[T]]) {
    let mut at = 0;
    for part in parts {
        input[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    debug_assert_eq!(at, input.len());
}
