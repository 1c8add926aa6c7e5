//! Runs in lockstep on one device. A run is its method on the host, as ever: transitions and random streams stay there, and the programs
//! compute what the method's updates would, on the same draws. What is learned lives on the device between steps; the policies come back
//! after each step, since the host acts, and everything else when it is asked for.

mod arrays;
mod draws;
mod learned;
mod parts;

use std::time::Instant;

use rayon::prelude::*;

use self::draws::{Columns, critic_rows, policy_noise};
use self::learned::{LearnedArrays, learner_shape};
use self::parts::{LearnedParts, Recipe};
use super::graph::{Graph, Number, ProductPrecision, Program, Value};
use super::pjrt::{Device, DeviceError, Executable};
use super::programs::{FACTORS, LearnerShape};
use crate::config::Config;
use crate::critic::CriticReport;
use crate::methods::Method;
use crate::nn::LearnError;
use crate::path::PolicyReport;
use crate::rng::Rng;
use crate::run::Tally;

/// A group of one run has a second slot, which never learns: compilers drop an axis of size 1 and may then sum in another order, and a
/// run is to be the same bits alone as among others.
const LEAST_SLOTS: usize = 2;

/// Numbers that an update tells of critic and policy.
const SEEN: (usize, usize) = (4, 5);

/// Runs whose updates are made together.
pub struct Group {
    device: Device,
    recipe: Recipe,
    arrays: LearnedArrays,
    updates: Executable,
}

/// A run in a group: its method, and what it tells of its learning; `None` where the run has ended.
pub type GroupRun<'m> = Option<(&'m mut dyn Method, &'m mut Tally)>;

impl Group {
    /// Whether a configuration's method has device programs.
    ///
    /// # Errors
    /// When it has none, in one sentence.
    pub fn check(config: &Config) -> Result<(), DeviceError> {
        Recipe::of(config).map(drop)
    }

