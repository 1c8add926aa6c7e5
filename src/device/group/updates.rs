//! The updates of a step as programs: how many a call makes, what it takes and what it tells.

use rayon::prelude::*;

use super::draws::{Columns, critic_rows, policy_noise};
use super::imagining::path_rows;
use super::learned::LearnedArrays;
use super::parts::LearnedParts;
use super::recipe::Recipe;
use crate::critic::CriticReport;
use crate::data::mixture;
use crate::device::graph::{Graph, Number, ProductPrecision, Value};
use crate::device::pjrt::{Buffer, Device, DeviceError, Executable};
use crate::device::programs::{FACTORS, LearnerShape, PathShape};
use crate::nn::LearnError;
use crate::path::PolicyReport;
use crate::rng::Rng;
use crate::run::Tally;

/// Which updates a program makes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum UpdateKind {
    /// Of critic and temperature.
    Critic,
    /// Of critic and temperature, and of the policy on the same minibatch.
    Together,
    /// Of the policy, through models.
    Path(PathShape),
}

/// A compiled program that makes some updates in a row. Arguments: the learned arrays, those of models, rows
/// `[slots, updates, batch, width]`, factors `[slots, updates, 1, FACTORS]`. It returns the learned arrays and what the updates saw.
pub(super) struct UpdateProgram {
    kind: UpdateKind,
    program: Executable,
    /// Updates of a call.
    pub per_call: usize,
    width: usize,
}

/// Numbers that an update of the critic tells.
const CRITIC_SEEN: usize = 4;
/// Numbers that an update of the policy tells.
const POLICY_SEEN: usize = 5;

/// Updates of a call, out of those of a step. A longer program takes longer to compile, which processors do slowly; on accelerators it
/// saves starts.
fn per_call(platform: &str, updates: usize) -> usize {
    let most = if platform == "cpu" { 2 } else { 5 };
    (1..=most.min(updates)).rev().find(|&n| updates.is_multiple_of(n)).unwrap_or(1)
}

impl UpdateKind {
    /// Numbers of a row of an update's minibatch.
    pub fn width(&self, shape: &LearnerShape) -> usize {
        let a = shape.policy.action_dim();
        match self {
            Self::Critic => shape.transition_width(),
            Self::Together => shape.transition_width() + a,
            Self::Path(path) => path.draws_width(a),
        }
    }

    /// Numbers that an update tells.
    fn seen(&self) -> usize {
        match self {
            Self::Critic => CRITIC_SEEN,
            Self::Together => CRITIC_SEEN + POLICY_SEEN,
            Self::Path(_) => POLICY_SEEN,
        }
    }

    /// Adam's counts after so many updates.
    fn count(&self, parts: &mut LearnedParts<'_>, updates: u64) {
        let LearnedParts { policy, critic, temperature, .. } = parts;
        if *self != Self::Critic {
            policy.adam.updates += updates;
        }
        if !matches!(self, Self::Path(_)) {
            critic.networks.iter_mut().for_each(|q| q.adam.updates += updates);
            temperature.adam.updates += if temperature.automatic { updates } else { 0 };
        }
    }

    /// Draws an update from the run's streams.
    fn draw(
        &self,
        parts: &mut LearnedParts<'_>,
        recipe: &Recipe,
        shape: &LearnerShape,
        to: &mut Columns<'_>,
    ) {
        let (rows, a, real) = (shape.batch, shape.policy.action_dim(), parts.real);
        if let Self::Path(path) = self {
            let elites = path.prediction.stack.networks;
            path_rows((rows, a, path.horizon, elites), parts.policy_stream, real, to);
            return;
        }
        match &parts.models {
            Some(models) => {
                let draw = mixture(real, &models.imagined.transitions, recipe.real_rows);
                critic_rows(rows, a, parts.critic_stream, draw, to);
            }
            None => {
                let draw = |_: usize, rng: &mut Rng| (real, rng.below(real.len()));
                critic_rows(rows, a, parts.critic_stream, draw, to);
            }
        }
        if *self == Self::Together {
            policy_noise(rows, a, parts.policy_stream, shape.transition_width(), to);
        }
    }
}

impl UpdateProgram {
    /// The program for a step of so many updates.
    pub fn compile(
        device: &Device,
        shape: &LearnerShape,
        kind: UpdateKind,
        updates: usize,
        precision: ProductPrecision,
    ) -> Result<Self, DeviceError> {
        let per_call = per_call(&device.platform, updates);
        let graph = Graph::new();
        let mut state = shape.arguments(&graph);
        let before = state.arrays();
        let models = match &kind {
            UpdateKind::Path(path) => Some(path.arguments(&graph)),
            _ => None,
        };
        let (slots, width) = (shape.runs(), kind.width(shape));
        let rows = graph.argument(&[slots, per_call, shape.batch, width], Number::Single);
        let factors = graph.argument(&[slots, per_call, 1, FACTORS], Number::Single);
        let mut seen = vec![];
        for i in 0..per_call {
            let factors = shape.factors(factors.slice(1, i, i + 1));
            let rows = rows.slice(1, i, i + 1);
            if let (UpdateKind::Path(path), Some(models)) = (&kind, &models) {
                seen.push(shape.path_step(&graph, &mut state, path, models, rows, factors));
                continue;
            }
            let transitions = shape.transition_rows(rows);
            let of_critic = shape.critic_step(&graph, &mut state, transitions, factors);
            if kind == UpdateKind::Critic {
                seen.push(of_critic);
                continue;
            }
            let (states, noise) =
                (transitions.states, rows.slice(3, shape.transition_width(), width));
            let of_policy = shape.policy_step(&graph, &mut state, states, noise, factors);
            seen.push(Value::concatenate(&[of_critic, of_policy], 3));
        }
        let mut outputs = state.arrays();
        outputs.push(Value::concatenate(&seen, 1));
        let overwritten: Vec<_> = before.into_iter().enumerate().map(|(k, a)| (a, k)).collect();
        let program = graph.program(&outputs, &overwritten, precision);
        let program = device.compile(&program.text, program.outputs)?;
        Ok(Self { kind, program, per_call, width })
    }

