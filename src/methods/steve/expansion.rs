//! The critic's target: H + 1 returns of each real transition, expanded through the model by 0, 1, …, H steps, and mixed by the
//! inverse of their variance over the ensembles.
//!
//! T_i = r₀ + Σ_{j=1..i} γʲ·C_{j−1}·r_j + γ^{i+1}·C_i·Q̄(s_{i+1}, π(s_{i+1})), with C the chance that the episode goes on. A rollout
//! stays with one transition network e; every reward network m and target network k evaluates every rollout.

use std::ops::Range;

use rayon::prelude::*;

use super::dynamics::SteveDynamics;
use super::minibatch::{SteveMinibatch, join};
use crate::critic::Critic;
use crate::data::minibatch::parts;
use crate::env::Task;
use crate::model::bernoulli::probability;
use crate::nn::{Keep, Matrix, Mlp, Real, Tape};
use crate::policy::Policy;

/// Keeps the weight of a return finite whose members agree.
const SMALLEST_VARIANCE: f64 = 1e-8;

/// What targets are made of, fixed during an update.
#[derive(Clone, Copy)]
pub struct Expansion<'a, T> {
    /// π, the present one.
    pub policy: &'a Policy<T>,
    /// Q̄₁, Q̄₂, …
    pub critic: &'a Critic<T>,
    /// f, R and g.
    pub dynamics: &'a SteveDynamics<T>,
    /// Ends imagined episodes where the dynamics has no g.
    pub task: &'a dyn Task,
    /// γ.
    pub discount: f64,
    /// H.
    pub horizon: usize,
}

/// Targets of a minibatch and the buffers that they need, allocated once.
#[derive(Debug)]
pub struct Targets<T> {
    parts: Vec<Part<T>>,
    /// y, `[rows]`.
    pub values: Vec<f64>,
    /// Σ_i i·w_i, the imagined steps that a row's target rests on, `[rows]`.
    pub depths: Vec<f64>,
}

/// Some rows of the minibatch.
#[derive(Debug)]
struct Part<T> {
    rows: Range<usize>,
    policy: Tape<T>,
    transition: Tape<T>,
    /// Of R and of g.
    head: Tape<T>,
    critic: Tape<T>,
    /// (s₁, π(s₁)) of each row.
    first: Matrix<T>,
    /// C of the present step, `[rows]`.
    alive: Vec<f64>,
    /// r₀ + Σ γʲ·C·r up to step i, `[rows, H + 1, transition members, reward members]`.
    rewards: Vec<f64>,
    /// γ^{i+1}·C_i·Q̄, `[rows, H + 1, transition members, critic members]`.
    tails: Vec<f64>,
    wide: Vec<f64>,
    /// Each row's target and its depth.
    results: Vec<(f64, f64)>,
}

/// Weights of returns with these (mean, variance), which sum to 1, times their means: the target, and Σ i·w_i.
pub fn mix(returns: impl Iterator<Item = (f64, f64)>) -> (f64, f64) {
    let (mut weights, mut sum, mut depth) = (0.0, 0.0, 0.0);
    for (i, (mean, variance)) in returns.enumerate() {
        let weight = 1.0 / (variance + SMALLEST_VARIANCE);
        weights += weight;
        sum += weight * mean;
        depth += weight * i as f64;
    }
    (sum / weights, depth / weights)
}

/// Mean and population variance of all sums of a rollout's reward with a tail of the same rollout; `rewards` and `tails` hold the
/// same rollouts, one behind the other. In two passes: the variance is much smaller than the mean's square.
pub fn moments(rewards: &[f64], tails: &[f64], rollouts: usize) -> (f64, f64) {
    let (m, k) = (rewards.len() / rollouts, tails.len() / rollouts);
    let count = (rollouts * m * k) as f64;
    let sum = |of: &dyn Fn(f64) -> f64| -> f64 {
        let pairs = rewards.chunks_exact(m).zip(tails.chunks_exact(k));
        let returns = pairs.flat_map(|(rewards, tails)| {
            rewards.iter().flat_map(move |reward| tails.iter().map(move |tail| reward + tail))
        });
        returns.map(of).sum()
    };
    let mean = sum(&|x| x) / count;
    (mean, sum(&|x| (x - mean) * (x - mean)) / count)
}

