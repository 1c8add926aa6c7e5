//! The updates of a block as programs: what a call takes and what it tells.

use rayon::prelude::*;

use super::arrays::BlockArrays;
use crate::data::StateRing;
use crate::data::minibatch::RowStreams;
use crate::device::graph::{Graph, Number, ProductPrecision, Program, Value};
use crate::device::group::dealing::{Dealing, DealtColumns, DealtProgram};
use crate::device::group::draws::Columns;
use crate::device::pjrt::{Buffer, Device, DeviceError, Download};
use crate::device::programs::{
    CRITIC_NUMBERS, FACTORS, POLICY_NUMBERS, PathDraws, ShortPathRows, ShortPathShape,
    ShortPathUpdate,
};
use crate::methods::ddppo_plus::{BlockParts, PolicyGradientSeen, UpdateSeen};
use crate::path::ShortPathReport;

/// A compiled program that makes some updates in a row. Arguments: what is learned, the models, rows `[slots, count, batch, width]`, pairs
/// of target networks `[slots, 2·count]`, factors `[slots, count, 1, FACTORS]`, and where rows are dealt out to members,
/// `[slots, count·columns, members·places]` of them. It returns what is learned and what the updates saw.
pub(super) struct BlockUpdates {
    of: ShortPathUpdate,
    program: DealtProgram,
    precision: ProductPrecision,
    count: usize,
    staged: Staged,
}

/// The draws of a call on the host.
#[derive(Default)]
struct Staged {
    rows: Vec<f32>,
    pairs: Vec<i32>,
    factors: Vec<f32>,
}

/// What the updates of a call saw, `[slots, count, numbers]`, on its way to the host.
pub(super) struct CallSeen {
    of: ShortPathUpdate,
    count: usize,
    numbers: Download<f32>,
}

/// Numbers that an update tells.
fn seen_numbers(of: ShortPathUpdate) -> usize {
    if of == ShortPathUpdate::Critic { CRITIC_NUMBERS } else { CRITIC_NUMBERS + POLICY_NUMBERS }
}

impl BlockUpdates {
    /// How many of such updates a call can make. An accelerator is busy with one for longer than the host needs to bring the next, and a
    /// program of several takes long to compile; on a processor two show that several can be made.
    pub fn together(device: &Device, of: ShortPathUpdate) -> usize {
        let several = device.platform == "cpu" && !matches!(of, ShortPathUpdate::Looked(_));
        if several { 2 } else { 1 }
    }

    /// A program of `count` updates.
    pub fn compile(
        device: &Device,
        shape: &ShortPathShape,
        of: ShortPathUpdate,
        count: usize,
        precision: ProductPrecision,
    ) -> Result<Self, DeviceError> {
        let text = |dealt: Option<&DealtColumns>| text(shape, of, count, dealt, precision);
        let program = DealtProgram::compile(device, dealt_columns(shape), text)?;
        Ok(Self { of, program, precision, count, staged: Staged::default() })
    }

