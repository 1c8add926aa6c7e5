//! A minibatch of short paths, shared out among threads, and the updates of critic and policy on it.

use rayon::prelude::*;

use super::short::{ShortPart, ShortPath};
use crate::data::minibatch;
use crate::nn::{Mlp, Real, Tape};
use crate::rng::Rng;

/// What an update saw, averaged over its minibatch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ShortPathReport {
    /// The policy's objective, minimised; 0 where the critic alone is updated.
    pub policy_loss: f64,
    /// Σ over the networks of mean (Q − y)², in units of the range of values.
    pub critic_loss: f64,
    /// Mean target.
    pub target: f64,
    /// Mean over rows and networks of Q(s₀, a₀).
    pub value: f64,
    /// Mean log π(a₀|s₀).
    pub log_prob: f64,
    /// Mean |λ_j| over rows, steps 1..=H and state dimensions, standardised.
    pub mean_abs_adjoint: f64,
    /// Share of rows alive after H steps.
    pub alive: f64,
    /// Share of targets that were clipped.
    pub clipped: f64,
    /// Living rows whose next state was not finite.
    pub broken: u64,
}

/// Buffers of an update, allocated once.
#[derive(Debug)]
pub struct ShortPathWorkspace<T> {
    /// Those of the minibatch's first half, then the others.
    pub parts: Vec<ShortPart<T>>,
    /// How many parts the first half has.
    halves: usize,
    batch: usize,
    rewards: Vec<f64>,
}

/// Rows of a part at most: what a part keeps should stay in the second cache.
const MOST_ROWS: usize = 128;

impl<T: Real> ShortPathWorkspace<T> {
    /// Buffers for minibatches of `batch` start states, shared out for the present number of threads.
    pub fn new(path: &ShortPath<'_, T>, batch: usize) -> Self {
        let half = batch.div_ceil(2).next_multiple_of(16).min(batch);
        let parts = |rows: std::ops::Range<usize>| {
            let wanted = rayon::current_num_threads().div_ceil(2).max(rows.len() / MOST_ROWS);
            minibatch::parts(rows, wanted.max(1)).map(|rows| ShortPart::new(path, rows))
        };
        let mut all: Vec<ShortPart<T>> = parts(0..half).collect();
        let halves = all.len();
        if half < batch {
            all.extend(parts(half..batch));
        }
        let rewards = Vec::with_capacity(batch * path.config.horizon);
        Self { parts: all, halves, batch, rewards }
    }

    /// Draws the minibatch and imagines its paths; the start state of row i, raw, is `start(i, rng)`.
    pub fn imagine<'s>(
        &mut self,
        path: &ShortPath<'_, T>,
        start: impl Fn(usize, &mut Rng) -> &'s [f32] + Sync,
        rng: &mut Rng,
    ) {
        self.parts.iter_mut().for_each(|part| part.streams.renew(rng));
        self.parts.par_iter_mut().for_each(|part| {
            part.draw(path, &start);
            part.forward(path);
        });
    }

    /// r − α·log π of all living steps of the present paths.
    pub fn rewards(&mut self, alpha: f64) -> &mut [f64] {
        let Self { parts, rewards, .. } = self;
        rewards.clear();
        for part in &*parts {
            part.rewards_with_entropy(alpha, |reward| rewards.push(reward));
        }
        rewards
    }

    /// Targets, and the ways back of the critic and, `with_policy`, of the policy, on the present paths.
    pub fn differentiate(&mut self, path: &ShortPath<'_, T>, with_policy: bool) -> ShortPathReport {
        let batch = self.batch;
        self.parts.par_iter_mut().for_each(|part| {
            part.set_targets(path);
            part.fit_critic(path, batch);
            if with_policy {
                part.backward(path, batch);
            }
        });
        self.report(path, with_policy)
    }

    fn report(&self, path: &ShortPath<'_, T>, with_policy: bool) -> ShortPathReport {
        let batch = self.batch as f64;
        let (centre, half_width) = path.range;
        let (h, s) = (path.config.horizon, path.policy.observation_dim());
        let mut report = ShortPathReport::default();
        for part in &self.parts {
            for i in 0..part.rows.len() {
                if with_policy {
                    report.policy_loss += part.losses[i] / batch;
                    report.mean_abs_adjoint += part.adjoint_sizes[i] / (batch * (h * s) as f64);
                }
                report.critic_loss += part.errors[i] / batch;
                report.target += part.targets[i].to_f64() / batch;
                report.log_prob += part.points[0].log_probs[i].to_f64() / batch;
                report.alive += part.alive[h][i].to_f64() / batch;
                for tape in &part.values {
                    let value = centre + half_width * tape.output.row(i)[0].to_f64();
                    report.value += value / (batch * part.values.len() as f64);
                }
            }
            report.broken += part.broken;
        }
        // Whole numbers first: a sum of the parts' shares would round as the parts are.
        let clipped: u64 = self.parts.iter().map(|part| part.clipped).sum();
        report.clipped = clipped as f64 / batch;
        report
    }

    /// The gradient of the critic's network number `q`, after [`ShortPathWorkspace::differentiate`].
    pub fn critic_gradient(&self, q: usize, network: &Mlp<T>, gradient: &mut [T]) {
        network.gradient(self.parts.iter().map(|part| &part.values[q]), gradient);
    }

    /// The gradient of the policy, after [`ShortPathWorkspace::differentiate`] with it.
    pub fn policy_gradient(&self, network: &Mlp<T>, gradient: &mut [T]) {
        network.gradient(points(&self.parts), gradient);
    }

    /// The part of [`ShortPathWorkspace::policy_gradient`] that comes from the first half of the minibatch.
    pub fn half_policy_gradient(&self, network: &Mlp<T>, gradient: &mut [T]) {
        network.gradient(points(&self.parts[..self.halves]), gradient);
    }
}

/// The policy's tapes, step by step from H down, and in each step all rows in order.
fn points<T: Real>(parts: &[ShortPart<T>]) -> impl Iterator<Item = &Tape<T>> + Clone {
    let steps = 0..parts[0].points.len();
    steps.rev().flat_map(move |j| parts.iter().map(move |part| &part.points[j].network))
}
