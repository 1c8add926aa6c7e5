//! The training of the runs' ensembles on the device, all runs together. Runs whose training is over leave the batch when half of it is
//! idle: the others go on in programs of half the size.

use std::collections::HashMap;

use super::arrays::{LEAST_SLOTS, stack};
use super::fit_job::FitJob;
use super::fit_phase::{FitPhase, FitSlot};
use super::fit_programs::FitPrograms;
use crate::device::graph::ProductPrecision;
use crate::device::pjrt::{Device, DeviceError};
use crate::device::programs::{DirectionsShape, FitShape};
use crate::model::FitReport;

/// Fewest rows of a table; it doubles as transitions come in, and each size has programs of its own.
const LEAST_TABLE: usize = 1024;

/// Compiled programs, by their sizes.
#[derive(Default)]
pub(super) struct Fitting {
    programs: HashMap<String, FitPrograms>,
}

/// A power of two that holds `n`, and at least `least`.
fn bucket(n: usize, least: usize) -> usize {
    n.next_power_of_two().max(least)
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
            let programs = FitPrograms::compile(device, shape, precision)?;
            self.programs.insert(key.clone(), programs);
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