    /// Draws and makes the updates of the runs that are there and learn: `true` for these.
    pub fn run(
        &mut self,
        device: &Device,
        shape: &ShortPathShape,
        arrays: &mut BlockArrays,
        runs: &mut [Option<BlockParts<'_>>],
        learns: &[bool],
    ) -> Result<CallSeen, DeviceError> {
        let (slots, batch, width) =
            (shape.learner.runs(), shape.learner.batch, shape.draws_width());
        let Self { program, staged, .. } = self;
        let (of, precision, count) = (self.of, self.precision, self.count);
        let Staged { rows, pairs, factors } = staged;
        rows.resize(slots * count * batch * width, 0.0);
        pairs.resize(slots * count * 2, 0);
        factors.resize(slots * count * FACTORS, 0.0);
        // A slot that does not learn makes no step, on whatever numbers.
        factors.fill(0.0);
        let places = rows
            .par_chunks_mut(count * batch * width)
            .zip(pairs.par_chunks_mut(2 * count).zip(factors.par_chunks_mut(count * FACTORS)));
        let each = runs.par_iter_mut().zip(learns).zip(places);
        each.for_each(|((run, &learns), (rows, (pairs, factors)))| {
            let Some(parts) = run.as_mut().filter(|_| learns) else { return };
            let each = rows.chunks_exact_mut(batch * width).zip(pairs.chunks_exact_mut(2));
            for (i, (out, pair)) in each.enumerate() {
                draw(parts, shape, pair, &mut Columns { out, width });
                let own = &mut factors[i * FACTORS..][..FACTORS];
                own.copy_from_slice(&BlockArrays::factors(parts, i as u64));
            }
            let updates = count as u64;
            parts.critic.networks.iter_mut().for_each(|q| q.adam.updates += updates);
            if of != ShortPathUpdate::Critic {
                parts.policy.adam.updates += updates;
                let own = if parts.temperature.automatic { updates } else { 0 };
                parts.temperature.adam.updates += own;
            }
        });
        let there: Vec<bool> =
            runs.iter().zip(learns).map(|(run, &learns)| learns && run.is_some()).collect();
        let places = program.deal(device, count, &there, rows)?;
        let text = |dealt: Option<&DealtColumns>| text(shape, of, count, dealt, precision);
        let program = program.of(device, places.is_some(), text)?;
        let mut given = vec![
            device.upload(rows, &[slots, count, batch, width])?,
            device.upload(pairs, &[slots, 2 * count])?,
            device.upload(factors, &[slots, count, 1, FACTORS])?,
        ];
        given.extend(places);
        let arguments: Vec<&Buffer> =
            arrays.learned.iter().chain(arrays.models()).chain(&given).collect();
        let mut outputs = program.run(&arguments)?;
        let numbers = outputs.pop().expect("a program tells what it saw");
        arrays.learned = outputs;
        let numbers = numbers.download_later(vec![0.0; slots * count * seen_numbers(of)])?;
        Ok(CallSeen { of, count, numbers })
    }
}

/// How the rows of an update's minibatch are dealt out to members.
pub(super) fn dealt_columns(shape: &ShortPathShape) -> Option<DealtColumns> {
    let dealing = Dealing::of(shape.learner.batch, shape.model.stack.networks)?;
    let (columns, width) = (shape.dealt_columns(), shape.draws_width());
    (!columns.is_empty()).then_some(DealtColumns { dealing, columns, width })
}

/// The program of `count` updates.
fn text(
    shape: &ShortPathShape,
    of: ShortPathUpdate,
    count: usize,
    dealt: Option<&DealtColumns>,
    precision: ProductPrecision,
) -> Program {
    let graph = Graph::new();
    let mut state = shape.state(&graph);
    let before = state.arrays();
    let models = shape.models(&graph);
    let (slots, batch) = (shape.learner.runs(), shape.learner.batch);
    let rows = graph.argument(&[slots, count, batch, shape.draws_width()], Number::Single);
    let pairs = graph.argument(&[slots, 2 * count], Number::Index);
    let factors = graph.argument(&[slots, count, 1, FACTORS], Number::Single);
    let draws = dealt.map_or(0, |dealt| dealt.columns.len());
    let dealt =
        dealt.map(|of| graph.argument(&[slots, count * draws, of.dealing.all()], Number::Index));
    let mut seen = Vec::new();
    for i in 0..count {
        let dealt = dealt.map(|dealt| dealt.slice(1, i * draws, (i + 1) * draws));
        let on = ShortPathRows {
            draws: PathDraws { rows: rows.slice(1, i, i + 1), dealt },
            pair: pairs.slice(1, 2 * i, 2 * i + 2),
            factors: shape.learner.factors(factors.slice(1, i, i + 1)),
        };
        seen.push(shape.update(&graph, &mut state, &models, of, on));
    }
    let mut outputs = state.arrays();
    outputs.push(Value::concatenate(&seen, 1));
    let overwritten: Vec<_> = before.into_iter().enumerate().map(|(k, a)| (a, k)).collect();
    graph.program(&outputs, &overwritten, precision)
}

/// Draws an update from the run's stream (`DdppoPlus::update` and `src/path/short.rs` draw the same).
fn draw(
    parts: &mut BlockParts<'_>,
    shape: &ShortPathShape,
    pair: &mut [i32],
    to: &mut Columns<'_>,
) {
    let BlockParts { prediction_model: model, states, path_stream: stream, critic, .. } = parts;
    let networks = critic.networks.len();
    let one = stream.below(networks);
    let other = (one + 1 + stream.below(networks - 1)) % networks;
    pair.copy_from_slice(&[one as i32, other as i32]);
    let (s, a) = (shape.model.observation_dim(), shape.learner.policy.action_dim());
    let (horizon, members) = (shape.horizon, model.members.len());
    let states: &StateRing = states;
    let mut streams = RowStreams::new(shape.learner.batch);
    streams.renew(stream);
    let mut start = vec![0.0; s];
    for (rows, mut rng) in streams.groups() {
        for i in rows.clone() {
            let state = states.get(rng.below(states.len())).iter().copied();
            model.inputs.apply(state, &mut start);
            to.put(i, 0, &start);
        }
        for j in 0..=horizon {
            to.noise(rows.clone(), s + j * a, a, &mut rng);
        }
        for j in 0..horizon {
            let at = s + (horizon + 1) * a + j * (s + 2);
            to.noise(rows.clone(), at, s, &mut rng);
            for i in rows.clone() {
                let member = rng.below(members) as f32;
                // Drawn for either source, so that both have the same paths.
                let other = rng.below(members) as f32;
                let first = if shape.gradient_model { other } else { member };
                to.put(i, at + s, &[member, first]);
            }
        }
    }
}

impl CallSeen {
    /// What each update saw, by slot and then in order.
    pub fn wait(self) -> Result<Vec<Vec<UpdateSeen>>, DeviceError> {
        let Self { of, count, numbers } = self;
        let (width, all) = (seen_numbers(of), numbers.wait()?);
        let slot = |slot: &[f32]| slot.chunks_exact(width).map(|n| Self::seen(of, n)).collect();
        Ok(all.chunks_exact(count * width).map(slot).collect())
    }

    fn seen(of: ShortPathUpdate, numbers: &[f32]) -> UpdateSeen {
        let number = |k: usize| f64::from(numbers[k]);
        let mut paths = ShortPathReport {
            broken: numbers[0] as u64,
            critic_loss: number(1),
            value: number(2),
            target: number(3),
            log_prob: number(4),
            alive: number(5),
            clipped: number(6),
            ..ShortPathReport::default()
        };
        let mut policy = None;
        if of != ShortPathUpdate::Critic {
            let number = |k: usize| number(CRITIC_NUMBERS + k);
            (paths.policy_loss, paths.mean_abs_adjoint) = (number(0), number(1));
            let looks = matches!(of, ShortPathUpdate::Looked(_));
            let half = looks.then(|| [number(4), number(5)]);
            policy = Some(PolicyGradientSeen { finite: number(2) == 1.0, square: number(3), half });
        }
        UpdateSeen { paths, policy, finite_critic: number(7) == 1.0 }
    }
}
