//! Long rollouts on the device, whose states come back to the hosts' rings.

use rayon::prelude::*;

use super::arrays::BlockArrays;
use super::calls::per_call;
use crate::data::minibatch::RowStreams;
use crate::device::graph::{Graph, Number, ProductPrecision, Value};
use crate::device::group::draws::Columns;
use crate::device::pjrt::{Buffer, Device, DeviceError, Executable};
use crate::device::programs::{LongPathShape, ShortPathShape};
use crate::methods::ddppo_plus::{BlockParts, LongRolloutConfig};
use crate::path::LongReport;
use crate::rng::Rng;

/// A compiled program of some steps. Arguments: the policies' parameters, M^p, states `[slots, 1, starts, observation_dim]`, draws
/// `[slots, steps, starts, width]`. It returns the states afterwards, and the raw ones before each step with 1 where the next one is finite,
/// `[slots, steps, starts, observation_dim + 1]`.
pub(super) struct LongRollouts {
    program: Executable,
    shape: LongPathShape,
    length: usize,
    /// Steps of a call.
    steps: usize,
}

impl LongRollouts {
    /// The program for rollouts of this size.
    pub fn compile(
        device: &Device,
        shape: &ShortPathShape,
        config: &LongRolloutConfig,
        precision: ProductPrecision,
    ) -> Result<Self, DeviceError> {
        let &LongRolloutConfig { starts, length, .. } = config;
        let most = per_call(&device.platform);
        let steps = (1..=most).rev().find(|&n| length.is_multiple_of(n)).unwrap_or(1);
        let shape = LongPathShape {
            policy: shape.learner.policy.clone(),
            model: shape.model.clone(),
            starts,
        };
        let (slots, s) = (shape.model.stack.runs, shape.model.observation_dim());
        let graph = Graph::new();
        let policy = shape.policy.stack.arguments(&graph);
        let model = shape.model(&graph);
        let mut states = graph.argument(&[slots, 1, starts, s], Number::Single);
        let draws = graph.argument(&[slots, steps, starts, shape.draws_width()], Number::Single);
        let mut kept = Vec::new();
        for j in 0..steps {
            let step = shape.step(&graph, &policy, &model, states, draws.slice(1, j, j + 1));
            states = step.0;
            kept.push(step.1);
        }
        let program = graph.program(&[states, Value::concatenate(&kept, 1)], &[], precision);
        let program = device.compile(&program.text, program.outputs)?;
        Ok(Self { program, shape, length, steps })
    }

    /// Rolls the present policies of the runs that are there and learn out into their rings (`src/path/long.rs` draws the same); what
    /// came of it, by slot.
    pub fn run(
        &self,
        device: &Device,
        arrays: &BlockArrays,
        runs: &mut [Option<BlockParts<'_>>],
        learns: &[bool],
    ) -> Result<Vec<LongReport>, DeviceError> {
        let (slots, starts) = (self.shape.model.stack.runs, self.shape.starts);
        let (s, a) = (self.shape.model.observation_dim(), self.shape.policy.action_dim());
        let width = self.shape.draws_width();
        let mut states = vec![0.0_f32; slots * starts * s];
        let mut streams: Vec<RowStreams> = (0..slots).map(|_| RowStreams::new(starts)).collect();
        let places = states.par_chunks_mut(starts * s).zip(&mut streams);
        runs.par_iter_mut().zip(learns).zip(places).for_each(|((run, &learns), (out, streams))| {
            let Some(parts) = run.as_mut().filter(|_| learns) else { return };
            streams.renew(parts.rollout_stream);
            let real = parts.real;
            for (rows, mut rng) in streams.groups() {
                for i in rows {
                    let state = real.get(rng.below(real.len())).observation.iter().copied();
                    parts.prediction_model.inputs.apply(state, &mut out[i * s..][..s]);
                }
            }
        });
        let members = self.shape.model.stack.networks;
        let mut states = device.upload(&states, &[slots, 1, starts, s])?;
        let each = self.steps * starts * (s + 1);
        let mut calls = Vec::new();
        for first in (0..self.length).step_by(self.steps) {
            let mut draws = vec![0.0_f32; slots * self.steps * starts * width];
            let places = draws.par_chunks_mut(self.steps * starts * width);
            places.zip(&streams).zip(learns).for_each(|((out, streams), &learns)| {
                if !learns {
                    return;
                }
                for (j, out) in out.chunks_exact_mut(starts * width).enumerate() {
                    let mut to = Columns { out, width };
                    for (rows, mut rng) in streams.groups() {
                        // A stream of its own for each step of a group, as on the processor.
                        let word = rng.next_u64().wrapping_add(1 + (first + j) as u64);
                        let mut rng = Rng::from_word(word);
                        to.noise(rows.clone(), 0, a, &mut rng);
                        to.noise(rows.clone(), a, s, &mut rng);
                        for i in rows {
                            to.put(i, a + s, &[rng.below(members) as f32]);
                        }
                    }
                }
            });
            let draws = device.upload(&draws, &[slots, self.steps, starts, width])?;
            let given = arrays.prediction().iter().chain([&states, &draws]);
            let arguments: Vec<&Buffer> = arrays.policies().iter().chain(given).collect();
            let mut outputs = self.program.run(&arguments)?;
            calls.push(outputs.pop().expect("the states that were met"));
            states = outputs.pop().expect("the states afterwards");
        }
        let mut met = Vec::new();
        for call in &calls {
            let mut part = vec![0.0_f32; slots * each];
            call.download(&mut part)?;
            met.push(part);
        }
        let store = |(slot, (run, &learns)): (usize, (&mut Option<BlockParts<'_>>, &bool))| {
            let Some(parts) = run.as_mut().filter(|_| learns) else { return LongReport::default() };
            // Step by step, `[starts, observation_dim + 1]`.
            let steps: Vec<&[f32]> = met
                .iter()
                .flat_map(|part| part[slot * each..][..each].chunks_exact(starts * (s + 1)))
                .collect();
            store(parts, &steps, s)
        };
        Ok(runs.par_iter_mut().zip(learns).enumerate().map(store).collect())
    }
}

/// Keeps the states that were met alive, step by step.
fn store(parts: &mut BlockParts<'_>, steps: &[&[f32]], s: usize) -> LongReport {
    let mut report = LongReport::default();
    let mut alive = vec![true; steps[0].len() / (s + 1)];
    let mut wide = vec![0.0; s];
    for (j, step) in steps.iter().enumerate() {
        for (i, (row, alive)) in step.chunks_exact(s + 1).zip(&mut alive).enumerate() {
            let state = &row[..s];
            if let Some(before) = j.checked_sub(1) {
                let finite = steps[before][i * (s + 1) + s] == 1.0;
                wide.iter_mut().zip(state).for_each(|(w, &x)| *w = f64::from(x));
                if *alive && (!finite || parts.task.terminated(&wide)) {
                    report.broken += u64::from(!finite);
                    *alive = false;
                }
            }
            if *alive {
                parts.states.push(state);
                report.states += 1;
            }
        }
    }
    report
}
