//! The models of a group's runs: their training, their elites on the device, and what is imagined in them.

use std::time::Instant;

use super::fit::Fitting;
use super::fit_job::FitJob;
use super::imagining::{RolloutProgram, elites_shape, upload_elites};
use super::learned::LearnedArrays;
use super::learning::Learning;
use super::parts::{LearnedParts, ModelParts};
use super::recipe::{Due, ModelRecipe};
use crate::device::graph::ProductPrecision;
use crate::device::pjrt::{Buffer, Device, DeviceError};
use crate::device::programs::{ElitesShape, PathShape};
use crate::model::{GradientData, GradientLoss};
use crate::path::GradientSource;
use crate::run::Record;

/// A group's models on the device.
pub(super) struct GroupModels {
    elites: ElitesShape,
    path: Option<PathShape>,
    /// Elites of M^p, then of M^g where a policy's update has its own; empty before the first upload.
    prediction: Vec<Buffer>,
    gradient: Vec<Buffer>,
    pub fitting: Fitting,
    rollout: Option<RolloutProgram>,
}

impl GroupModels {
    /// Models like those of this run.
    pub fn new(
        recipe: &ModelRecipe,
        parts: &ModelParts<'_>,
        slots: usize,
    ) -> Result<Self, DeviceError> {
        let model = &parts.prediction.model;
        let elites = elites_shape(model, parts.task, recipe.config.elites, slots)?;
        let path = recipe.path.map(|path| PathShape {
            horizon: path.horizon,
            source: path.gradient_source,
            prediction: elites.clone(),
            // Where M^p plays both roles, each has an elite of its own.
            gradient: (path.gradient_source == GradientSource::GradientModel)
                .then(|| elites.clone()),
        });
        let (prediction, gradient) = (Vec::new(), Vec::new());
        Ok(Self { elites, path, prediction, gradient, fitting: Fitting::default(), rollout: None })
    }

    /// Sizes of the elites.
    pub fn elites(&self) -> &ElitesShape {
        &self.elites
    }

    /// Of the policies' updates; `None` where they imagine nothing.
    pub fn path_shape(&self) -> Option<&PathShape> {
        self.path.as_ref()
    }

    /// The elites on the device are no longer those of the runs that learn.
    pub fn forget(&mut self) {
        self.prediction.clear();
        self.gradient.clear();
    }

    /// Whether the elites are on the device.
    pub fn are_uploaded(&self) -> bool {
        !self.prediction.is_empty()
    }

    /// The models' arrays of a policy's update.
    pub fn path_arrays(&self) -> Vec<&Buffer> {
        self.prediction.iter().chain(&self.gradient).collect()
    }

