//! The runs' models in use: rollouts of the present policies through their elites, and the draws of policy updates.

use rayon::prelude::*;

use super::draws::Columns;
use super::parts::LearnedParts;
use crate::data::minibatch::RowStreams;
use crate::data::{Replay, Transition};
use crate::device::graph::{Graph, Number, ProductPrecision, Value};
use crate::device::pjrt::{Buffer, Device, DeviceError, Executable};
use crate::device::programs::{DrawnMembers, ElitesShape, LearnerShape};
use crate::env::Task;
use crate::model::rollout::{PARTS_PER_WAVE, ROWS_PER_PART, RolloutReport};
use crate::rng::Rng;

/// Draws a policy update through models, in the columns of `PathShape::draws_width` (`src/path/imagine.rs` draws the same).
pub(super) fn path_rows(
    (rows, action_dim, horizon, elites): (usize, usize, usize, usize),
    stream: &mut Rng,
    real: &Replay,
    to: &mut Columns<'_>,
) {
    let mut streams = RowStreams::new(rows);
    streams.renew(stream);
    for (group, mut rng) in streams.groups() {
        let mut s = 0;
        for i in group.clone() {
            let state = real.get(rng.below(real.len())).observation;
            s = state.len();
            to.put(i, 0, state);
        }
        for j in 0..=horizon {
            to.noise(group.clone(), s + j * action_dim, action_dim, &mut rng);
        }
        for j in 0..horizon {
            let at = s + (horizon + 1) * action_dim + j * (3 + s);
            for model in 0..2 {
                for i in group.clone() {
                    to.put(i, at + model, &[rng.below(elites) as f32]);
                }
            }
            to.noise(group.clone(), at + 2, 1 + s, &mut rng);
        }
    }
}

/// Rows of a run in a call of [`RolloutProgram`].
pub(super) fn rollout_rows(starts: usize) -> usize {
    (PARTS_PER_WAVE * ROWS_PER_PART).min(starts.next_multiple_of(ROWS_PER_PART))
}

/// One imagined step of many rows.
pub(super) struct RolloutProgram {
    step: Executable,
    /// Rows of a run in a call.
    rows: usize,
    width: usize,
    shape: ElitesShape,
    action_dim: usize,
}

/// What [`RolloutProgram`] takes a run's part of.
struct RolloutRows {
    rng: Rng,
    /// States of the rows that are alive.
    states: Vec<f32>,
    alive: usize,
    imagined: Replay,
}

impl RolloutProgram {
    /// The program for rollouts from so many start states of a run. Its arguments: the policies' parameters, the elites' arrays, rows
    /// `[slots, 1, rows, width]` of (s, noise of a, place of an elite, noise of (r, Δs)). It returns (a, r, s').
    pub fn compile(
        device: &Device,
        learner: &LearnerShape,
        shape: &ElitesShape,
        starts: usize,
        precision: ProductPrecision,
    ) -> Result<Self, DeviceError> {
        let (s, a) = (learner.observation_dim(), learner.policy.action_dim());
        let rows = rollout_rows(starts);
        let width = 2 * s + a + 2;
        let graph = Graph::new();
        let policy = learner.policy.stack.arguments(&graph);
        let model = shape.arguments(&graph);
        let draws = graph.argument(&[learner.runs(), 1, rows, width], Number::Single);
        let states = draws.slice(3, 0, s);
        let drawn = learner.policy.sample(&graph, &policy, states, draws.slice(3, s, s + a));
        let place = draws.slice(3, s + a, s + a + 1);
        let output = shape.forward(&model, states, drawn.actions, DrawnMembers::Numbers(place));
        let noise = draws.slice(3, s + a + 1, width);
        let step = shape.sampled_step(&model, output, states, noise);
        let result = Value::concatenate(&[drawn.actions, step.rewards, step.states], 3);
        let program = graph.program(&[result], &[], precision);
        let step = device.compile(&program.text, program.outputs)?;
        Ok(Self { step, rows, width, shape: shape.clone(), action_dim: a })
    }

    /// Refills the buffers of the runs that are there with rollouts of the present policies (`src/model/rollout.rs` draws the same).
    pub fn refill(
        &self,
        device: &Device,
        policies: &[Buffer],
        elites: &[Buffer],
        runs: &mut [Option<&mut LearnedParts<'_>>],
        step: u64,
    ) -> Result<Vec<RolloutReport>, DeviceError> {
        let (s, a) = (self.shape.observation_dim(), self.action_dim);
        let mut sums = vec![(RolloutReport::default(), 0.0_f64, 0.0_f64); runs.len()];
        let size = |run: &mut Option<&mut LearnedParts<'_>>| {
            let models = run.as_mut()?.models.as_mut()?;
            Some(models.imagined.begin(step).2)
        };
        let sizes: Vec<Option<(usize, usize)>> = runs.iter_mut().map(size).collect();
        let (mut draws, mut steps) = (Vec::new(), Vec::new());
        let (starts, length) = sizes.iter().flatten().copied().max().unwrap_or((0, 0));
        for first in (0..starts).step_by(PARTS_PER_WAVE * ROWS_PER_PART) {
            let mut parts: Vec<Vec<RolloutRows>> = runs
                .par_iter_mut()
                .map(|run| match run {
                    Some(run) => begin_wave(run, step, starts - first, (s, a), length),
                    None => Vec::new(),
                })
                .collect();
            for _ in 0..length {
                let staged = (&mut draws, &mut steps);
                self.advance(device, policies, elites, runs, &mut parts, staged)?;
            }
            let of_runs = runs.par_iter_mut().zip(&parts).zip(&mut sums);
            of_runs.for_each(|((run, parts), (report, rewards, ends))| {
                let Some(models) = run.as_mut().and_then(|run| run.models.as_mut()) else {
                    return;
                };
                for t in parts.iter().flat_map(|p| (0..p.imagined.len()).map(|i| p.imagined.get(i)))
                {
                    report.transitions += 1;
                    *rewards += f64::from(t.reward);
                    *ends += f64::from(u8::from(t.terminated));
                    let finite =
                        t.reward.is_finite() && t.next_observation.iter().all(|x| x.is_finite());
                    report.broken += u64::from(!finite);
                    models.imagined.transitions.push(t);
                }
            });
        }
        let mean = |(mut report, rewards, ends): (RolloutReport, f64, f64)| {
            report.mean_reward = rewards / report.transitions.max(1) as f64;
            report.terminated = ends / report.transitions.max(1) as f64;
            report
        };
        Ok(sums.into_iter().map(mean).collect())
    }