impl<T: Real> Targets<T> {
    /// Buffers for minibatches of `rows` rows, shared out for the present number of threads.
    pub fn new(expansion: &Expansion<'_, T>, rows: usize) -> Self {
        let parts = parts(0..rows, rayon::current_num_threads());
        Self {
            parts: parts.map(|rows| Part::new(expansion, rows)).collect(),
            values: vec![0.0; rows],
            depths: vec![0.0; rows],
        }
    }

    /// The targets of a minibatch.
    pub fn set(&mut self, expansion: &Expansion<'_, T>, batch: &SteveMinibatch<T>) {
        self.parts.par_iter_mut().for_each(|part| part.run(expansion, batch));
        let results = self.parts.iter().flat_map(|part| &part.results);
        let targets = self.values.iter_mut().zip(&mut self.depths);
        targets.zip(results).for_each(|((value, depth), result)| (*value, *depth) = *result);
    }
}

impl<T: Real> Part<T> {
    fn new(expansion: &Expansion<'_, T>, rows: Range<usize>) -> Self {
        let Expansion { policy, critic, dynamics, horizon, .. } = expansion;
        let n = rows.len();
        let (e, m) = (dynamics.transition.members.len(), dynamics.reward.members.len());
        let returns = n * (horizon + 1) * e;
        Self {
            rows,
            policy: Tape::new(policy.network.shape(), n, Keep::Nothing),
            transition: Tape::new(dynamics.transition.shape(), n, Keep::Nothing),
            head: Tape::new(dynamics.reward.shape(), n, Keep::Nothing),
            critic: Tape::new(critic.shape(), n, Keep::Nothing),
            first: Matrix::zeros(n, critic.shape().inputs()),
            alive: vec![0.0; n],
            rewards: vec![0.0; returns * m],
            tails: vec![0.0; returns * critic.networks.len()],
            wide: vec![0.0; policy.observation_dim()],
            results: vec![(0.0, 0.0); n],
        }
    }

    fn run(&mut self, expansion: &Expansion<'_, T>, batch: &SteveMinibatch<T>) {
        let (e, h) = (expansion.dynamics.transition.members.len(), expansion.horizon);
        for i in 0..self.rows.len() {
            self.policy.input.row_mut(i).copy_from_slice(batch.next_state(self.rows.start + i));
        }
        self.act(&expansion.policy.network);
        for i in 0..self.rows.len() {
            self.first.row_mut(i).copy_from_slice(self.critic.input.row(i));
        }
        for rollout in 0..e {
            self.start(expansion, batch, rollout);
            for j in 1..=h {
                self.step(expansion, rollout, j);
                self.act(&expansion.policy.network);
                self.evaluate(expansion, rollout, j);
            }
        }
        let (rewards, tails) = (self.rewards.len(), self.tails.len());
        let of_row = |all: usize| all / self.rows.len();
        let returns = self.rewards.chunks_exact(of_row(rewards));
        let returns = returns.zip(self.tails.chunks_exact(of_row(tails)));
        for ((rewards, tails), result) in returns.zip(&mut self.results) {
            let each = (rewards.len() / (h + 1), tails.len() / (h + 1));
            let returns = rewards.chunks_exact(each.0).zip(tails.chunks_exact(each.1));
            *result = mix(returns.map(|(rewards, tails)| moments(rewards, tails, e)));
        }
    }

    /// From the states in the policy's input to (s, π(s)) in the critic's.
    fn act(&mut self, network: &Mlp<T>) {
        network.forward(&mut self.policy, 0..self.rows.len());
        for i in 0..self.rows.len() {
            let state = self.policy.input.row(i);
            let (s, t) = self.critic.input.row_mut(i).split_at_mut(state.len());
            s.copy_from_slice(state);
            t.iter_mut().zip(self.policy.output.row(i)).for_each(|(t, z)| *t = z.tanh());
        }
    }