    /// Brings the elites of all runs to the device.
    pub fn upload(
        &mut self,
        device: &Device,
        runs: &[Option<LearnedParts<'_>>],
    ) -> Result<(), DeviceError> {
        let all: Vec<Option<&ModelParts<'_>>> =
            runs.iter().map(|run| run.as_ref().and_then(|run| run.models.as_ref())).collect();
        // A slot without a run gets another's, which nobody looks at.
        let Some(any) = all.iter().flatten().next() else { return Ok(()) };
        let at = |slot: usize| all.get(slot).copied().flatten().unwrap_or(any);
        self.prediction = upload_elites(device, &self.elites, |slot| &at(slot).prediction.model)?;
        if self.path.as_ref().is_some_and(|path| path.gradient.is_some()) {
            self.gradient = upload_elites(device, &self.elites, |slot| {
                let ModelParts { prediction, gradient, .. } = at(slot);
                gradient.as_ref().map_or(&prediction.model, |gradient| &gradient.model)
            })?;
        }
        Ok(())
    }

    /// Trains the models of the runs that are due; which of them were.
    pub fn train(
        &mut self,
        (device, precision): (&Device, ProductPrecision),
        recipe: &ModelRecipe,
        batch: usize,
        step: u64,
        due: &[Due],
        learning: &mut Learning<'_>,
    ) -> Result<Vec<bool>, DeviceError> {
        let started = Instant::now();
        let is_due = |slot: usize| due[slot].models;
        let mut records: Vec<Option<Record>> = Vec::new();
        for (slot, parts) in learning.parts.iter_mut().enumerate() {
            let Some(LearnedParts { real, models: Some(models), .. }) =
                parts.as_mut().filter(|_| is_due(slot))
            else {
                records.push(None);
                continue;
            };
            let mut record = Record::new("model", step);
            record.put_count("transitions", real.len() as u64);
            records.push(Some(record));
            if let Some(data) = &mut models.data {
                data.update(real, || unreachable!("no program weighs outputs by value"));
            }
        }
        for of_gradient in [false, true] {
            let mut jobs = Vec::new();
            let mut slots = Vec::new();
            for (slot, parts) in learning.parts.iter_mut().enumerate() {
                let Some(LearnedParts { real, models: Some(models), .. }) =
                    parts.as_mut().filter(|_| records[slot].is_some())
                else {
                    continue;
                };
                let loss: Option<GradientLoss<'_>> = models.data.as_deref().map(GradientData::loss);
                let alone = models.gradient.is_none();
                let (learned, loss) = match (&mut models.gradient, of_gradient) {
                    (Some(gradient), true) => (&mut **gradient, loss),
                    (None, true) => continue,
                    (_, false) => (&mut *models.prediction, loss.filter(|_| alone)),
                };
                let (model, stream) = learned.training_mut();
                jobs.push(FitJob::begin(model, stream, real, loss, &recipe.config));
                slots.push(slot);
            }
            let reports = self.fitting.fit(device, jobs, batch, precision)?;
            for (slot, report) in slots.into_iter().zip(reports) {
                let (Some(parts), Some(record)) = (&learning.parts[slot], &mut records[slot])
                else {
                    continue;
                };
                let Some(models) = &parts.models else { continue };
                let learned = match &models.gradient {
                    Some(gradient) if of_gradient => gradient,
                    _ => &models.prediction,
                };
                let told = learned.tell(&report, record);
                if told.is_err() {
                    records[slot] = None;
                }
                learning.note(slot, told);
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        let trained = records.iter().map(Option::is_some).collect();
        for (record, tally) in records.into_iter().zip(&mut learning.tallies) {
            if let (Some(record), Some(tally)) = (record, tally) {
                tally.add_seconds("models", seconds);
                tally.record(record);
            }
        }
        Ok(trained)
    }

    /// Refills the buffers of the runs whose models were trained.
    pub fn roll_out(
        &mut self,
        (device, precision): (&Device, ProductPrecision),
        arrays: &LearnedArrays,
        step: u64,
        trained: &[bool],
        learning: &mut Learning<'_>,
    ) -> Result<(), DeviceError> {
        let started = Instant::now();
        let models = learning.parts.iter().flatten().find_map(|parts| parts.models.as_ref());
        let Some(starts) = models.map(|models| models.imagined.starts()) else { return Ok(()) };
        let program = match &mut self.rollout {
            Some(program) => program,
            None => self.rollout.insert(RolloutProgram::compile(
                device,
                &arrays.shape,
                &self.elites,
                starts,
                precision,
            )?),
        };
        let mut runs: Vec<Option<&mut LearnedParts<'_>>> = Vec::new();
        for (parts, &trained) in learning.parts.iter_mut().zip(trained) {
            runs.push(parts.as_mut().filter(|_| trained));
        }
        let reports =
            program.refill(device, arrays.policies(), &self.prediction, &mut runs, step)?;
        drop(runs);
        let seconds = started.elapsed().as_secs_f64();
        for (slot, report) in reports.into_iter().enumerate() {
            if !trained[slot] || learning.parts[slot].is_none() {
                continue;
            }
            let Some(tally) = &mut learning.tallies[slot] else { continue };
            tally.add_seconds("rollout", seconds);
            let told = report.record(step).map(|record| tally.record(record));
            learning.note(slot, told);
        }
        Ok(())
    }
}
