//! The training of the runs' ensembles on the device, all runs together. Runs whose training is over leave the batch when half of it is
//! idle: the others go on in programs of half the size.

use std::collections::HashMap;

use super::arrays::{LEAST_SLOTS, stack};
use super::fit_job::FitJob;
use super::fit_phase::FitPhase;
use crate::device::graph::{Graph, Number, ProductPrecision, Program};
use crate::device::pjrt::{Device, DeviceError, Executable};
use crate::device::programs::{DirectionsShape, FitShape};
use crate::model::FitReport;

/// Held-out rows that run through the members at a time.
pub(super) const HOLDOUT_ROWS: usize = 1024;
/// Fewest rows of a table; it doubles as transitions come in, and each size has programs of its own.
const LEAST_TABLE: usize = 1024;

/// The programs of one size.
pub(super) struct FitPrograms {
    pub shape: FitShape,
    pub step: Executable,
    pub errors: Executable,
}

/// Compiled programs, by their sizes.
#[derive(Default)]
pub(super) struct Fitting {
    programs: HashMap<String, FitPrograms>,
}

/// A power of two that holds `n`, and at least `least`.
fn bucket(n: usize, least: usize) -> usize {
    n.next_power_of_two().max(least)
}

/// A training, its number among those of the call, and whether it is over.
pub(super) struct FitSlot<'m> {
    number: usize,
    pub job: FitJob<'m>,
    pub over: bool,
}

impl Fitting {
    /// Trains the models of some runs, all of one kind and size; what each training came to.
    pub fn fit(
        &mut self,
        device: &Device,
        jobs: Vec<FitJob<'_>>,
        batch: usize,
        precision: ProductPrecision,
    ) -> Result<Vec<FitReport>, DeviceError> {
        let slot = |(number, job)| FitSlot { number, job, over: false };
        let mut jobs: Vec<FitSlot<'_>> = jobs.into_iter().enumerate().map(slot).collect();
        let mut reports = Vec::new();
        while !jobs.is_empty() {
            let slots = bucket(jobs.len(), LEAST_SLOTS);
            let rows = jobs.iter().map(|slot| slot.job.real.len()).max().unwrap_or(0);
            let shape = shape_of(&jobs[0].job, slots, bucket(rows, LEAST_TABLE), batch);
            let programs = self.programs(device, shape, precision)?;
            let least = if slots > LEAST_SLOTS { slots / 2 } else { 0 };
            let mut phase = FitPhase::begin(device, programs, &jobs)?;
            while jobs.iter().filter(|slot| !slot.over).count() > least {
                phase.epoch(&mut jobs)?;
            }
            phase.fetch(&mut jobs)?;
            for mut slot in jobs.extract_if(.., |slot| slot.over) {
                slot.job.finish();
                reports.push((slot.number, slot.job.report));
            }
        }
        reports.sort_by_key(|(number, _)| *number);
        Ok(reports.into_iter().map(|(_, report)| report).collect())
    }

    fn programs(
        &mut self,
        device: &Device,
        shape: FitShape,
        precision: ProductPrecision,
    ) -> Result<&FitPrograms, DeviceError> {
        let key = format!("{shape:?}");
        if !self.programs.contains_key(&key) {
            let step = step_program(&shape, precision);
            let errors = errors_program(&shape, precision);
            let step = device.compile(&step.text, step.outputs)?;
            let errors = device.compile(&errors.text, errors.outputs)?;
            self.programs.insert(key.clone(), FitPrograms { shape, step, errors });
        }
        Ok(&self.programs[&key])
    }
}

fn shape_of(job: &FitJob<'_>, slots: usize, table: usize, batch: usize) -> FitShape {
    let model = &*job.model;
    FitShape {
        stack: stack(slots, model.members.len(), model.shape()),
        labels: model.label_dim(),
        batch,
        table,
        weight_decay: job.config.weight_decay.clone(),
        train_bounds: model.bounds_adam.is_some(),
        directions: job.loss.map(|loss| DirectionsShape {
            rows: batch.min(loss.neighbours.sequences().count()),
            directions: loss.directions,
        }),
    }
}

/// Arguments: state, data, rows. Returns the state and what the step saw.
fn step_program(shape: &FitShape, precision: ProductPrecision) -> Program {
    let graph = Graph::new();
    let mut state = shape.state(&graph);
    let before: Vec<_> = state.networks.arrays().chain([state.bounds]).collect();
    let data = shape.data(&graph);
    let rows = shape.rows(&graph);
    let seen = shape.step(&graph, &mut state, data, rows);
    let outputs: Vec<_> = state.networks.arrays().chain([state.bounds, seen]).collect();
    let overwritten: Vec<_> = before.into_iter().enumerate().map(|(k, a)| (a, k)).collect();
    graph.program(&outputs, &overwritten, precision)
}

/// Arguments: parameters, data, rows `[slots, HOLDOUT_ROWS]` and their counts.
fn errors_program(shape: &FitShape, precision: ProductPrecision) -> Program {
    let graph = Graph::new();
    let parameters = shape.stack.arguments(&graph);
    let data = shape.data(&graph);
    let slots = shape.stack.runs;
    let rows = graph.argument(&[slots, HOLDOUT_ROWS], Number::Index);
    let counts = graph.argument(&[slots, 1, HOLDOUT_ROWS, 1], Number::Single);
    let errors = shape.squared_errors(&parameters, data, rows, counts);
    graph.program(&[errors], &[], precision)
}
