//! The minibatch of a critic update: what is drawn, what the policy does there, and the target (eq. 12) of all networks.

use std::ops::Range;

use rayon::prelude::*;

use super::least::least;
use super::networks::{Critic, QNetwork};
use crate::data::minibatch;
use crate::data::minibatch::RowStreams;
use crate::data::{Replay, Transition};
use crate::nn::{Keep, Mlp, Real, Tape};
use crate::policy::gaussian::{Policy, PolicyTape};
use crate::rng::Rng;

/// The first half of some transitions: s and a, and an action of the policy's in s for the temperature.
#[derive(Debug)]
struct Present<T> {
    policy: PolicyTape<T>,
    /// a, `[rows, action_dim]`.
    actions: Vec<T>,
    /// Of the policy's noise.
    streams: RowStreams,
}

/// The second half: r, d, s', and the policy's action in s'.
#[derive(Debug)]
struct Next<T> {
    policy: PolicyTape<T>,
    rewards: Vec<T>,
    /// 1 − d.
    alive: Vec<T>,
}

/// Some rows of a minibatch.
#[derive(Debug)]
pub(super) struct CriticPart<T> {
    /// Which ones.
    rows: Range<usize>,
    /// Which transitions they are; and then of the policy's noise in s'.
    streams: RowStreams,
    present: Present<T>,
    next: Next<T>,
    /// y of eq. 12.
    targets: Vec<T>,
}

/// Buffers of a critic update, allocated once.
#[derive(Debug)]
pub struct CriticWorkspace<T> {
    pub(super) parts: Vec<CriticPart<T>>,
    /// Passes over s' and the policy's action there, of each target network over each part.
    next_values: Vec<Vec<Tape<T>>>,
    /// Passes over s and a, of each network over each part.
    pub(super) values: Vec<Vec<Tape<T>>>,
    pub(super) gradients: Vec<Vec<T>>,
    pub(super) batch: usize,
}

impl<T: Real> CriticWorkspace<T> {
    /// Buffers for minibatches of `batch` rows, shared out for the present number of threads.
    pub fn new(critic: &Critic<T>, policy: &Policy<T>, batch: usize) -> Self {
        let shape = critic.shape();
        // Two networks or more, two halves of a transition: a part is work for two threads.
        let wanted = rayon::current_num_threads().div_ceil(2);
        let parts = || minibatch::parts(0..batch, wanted);
        let tapes =
            |keep| parts().map(|rows| Tape::new(shape, rows.len(), keep)).collect::<Vec<_>>();
        let all = || critic.networks.iter();
        Self {
            parts: parts().map(|rows| CriticPart::new(policy, rows)).collect(),
            next_values: all().map(|_| tapes(Keep::Nothing)).collect(),
            values: all().map(|_| tapes(Keep::Adjoints)).collect(),
            gradients: all().map(|_| vec![T::ZERO; shape.parameter_len()]).collect(),
            batch,
        }
    }

    /// Draws transitions, and the policy's actions in s and s'.
    pub(super) fn draw<'a>(
        &mut self,
        policy: &Policy<T>,
        rng: &mut Rng,
        draw: impl Fn(usize, &mut Rng) -> (&'a Replay, usize) + Sync,
    ) {
        self.parts.iter_mut().for_each(|part| part.streams.renew(rng));
        self.parts.iter_mut().for_each(|part| part.present.streams.renew(rng));
        self.parts.par_iter_mut().for_each(|part| part.draw(policy, &draw));
    }

    /// y of every row: the one-step target of eq. 12, r + γ·(1 − d)·(min Q̄(s', a') − α·log π(a'|s')).
    pub(super) fn set_one_step_targets(&mut self, critic: &Critic<T>, alpha: f64, discount: f64) {
        let parts = &self.parts;
        let networks = self.next_values.par_iter_mut().zip(&critic.networks);
        networks.for_each(|(tapes, QNetwork { target, .. })| {
            tapes.par_iter_mut().zip(parts).for_each(|(tape, part)| {
                part.next.evaluate(target, tape);
            });
        });
        let (alpha, discount) = (T::from_f64(alpha), T::from_f64(discount));
        for (p, part) in self.parts.iter_mut().enumerate() {
            let Next { policy, rewards, alive } = &part.next;
            for (i, target) in part.targets.iter_mut().enumerate() {
                let values = self.next_values.iter().map(|tapes| tapes[p].output.row(i)[0]);
                let value = least(values).1;
                *target = rewards[i] + discount * alive[i] * (value - alpha * policy.log_probs[i]);
            }
        }
    }

    /// Means over the minibatch, in the order of its rows, after [`CriticPart::accumulate`]: the squared errors' sum over the networks,
    /// the least value, and log π.
    pub(super) fn means(&self) -> [f64; 3] {
        let mut sums = [0.0; 3];
        for (p, part) in self.parts.iter().enumerate() {
            for (i, target) in part.targets.iter().enumerate() {
                let values = || self.values.iter().map(|tapes| tapes[p].output.row(i)[0]);
                for value in values() {
                    let error = (value - *target).to_f64();
                    sums[0] += error * error;
                }
                sums[1] += least(values()).1.to_f64();
                sums[2] += part.present.policy.log_probs[i].to_f64();
            }
        }
        sums.map(|sum| sum / self.batch as f64)
    }