    /// Brings runs to a device, whose configurations may differ in the seed alone.
    ///
    /// # Errors
    /// When no program is for such runs, or the device fails.
    pub fn new(
        device: Device,
        config: &Config,
        methods: &mut [&mut dyn Method],
        precision: ProductPrecision,
    ) -> Result<Self, DeviceError> {
        let recipe = Recipe::of(config)?;
        let runs: Option<Vec<LearnedParts<'_>>> =
            methods.iter_mut().map(|method| LearnedParts::of(&mut **method)).collect();
        let runs = runs.ok_or_else(|| {
            DeviceError::Unsupported("the runs are not of the configuration's method".to_owned())
        })?;
        runs.iter().try_for_each(LearnedParts::check)?;
        let slots = runs.len().max(LEAST_SLOTS);
        let shape = learner_shape(&runs[0], &recipe, slots);
        let program = updates_program(&shape, recipe.updates, precision);
        let updates = device.compile(&program.text, program.outputs)?;
        let arrays = LearnedArrays::upload(&device, shape, &runs)?;
        Ok(Self { device, recipe, arrays, updates })
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// All learning after a step of every run; for each run that is there, whether it learned. A run that failed must not be in the group's
    /// steps any more.
    ///
    /// # Errors
    /// When the device fails, and with it all runs.
    pub fn learn(
        &mut self,
        runs: &mut [GroupRun<'_>],
    ) -> Result<Vec<Result<(), LearnError>>, DeviceError> {
        let started = Instant::now();
        let (mut parts, mut tallies): (Vec<_>, Vec<_>) = runs
            .iter_mut()
            .map(|run| match run {
                Some((method, tally)) => (LearnedParts::of(&mut **method), Some(&mut **tally)),
                None => (None, None),
            })
            .unzip();
        let recipe = &self.recipe;
        parts.iter_mut().for_each(|run| {
            if run.as_ref().is_some_and(|parts| !recipe.is_due(parts.real.len())) {
                *run = None;
            }
        });
        let mut outcomes: Vec<Result<(), LearnError>> = parts.iter().map(|_| Ok(())).collect();
        if parts.iter().all(Option::is_none) || recipe.updates == 0 {
            return Ok(outcomes);
        }
        let seen = self.update(&mut parts)?;
        self.arrays.fetch_policies(&mut parts)?;
        let seconds = started.elapsed().as_secs_f64();
        let each = self.recipe.updates * (SEEN.0 + SEEN.1);
        for (slot, (run, tally)) in parts.iter().zip(&mut tallies).enumerate() {
            let (Some(_), Some(tally)) = (run, tally) else { continue };
            outcomes[slot] = self.tell(&seen[slot * each..][..each], tally);
            tally.add_seconds("updates", seconds);
        }
        Ok(outcomes)
    }

    /// Draws, and makes all updates of a step; what they saw, `[slots, updates, 9]`.
    fn update(&mut self, runs: &mut [Option<LearnedParts<'_>>]) -> Result<Vec<f32>, DeviceError> {
        let Self { device, recipe, arrays, updates } = self;
        let (shape, k) = (&arrays.shape, recipe.updates);
        let (slots, batch, width) = (shape.runs(), recipe.batch, update_width(shape));
        let mut rows = vec![0.0_f32; slots * k * batch * width];
        let mut factors = vec![0.0_f32; slots * k * FACTORS];
        let places = rows.par_chunks_mut(k * batch * width).zip(factors.par_chunks_mut(k * FACTORS));
        runs.par_iter_mut().zip(places).for_each(|(run, (rows, factors))| {
            let Some(parts) = run else { return };
            for (ahead, factors) in factors.chunks_exact_mut(FACTORS).enumerate() {
                factors.copy_from_slice(&LearnedArrays::factors(parts, ahead as u64));
            }
            for out in rows.chunks_exact_mut(batch * width) {
                draw_update(parts, shape, &mut Columns { out, width });
            }
        });
        let rows = device.upload(&rows, &[slots, k, batch, width])?;
        let factors = device.upload(&factors, &[slots, k, 1, FACTORS])?;
        let arguments: Vec<_> = arrays.buffers.iter().chain([&rows, &factors]).collect();
        let mut outputs = updates.run(&arguments)?;
        let seen = outputs.pop().expect("the program tells what it saw");
        arrays.buffers = outputs;
        for parts in runs.iter_mut().flatten() {
            let LearnedParts { policy, critic, temperature, .. } = parts;
            policy.adam.updates += k as u64;
            critic.networks.iter_mut().for_each(|q| q.adam.updates += k as u64);
            temperature.adam.updates += if temperature.automatic { k as u64 } else { 0 };
        }
        let mut told = vec![0.0_f32; slots * k * (SEEN.0 + SEEN.1)];
        seen.download(&mut told)?;
        Ok(told)
    }

    /// Tells a run's tally what its updates saw, and refuses numbers that cannot be learned from.
    fn tell(&self, seen: &[f32], tally: &mut Tally) -> Result<(), LearnError> {
        let limit = self.recipe.max_loss;
        for update in seen.chunks_exact(SEEN.0 + SEEN.1) {
            let number = |k: usize| f64::from(update[k]);
            let report = CriticReport {
                loss: number(0),
                value: number(1),
                entropy: -number(2),
                finite_gradient: number(3) == 1.0,
            };
            report.check(limit)?;
            report.tell(tally);
            let report = policy_report(&update[SEEN.0..]);
            report.check(limit, || update[SEEN.0 + 4] == 1.0)?;
            report.tell(false, tally);
        }
        Ok(())
    }

    /// Brings everything that is learned back into the methods, as a checkpoint or an analysis needs it.
    ///
    /// # Errors
    /// When the device fails.
    pub fn fetch(&mut self, runs: &mut [Option<&mut dyn Method>]) -> Result<(), DeviceError> {
        let mut parts = Vec::new();
        for run in runs {
            parts.push(match run {
                Some(method) => LearnedParts::of(&mut **method),
                None => None,
            });
        }
        self.arrays.fetch(&mut parts)
    }
}

fn policy_report(seen: &[f32]) -> PolicyReport {
    PolicyReport {
        loss: f64::from(seen[0]),
        mean_abs_adjoint: f64::from(seen[1]),
        alive: f64::from(seen[2]),
        broken: seen[3] as u64,
    }
}

/// Numbers of a row of an update: the critic's, and noise of the policy's action in s.
fn update_width(shape: &LearnerShape) -> usize {
    shape.transition_width() + shape.policy.action_dim()
}

/// Draws an update of critic and policy.
fn draw_update(parts: &mut LearnedParts<'_>, shape: &LearnerShape, to: &mut Columns<'_>) {
    let (rows, a, real) = (shape.batch, shape.policy.action_dim(), parts.real);
    let draw = |_: usize, rng: &mut Rng| (real, rng.below(real.len()));
    critic_rows(rows, a, parts.critic_stream, draw, to);
    policy_noise(rows, a, parts.policy_stream, shape.transition_width(), to);
}

/// `updates` updates of critic and temperature, each followed by one of the policy on the same minibatch. Arguments: the learned arrays,
/// rows `[slots, updates, batch, width]`, factors `[slots, updates, 1, FACTORS]`. Returns the learned arrays and what the updates saw.
fn updates_program(shape: &LearnerShape, updates: usize, precision: ProductPrecision) -> Program {
    let graph = Graph::new();
    let mut state = shape.arguments(&graph);
    let before = state.arrays();
    let (slots, width) = (shape.runs(), update_width(shape));
    let rows = graph.argument(&[slots, updates, shape.batch, width], Number::Single);
    let factors = graph.argument(&[slots, updates, 1, FACTORS], Number::Single);
    let mut seen = vec![];
    for i in 0..updates {
        let factors = shape.factors(factors.slice(1, i, i + 1));
        let own = rows.slice(1, i, i + 1);
        let transitions = shape.transition_rows(own);
        let of_critic = shape.critic_step(&graph, &mut state, transitions, factors);
        let noise = own.slice(3, shape.transition_width(), width);
        let of_policy =
            shape.policy_step(&graph, &mut state, transitions.states, noise, factors);
        seen.push(Value::concatenate(&[of_critic, of_policy], 3));
    }
    let mut outputs = state.arrays();
    if !seen.is_empty() {
        outputs.push(Value::concatenate(&seen, 1));
    }
    let overwritten: Vec<_> = before.into_iter().enumerate().map(|(k, a)| (a, k)).collect();
    graph.program(&outputs, &overwritten, precision)
}