    /// The phase of a step that its time counts to.
    pub fn phase(&self) -> &'static str {
        match self.kind {
            UpdateKind::Path(_) => "policy",
            UpdateKind::Critic => "critic",
            UpdateKind::Together => "updates",
        }
    }

    /// Draws and makes so many updates of the runs that are there; what they saw, call by call.
    pub fn run(
        &self,
        device: &Device,
        recipe: &Recipe,
        arrays: &mut LearnedArrays,
        models: &[&Buffer],
        runs: &mut [Option<LearnedParts<'_>>],
        updates: usize,
    ) -> Result<Readings, DeviceError> {
        let mut calls = Vec::new();
        for _ in 0..updates / self.per_call {
            let drawn = self.draw(device, recipe, &arrays.shape, runs)?;
            calls.push(self.call(arrays, models, &drawn)?);
        }
        Readings::fetch(&calls, arrays.shape.runs(), self.numbers())
    }

    /// Numbers that a call tells of a slot.
    pub fn numbers(&self) -> usize {
        self.per_call * self.kind.seen()
    }

    /// Draws the updates of a call and brings them to the device: rows and factors.
    pub fn draw(
        &self,
        device: &Device,
        recipe: &Recipe,
        shape: &LearnerShape,
        runs: &mut [Option<LearnedParts<'_>>],
    ) -> Result<[Buffer; 2], DeviceError> {
        let (k, width) = (self.per_call, self.width);
        let (slots, batch) = (shape.runs(), shape.batch);
        let mut rows = vec![0.0_f32; slots * k * batch * width];
        let mut factors = vec![0.0_f32; slots * k * FACTORS];
        let each = rows.par_chunks_mut(k * batch * width);
        let places = each.zip(factors.par_chunks_mut(k * FACTORS));
        runs.par_iter_mut().zip(places).for_each(|(run, (rows, factors))| {
            let Some(parts) = run else { return };
            for (ahead, factors) in factors.chunks_exact_mut(FACTORS).enumerate() {
                factors.copy_from_slice(&LearnedArrays::factors(parts, ahead as u64));
            }
            for out in rows.chunks_exact_mut(batch * width) {
                self.kind.draw(parts, recipe, shape, &mut Columns { out, width });
            }
            self.kind.count(parts, k as u64);
        });
        let rows = device.upload(&rows, &[slots, k, batch, width])?;
        Ok([rows, device.upload(&factors, &[slots, k, 1, FACTORS])?])
    }

    /// Makes the updates of a call; what they saw.
    pub fn call(
        &self,
        arrays: &mut LearnedArrays,
        models: &[&Buffer],
        drawn: &[Buffer; 2],
    ) -> Result<Buffer, DeviceError> {
        let learned = arrays.buffers.iter();
        let arguments: Vec<&Buffer> = learned.chain(models.iter().copied()).chain(drawn).collect();
        let mut outputs = self.program.run(&arguments)?;
        let seen = outputs.pop().expect("a program tells what it saw");
        arrays.buffers = outputs;
        Ok(seen)
    }

    /// Tells a run's tally what its updates saw, and refuses numbers that cannot be learned from.
    pub fn tell(
        &self,
        seen: &Readings,
        slot: usize,
        limit: f64,
        tally: &mut Tally,
    ) -> Result<(), LearnError> {
        for update in seen.of(slot).flat_map(|call| call.chunks_exact(self.kind.seen())) {
            let imagined = matches!(self.kind, UpdateKind::Path(_));
            let (of_critic, of_policy) = update.split_at(if imagined { 0 } else { CRITIC_SEEN });
            let number = |k: usize| f64::from(of_critic[k]);
            if !of_critic.is_empty() {
                let report = CriticReport {
                    loss: number(0),
                    value: number(1),
                    entropy: -number(2),
                    finite_gradient: number(3) == 1.0,
                };
                report.check(limit)?;
                report.tell(tally);
            }
            if let &[loss, adjoint, alive, broken, finite] = of_policy {
                let report = PolicyReport {
                    loss: f64::from(loss),
                    mean_abs_adjoint: f64::from(adjoint),
                    alive: f64::from(alive),
                    broken: broken as u64,
                };
                report.check(limit, || finite == 1.0)?;
                report.tell(imagined, tally);
            }
        }
        Ok(())
    }
}

/// What the updates of a step saw.
pub(super) struct Readings {
    /// Of each call, `[slots, numbers]`.
    calls: Vec<Vec<f32>>,
    numbers: usize,
}

impl Readings {
    fn fetch(calls: &[Buffer], slots: usize, numbers: usize) -> Result<Self, DeviceError> {
        let fetch = |call: &Buffer| {
            let mut seen = vec![0.0_f32; slots * numbers];
            call.download(&mut seen)?;
            Ok(seen)
        };
        Ok(Self { calls: calls.iter().map(fetch).collect::<Result<_, _>>()?, numbers })
    }

    /// What a slot's saw, call by call.
    fn of(&self, slot: usize) -> impl Iterator<Item = &[f32]> {
        self.calls.iter().map(move |call| &call[slot * self.numbers..][..self.numbers])
    }
}