    /// One step of all rows that are alive.
    fn advance(
        &self,
        device: &Device,
        policies: &[Buffer],
        elites: &[Buffer],
        runs: &[Option<&mut LearnedParts<'_>>],
        parts: &mut [Vec<RolloutRows>],
        (draws, steps): (&mut Vec<f32>, &mut Vec<f32>),
    ) -> Result<(), DeviceError> {
        let (slots, count) = (self.shape.stack.runs, self.shape.stack.networks);
        let (s, a, width) = (self.shape.observation_dim(), self.action_dim, self.width);
        draws.resize(slots * self.rows * width, 0.0);
        let places = draws.par_chunks_mut(self.rows * width);
        parts.par_iter_mut().zip(places).for_each(|(parts, out)| {
            for (part, out) in parts.iter_mut().zip(out.chunks_mut(ROWS_PER_PART * width)) {
                let mut to = Columns { out, width };
                for (i, state) in part.states.chunks_exact(s).take(part.alive).enumerate() {
                    to.put(i, 0, state);
                }
                to.noise(0..part.alive, s, a, &mut part.rng);
                for i in 0..part.alive {
                    to.put(i, s + a, &[part.rng.below(count) as f32]);
                }
                for i in 0..part.alive {
                    to.noise(i..i + 1, s + a + 1, 1 + s, &mut part.rng);
                }
            }
        });
        let draws = device.upload(draws, &[slots, 1, self.rows, width])?;
        let arguments: Vec<&Buffer> = policies.iter().chain(elites).chain([&draws]).collect();
        let out = a + 1 + s;
        steps.resize(slots * self.rows * out, 0.0);
        self.step.run(&arguments)?[0].download(steps)?;
        let of_runs = parts.par_iter_mut().zip(runs.par_iter());
        of_runs.zip(steps.par_chunks(self.rows * out)).for_each(|((parts, run), steps)| {
            let Some(models) = run.as_ref().and_then(|run| run.models.as_ref()) else { return };
            for (part, steps) in parts.iter_mut().zip(steps.chunks(ROWS_PER_PART * out)) {
                part.store(models.task, steps, (s, a));
            }
        });
        Ok(())
    }
}

/// The parts of a wave of a run's rollouts, with their start states.
fn begin_wave(
    run: &mut LearnedParts<'_>,
    step: u64,
    starts: usize,
    (s, a): (usize, usize),
    length: usize,
) -> Vec<RolloutRows> {
    let real = run.real;
    let Some(models) = run.models.as_mut() else { return Vec::new() };
    let stream = models.imagined.begin(step).1;
    let words: Vec<u64> = (0..PARTS_PER_WAVE).map(|_| stream.next_u64()).collect();
    let part = |(p, &word): (usize, &u64)| {
        let mut rng = Rng::from_word(word);
        let alive = starts.saturating_sub(p * ROWS_PER_PART).min(ROWS_PER_PART);
        let draw = |_| real.get(rng.below(real.len())).observation;
        let states: Vec<f32> = (0..alive).flat_map(draw).copied().collect();
        let imagined = Replay::new(s, a, ROWS_PER_PART * length);
        (alive > 0).then_some(RolloutRows { rng, states, alive, imagined })
    };
    words.iter().enumerate().filter_map(part).collect()
}

impl RolloutRows {
    /// Keeps the transitions of a step, rows of (a, r, s'), and moves those that go on up.
    fn store(&mut self, task: &dyn Task, steps: &[f32], (s, a): (usize, usize)) {
        let mut wide = vec![0.0; s];
        let mut alive = 0;
        for (i, step) in steps.chunks_exact(a + 1 + s).take(self.alive).enumerate() {
            let (action, rest) = step.split_at(a);
            let (reward, next) = (rest[0], &rest[1..]);
            wide.iter_mut().zip(next).for_each(|(w, &n)| *w = f64::from(n));
            let terminated = task.terminated(&wide);
            self.imagined.push(Transition {
                observation: &self.states[i * s..][..s],
                action,
                reward,
                next_observation: next,
                terminated,
            });
            if !terminated {
                self.states[alive * s..][..s].copy_from_slice(next);
                alive += 1;
            }
        }
        self.alive = alive;
    }
}
