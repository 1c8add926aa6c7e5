//! Long imagined paths, of which only the states are kept: from them the short ones start.

use rayon::prelude::*;

use crate::data::minibatch;
use crate::data::minibatch::RowStreams;
use crate::data::{Replay, StateRing};
use crate::env::Task;
use crate::model::{NormalisedModel, NormalisedTape};
use crate::nn::{Keep, Real};
use crate::policy::{Policy, PolicyTape};
use crate::rng::Rng;

/// Some rows of a rollout.
#[derive(Debug)]
struct PathPart<T> {
    rows: usize,
    streams: RowStreams,
    policy: PolicyTape<T>,
    tape: NormalisedTape<T>,
    members: Vec<u32>,
    /// Of a step, `[rows, observation_dim]`.
    noise: Vec<T>,
    next: Vec<T>,
    /// Raw states met, `[length, rows, observation_dim]`.
    states: Vec<f32>,
    /// Up to which step each row lives.
    lives: Vec<usize>,
    raw: Vec<f64>,
    broken: u64,
}

/// What a long rollout came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LongReport {
    /// States met alive.
    pub states: u64,
    /// Living rows that met a state that was not finite.
    pub broken: u64,
}

/// Buffers of long rollouts, allocated once.
#[derive(Debug)]
pub struct LongWorkspace<T> {
    parts: Vec<PathPart<T>>,
    length: usize,
}

impl<T: Real> LongWorkspace<T> {
    /// Buffers for rollouts from `starts` states, `length` steps each.
    pub fn new(
        policy: &Policy<T>,
        model: &NormalisedModel<T>,
        (starts, length): (usize, usize),
    ) -> Self {
        let s = model.observation_dim();
        let part = |of: std::ops::Range<usize>| PathPart {
            rows: of.len(),
            streams: RowStreams::new(of.len()),
            policy: PolicyTape::new(policy, of.len(), Keep::Nothing),
            tape: NormalisedTape::new(model, of.len(), Keep::Nothing),
            members: vec![0; of.len()],
            noise: vec![T::ZERO; of.len() * s],
            next: vec![T::ZERO; s],
            states: vec![0.0; length * of.len() * s],
            lives: vec![0; of.len()],
            raw: vec![0.0; s],
            broken: 0,
        };
        let wanted = rayon::current_num_threads();
        Self { parts: minibatch::parts(0..starts, wanted).map(part).collect(), length }
    }
}

/// Rolls the policy through `model` with sampled members, actions and noise from states of `real`; the states that are met alive go into
/// `ring`, step by step.
pub fn roll_out_states<T: Real>(
    workspace: &mut LongWorkspace<T>,
    policy: &Policy<T>,
    model: &NormalisedModel<T>,
    task: &dyn Task,
    (real, ring): (&Replay, &mut StateRing),
    rng: &mut Rng,
) -> LongReport {
    let LongWorkspace { parts, length } = workspace;
    let (length, s) = (*length, model.observation_dim());
    parts.iter_mut().for_each(|part| part.streams.renew(rng));
    parts.par_iter_mut().for_each(|part| part.run(policy, model, task, real, length));
    // In an order that does not depend on how rows are shared out.
    let mut report = LongReport::default();
    for j in 0..length {
        for part in &*parts {
            for i in 0..part.rows {
                if j < part.lives[i] {
                    ring.push(&part.states[(j * part.rows + i) * s..][..s]);
                    report.states += 1;
                }
            }
        }
    }
    report.broken = parts.iter().map(|part| part.broken).sum();
    report
}

impl<T: Real> PathPart<T> {
    fn run(
        &mut self,
        policy: &Policy<T>,
        model: &NormalisedModel<T>,
        task: &dyn Task,
        real: &Replay,
        length: usize,
    ) {
        let Self {
            rows,
            streams,
            policy: tape,
            tape: step,
            members,
            noise,
            next,
            states,
            lives,
            raw,
            broken,
        } = self;
        let (rows, s, a) = (*rows, model.observation_dim(), policy.action_dim());
        *broken = 0;
        lives.fill(length);
        for (group, mut rng) in streams.groups() {
            for i in group {
                let state = real.get(rng.below(real.len())).observation.iter();
                model.inputs.apply(state.map(|&x| T::from_f32(x)), tape.network.input.row_mut(i));
            }
        }
        for j in 0..length {
            for (group, mut rng) in streams.groups() {
                // A stream of its own for each step of a group: groups are visited once a step.
                let mut rng = Rng::from_word(rng.next_u64().wrapping_add(1 + j as u64));
                rng.fill_normal(&mut tape.noise[group.start * a..group.end * a]);
                rng.fill_normal(&mut noise[group.start * s..group.end * s]);
                for member in &mut members[group] {
                    *member = rng.below(model.members.len()) as u32;
                }
            }
            policy.sample(tape, rows);
            model.forward(step, members, |i| tape.network.input.row(i), &tape.actions);
            for i in 0..rows {
                let state = tape.network.input.row_mut(i);
                model.raw_state(state, raw);
                let kept = &mut states[(j * rows + i) * s..][..s];
                kept.iter_mut().zip(&*raw).for_each(|(to, &x)| *to = x as f32);
                let noise = &noise[i * s..(i + 1) * s];
                model.step(members[i], step.mean(i), noise, state, next);
                let finite = next.iter().all(|x| x.is_finite());
                if finite {
                    state.copy_from_slice(next);
                }
                model.raw_state(state, raw);
                if j + 1 < lives[i] && (!finite || task.terminated(raw)) {
                    *broken += u64::from(!finite);
                    lives[i] = j + 1;
                }
            }
        }
    }
}