    /// State of row `row` of the last minibatch, `[observation_dim]`.
    pub fn state(&self, row: usize) -> &[T] {
        let part = self.parts.partition_point(|part| part.rows.end <= row);
        let part = &self.parts[part];
        part.present.policy.network.input.row(row - part.rows.start)
    }
}

fn fill<T: Real>(target: &mut [T], source: &[f32]) {
    for (t, &s) in target.iter_mut().zip(source) {
        *t = T::from_f32(s);
    }
}

impl<T: Real> CriticPart<T> {
    fn new(policy: &Policy<T>, of: Range<usize>) -> Self {
        let rows = of.len();
        let tape = || PolicyTape::new(policy, rows, Keep::Nothing);
        Self {
            rows: of,
            streams: RowStreams::new(rows),
            present: Present {
                policy: tape(),
                actions: vec![T::ZERO; rows * policy.action_dim()],
                streams: RowStreams::new(rows),
            },
            next: Next { policy: tape(), rewards: vec![T::ZERO; rows], alive: vec![T::ONE; rows] },
            targets: vec![T::ZERO; rows],
        }
    }

    fn draw<'a>(
        &mut self,
        policy: &Policy<T>,
        draw: &(impl Fn(usize, &mut Rng) -> (&'a Replay, usize) + Sync),
    ) {
        let Self { rows, streams, present, next, .. } = self;
        let draw = |row: usize, rng: &mut Rng| draw(rows.start + row, rng);
        rayon::join(|| present.draw(policy, streams, draw), || next.draw(policy, streams, draw));
    }

    /// Forward and back through Q for the rows' share of the MSE over `batch` rows; `tape` keeps what its gradient needs.
    pub(super) fn accumulate(&self, network: &Mlp<T>, tape: &mut Tape<T>, batch: usize) {
        load(tape, &self.present.policy, &self.present.actions);
        network.forward(tape, 0..self.rows.len());
        let scale = T::from_f64(2.0 / batch as f64);
        for (i, &target) in self.targets.iter().enumerate() {
            tape.output_adjoint.row_mut(i)[0] = scale * (tape.output.row(i)[0] - target);
        }
        network.backward(tape, 0..self.rows.len(), None, false);
    }
}

/// The states of a policy's tape and an action for each, `[rows, action_dim]`, as a critic's input.
fn load<T: Real>(tape: &mut Tape<T>, policy: &PolicyTape<T>, actions: &[T]) {
    let states = &policy.network.input;
    let action_dim = actions.len() / states.rows();
    for (i, action) in actions.chunks_exact(action_dim).enumerate() {
        let (s, a) = tape.input.row_mut(i).split_at_mut(states.columns());
        s.copy_from_slice(states.row(i));
        a.copy_from_slice(action);
    }
}

/// Hands the transitions that `draw` tells to `load`, with their row; each stream then stands behind its rows' draws. Rows of a buffer
/// lie anywhere in memory, so it is asked for a group of them before the first is read.
fn read<'a>(
    streams: &RowStreams,
    draw: impl Fn(usize, &mut Rng) -> (&'a Replay, usize),
    mut load: impl FnMut(usize, Transition<'a>),
) -> impl Iterator<Item = (Range<usize>, Rng)> {
    streams.groups().map(move |(rows, mut rng)| {
        let mut ahead = rng.clone();
        for i in rows.clone() {
            let (replay, row) = draw(i, &mut ahead);
            replay.prefetch(row);
        }
        for i in rows.clone() {
            let (replay, row) = draw(i, &mut rng);
            load(i, replay.get(row));
        }
        (rows, rng)
    })
}

impl<T: Real> Present<T> {
    fn draw<'a>(
        &mut self,
        policy: &Policy<T>,
        streams: &RowStreams,
        draw: impl Fn(usize, &mut Rng) -> (&'a Replay, usize),
    ) {
        let Self { policy: tape, actions, streams: of_noise } = self;
        let (a, states) = (policy.action_dim(), &mut tape.network.input);
        let load = |i: usize, t: Transition<'_>| {
            fill(states.row_mut(i), t.observation);
            fill(&mut actions[i * a..], t.action);
        };
        read(streams, draw, load).for_each(drop);
        for (rows, mut rng) in of_noise.groups() {
            rng.fill_normal(&mut tape.noise[rows.start * a..rows.end * a]);
        }
        policy.sample(tape, streams.rows());
    }
}

impl<T: Real> Next<T> {
    fn draw<'a>(
        &mut self,
        policy: &Policy<T>,
        streams: &RowStreams,
        draw: impl Fn(usize, &mut Rng) -> (&'a Replay, usize),
    ) {
        let Self { policy: tape, rewards, alive } = self;
        let (a, states, noise) = (policy.action_dim(), &mut tape.network.input, &mut tape.noise);
        let load = |i: usize, t: Transition<'_>| {
            fill(states.row_mut(i), t.next_observation);
            rewards[i] = T::from_f32(t.reward);
            alive[i] = if t.terminated { T::ZERO } else { T::ONE };
        };
        for (rows, mut rng) in read(streams, draw, load) {
            rng.fill_normal(&mut noise[rows.start * a..rows.end * a]);
        }
        policy.sample(tape, streams.rows());
    }

    /// Q̄(s', a') of one target network.
    fn evaluate(&self, target: &Mlp<T>, tape: &mut Tape<T>) {
        load(tape, &self.policy, &self.policy.actions);
        target.forward(tape, 0..self.rewards.len());
    }
}