    /// A rollout's beginning: (s₁, π(s₁)), C₀ = 1 − d₀, r₀, and T₀.
    fn start(&mut self, expansion: &Expansion<'_, T>, batch: &SteveMinibatch<T>, rollout: usize) {
        let dynamics = expansion.dynamics;
        let (e, m) = (dynamics.transition.members.len(), dynamics.reward.members.len());
        let steps = expansion.horizon + 1;
        for i in 0..self.rows.len() {
            let row = self.rows.start + i;
            self.critic.input.row_mut(i).copy_from_slice(self.first.row(i));
            self.alive[i] = if batch.terminated[row] { 0.0 } else { 1.0 };
            let at = (i * steps * e + rollout) * m;
            self.rewards[at..at + m].fill(batch.rewards[row].to_f64());
        }
        if rollout == 0 {
            return self.evaluate(expansion, 0, 0);
        }
        // Nothing has been imagined yet: all rollouts agree on T₀.
        let k = expansion.critic.networks.len();
        for tails in self.tails.chunks_exact_mut(steps * e * k) {
            tails.copy_within(..k, rollout * k);
        }
    }

    /// Imagined step j of a rollout, from (s_j, t_j) in the critic's input to s_{j+1} in the policy's: its rewards, and C_j.
    fn step(&mut self, expansion: &Expansion<'_, T>, rollout: usize, j: usize) {
        let Expansion { dynamics, task, discount, .. } = expansion;
        let (e, m) = (dynamics.transition.members.len(), dynamics.reward.members.len());
        let (n, steps) = (self.rows.len(), expansion.horizon + 1);
        for i in 0..n {
            self.transition.input.row_mut(i).copy_from_slice(self.critic.input.row(i));
        }
        dynamics.transition.members[rollout].network.forward(&mut self.transition, 0..n);
        for i in 0..n {
            let (before, next) = (self.critic.input.row(i), self.policy.input.row_mut(i));
            let change = self.transition.output.row(i).iter().zip(before);
            next.iter_mut().zip(change).for_each(|(next, (&f, &s))| *next = s + f);
            join(self.head.input.row_mut(i), &[next, before]);
        }
        let weight = discount.powi(j as i32);
        for (member, reward) in dynamics.reward.members.iter().enumerate() {
            reward.network.forward(&mut self.head, 0..n);
            for i in 0..n {
                let at = |step: usize| ((i * steps + step) * e + rollout) * m + member;
                let more = weight * self.alive[i] * self.head.output.row(i)[0].to_f64();
                self.rewards[at(j)] = self.rewards[at(j - 1)] + more;
            }
        }
        if let Some(termination) = &dynamics.termination {
            termination.members[rollout].network.forward(&mut self.head, 0..n);
            for (i, alive) in self.alive.iter_mut().enumerate() {
                *alive *= probability(-self.head.output.row(i)[0].to_f64());
            }
            return;
        }
        for (i, alive) in self.alive.iter_mut().enumerate() {
            let next = self.policy.input.row(i);
            self.wide.iter_mut().zip(next).for_each(|(w, n)| *w = n.to_f64());
            if task.terminated(&self.wide) {
                *alive = 0.0;
            }
        }
    }

    /// γ^{j+1}·C_j·Q̄_k of the (s, t) in the critic's input.
    fn evaluate(&mut self, expansion: &Expansion<'_, T>, rollout: usize, j: usize) {
        let networks = &expansion.critic.networks;
        let (e, k) = (expansion.dynamics.transition.members.len(), networks.len());
        let (n, steps) = (self.rows.len(), expansion.horizon + 1);
        let weight = expansion.discount.powi(j as i32 + 1);
        for (member, q) in networks.iter().enumerate() {
            q.target.forward(&mut self.critic, 0..n);
            for i in 0..n {
                let value = self.critic.output.row(i)[0].to_f64();
                let at = ((i * steps + j) * e + rollout) * k + member;
                self.tails[at] = weight * self.alive[i] * value;
            }
        }
    }
}
