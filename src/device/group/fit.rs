//! The training of the runs' ensembles on the device, all runs together. Runs whose training is over leave the batch when half of it is
//! idle: the others go on in programs of half the size.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::arrays::{LEAST_SLOTS, stack};
use super::fit_job::FitJob;
use super::fit_phase::{FitPhase, FitSlot};
use super::fit_programs::FitPrograms;
use crate::device::graph::ProductPrecision;
use crate::device::pjrt::{Device, DeviceError};
use crate::device::programs::{DirectionsShape, FitShape};
use crate::model::FitReport;

/// Fewest rows of a table; it doubles as transitions come in, and each size has programs of its own.
pub(super) const LEAST_TABLE: usize = 1024;

/// Compiled programs, by their sizes.
#[derive(Default)]
pub(super) struct Fitting {
    programs: HashMap<String, FitPrograms>,
}

/// A power of two that holds `n`, and at least `least`.
pub(super) fn bucket(n: usize, least: usize) -> usize {
    n.next_power_of_two().max(least)
}

impl Fitting {
    /// Trains the models of some runs, all of one size; what each training came to. Those with R in the loss and those without make
    /// batches of their own.
    pub fn fit(
        &mut self,
        device: &Device,
        jobs: Vec<FitJob<'_>>,
        batch: usize,
        precision: ProductPrecision,
    ) -> Result<Vec<FitReport>, DeviceError> {
        let mut alike: Vec<(Option<DirectionsShape>, Vec<FitSlot<'_>>)> = Vec::new();
        for (number, job) in jobs.into_iter().enumerate() {
            let (of, slot) = (directions(&job, batch), FitSlot { number, job, over: false });
            match alike.iter_mut().find(|(kind, _)| *kind == of) {
                Some((_, slots)) => slots.push(slot),
                None => alike.push((of, vec![slot])),
            }
        }
        let mut reports = Vec::new();
        for (_, slots) in alike {
            self.fit_alike(device, slots, batch, precision, &mut reports)?;
        }
        reports.sort_by_key(|(number, _)| *number);
        Ok(reports.into_iter().map(|(_, report)| report).collect())
    }

    /// Trains in one batch; adds what each training came to, by its number.
    fn fit_alike(
        &mut self,
        device: &Device,
        mut jobs: Vec<FitSlot<'_>>,
        batch: usize,
        precision: ProductPrecision,
        reports: &mut Vec<(usize, FitReport)>,
    ) -> Result<(), DeviceError> {
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
        Ok(())
    }

    /// Makes `times` steps of trainings that are all of one kind, as at their beginnings, and waits; what they took, and the bytes of the
    /// training's arrays. Steps are on minibatches that the host draws and brings, or all on one that lies there.
    pub fn time_steps(
        &mut self,
        device: &Device,
        jobs: Vec<FitJob<'_>>,
        (batch, precision): (usize, ProductPrecision),
        times: usize,
        drawn: bool,
    ) -> Result<(Duration, u64), DeviceError> {
        let slot = |(number, job)| FitSlot { number, job, over: false };
        let mut jobs: Vec<FitSlot<'_>> = jobs.into_iter().enumerate().map(slot).collect();
        let rows = jobs.iter().map(|slot| slot.job.real.len()).max().unwrap_or(0);
        let slots = bucket(jobs.len(), LEAST_SLOTS);
        let shape = shape_of(&jobs[0].job, slots, bucket(rows, LEAST_TABLE), batch);
        let programs = self.programs(device, shape, precision)?;
        let mut phase = FitPhase::begin(device, programs, &jobs)?;
        let mut given = phase.draw(&mut jobs, 0)?;
        // What has been asked for before is done then.
        phase.wait()?;
        let started = Instant::now();
        let epoch = jobs[0].job.minibatches(batch);
        for at in 0..times {
            if drawn {
                given = phase.draw(&mut jobs, at % epoch)?;
            }
            phase.step(&given)?;
        }
        phase.wait()?;
        let elapsed = started.elapsed();
        Ok((elapsed, phase.bytes(&given)?))
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
        directions: directions(job, batch),
    }
}

/// R's part of a training's minibatches.
fn directions(job: &FitJob<'_>, batch: usize) -> Option<DirectionsShape> {
    job.loss.map(|loss| DirectionsShape {
        rows: batch.min(loss.neighbours.sequences().count()),
        directions: loss.directions,
    })
}
