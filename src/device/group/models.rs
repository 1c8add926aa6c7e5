//! The models of a group's runs: their training, their elites on the device, and what is imagined in them.

use std::time::Instant;

use rayon::prelude::*;

use super::arrays::stack;
use super::elites::{ElitesProgram, elites_shape};
use super::ensembles::EnsembleArrays;
use super::fit::{Fitting, directions};
use super::fit_job::FitJob;
use super::imagining::RolloutProgram;
use super::learned::LearnedArrays;
use super::learning::Learning;
use super::parts::{LearnedParts, ModelParts};
use super::recipe::{Due, ModelRecipe, Recipe};
use super::transitions::table_rows;
use crate::data::Replay;
use crate::device::graph::ProductPrecision;
use crate::device::pjrt::{Buffer, Device, DeviceError};
use crate::device::programs::{ElitesShape, FitShape, PathShape};
use crate::model::{DynamicsModel, GradientData, GradientLoss, ModelConfig};
use crate::path::GradientSource;
use crate::run::Record;

/// A group's models on the device.
pub(super) struct GroupModels {
    shape: ElitesShape,
    path: Option<PathShape>,
    /// M^p of all slots.
    prediction: EnsembleArrays,
    /// M^g; `None` where M^p plays its role.
    gradient: Option<EnsembleArrays>,
    /// Elites of M^p, then of M^g where a policy's update has its own; empty before they are first chosen.
    elites: [Vec<Buffer>; 2],
    elites_program: Option<ElitesProgram>,
    pub fitting: Fitting,
    rollout: Option<RolloutProgram>,
}

/// R, where it is part of the loss of a role's training: of M^g's, or of M^p's where that is alone.
fn loss<'d>(
    data: &'d Option<&mut GradientData>,
    alone: bool,
    of_gradient: bool,
) -> Option<GradientLoss<'d>> {
    data.as_deref().map(GradientData::loss).filter(|_| alone || of_gradient)
}

/// Begins the training of a run's M^p or M^g; `None` where it has no such model.
fn begin<'m>(
    parts: &'m mut LearnedParts<'_>,
    of_gradient: bool,
    config: &'m ModelConfig,
) -> Option<FitJob<'m>> {
    let LearnedParts { real, models: Some(models), .. } = parts else { return None };
    let loss = loss(&models.data, models.gradient.is_none(), of_gradient);
    let learned = match (&mut models.gradient, of_gradient) {
        (Some(gradient), true) => &mut **gradient,
        (None, true) => return None,
        (_, false) => &mut *models.prediction,
    };
    let (model, stream) = learned.training_mut();
    Some(FitJob::begin(model, stream, real, loss, config))
}

/// Sizes of the trainings of models like those of these parts in all slots, without R.
pub(super) fn fit_shape(
    recipe: &Recipe,
    config: &ModelRecipe,
    model: &DynamicsModel<f32>,
    slots: usize,
    transitions: usize,
) -> FitShape {
    let capacity = recipe.experience.replay_capacity;
    FitShape {
        stack: stack(slots, model.members.len(), model.shape()),
        labels: model.label_dim(),
        batch: recipe.batch(),
        tables: slots,
        table: table_rows(recipe.steps, capacity, transitions),
        weight_decay: config.config.weight_decay.clone(),
        train_bounds: model.bounds_adam.is_some(),
        directions: None,
    }
}

impl GroupModels {
    /// Brings the models of these runs to the device. Slots beyond the runs get the first one's, and never learn.
    pub fn new(
        device: &Device,
        (recipe, of_models): (&Recipe, &ModelRecipe),
        runs: &[LearnedParts<'_>],
        slots: usize,
        precision: ProductPrecision,
    ) -> Result<Option<Self>, DeviceError> {
        let all: Option<Vec<&ModelParts<'_>>> =
            runs.iter().map(|parts| parts.models.as_ref()).collect();
        let Some(all) = all else { return Ok(None) };
        let at = |slot: usize| all.get(slot).copied().unwrap_or(all[0]);
        let model = &all[0].prediction.model;
        let shape = elites_shape(model, all[0].task, of_models.config.elites, slots)?;
        let path = of_models.path.map(|path| PathShape {
            horizon: path.horizon,
            source: path.gradient_source,
            prediction: shape.clone(),
            // Where M^p plays both roles, each has an elite of its own.
            gradient: (path.gradient_source == GradientSource::GradientModel)
                .then(|| shape.clone()),
        });
        let prediction = EnsembleArrays::upload(device, slots, |slot| &at(slot).prediction.model)?;
        let of_gradient = |slot: usize| at(slot).gradient.as_ref().map(|learned| &learned.model);
        let gradient = of_gradient(0).map(|first| {
            EnsembleArrays::upload(device, slots, |slot| of_gradient(slot).unwrap_or(first))
        });
        let transitions = runs.iter().map(|parts| parts.real.len()).max().unwrap_or(0);
        let sizes = fit_shape(recipe, of_models, model, slots, transitions);
        Ok(Some(Self {
            shape,
            path,
            prediction,
            gradient: gradient.transpose()?,
            elites: [Vec::new(), Vec::new()],
            elites_program: None,
            fitting: Fitting::new(sizes, of_models.config.restore_best, precision),
            rollout: None,
        }))
    }

    /// Sizes of the elites.
    pub fn elites(&self) -> &ElitesShape {
        &self.shape
    }

    /// Of the policies' updates; `None` where they imagine nothing.
    pub fn path_shape(&self) -> Option<&PathShape> {
        self.path.as_ref()
    }

    /// The elites are no longer those of the runs that learn.
    pub fn forget(&mut self) {
        self.elites.iter_mut().for_each(Vec::clear);
    }

    /// Whether elites are chosen.
    pub fn has_elites(&self) -> bool {
        !self.elites[0].is_empty()
    }

    /// The models' arrays of a policy's update.
    pub fn path_arrays(&self) -> Vec<&Buffer> {
        self.elites.iter().flatten().collect()
    }

    /// Bytes of all arrays that are there between steps.
    pub fn bytes(&self) -> Result<u64, DeviceError> {
        let elites: u64 = self.elites.iter().flatten().map(Buffer::bytes).sum::<Result<_, _>>()?;
        let gradient = self.gradient.as_ref().map_or(Ok(0), EnsembleArrays::bytes)?;
        Ok(elites + self.prediction.bytes()? + gradient + self.fitting.tables.bytes()?)
    }

    /// Takes the elites of the runs that are there out of their models; other slots' nobody looks at.
    pub fn choose_elites(
        &mut self,
        (device, precision): (&Device, ProductPrecision),
        runs: &[Option<LearnedParts<'_>>],
    ) -> Result<(), DeviceError> {
        let Self { shape, path, prediction, gradient, elites, elites_program, .. } = self;
        let program = match elites_program {
            Some(program) => program,
            None => {
                let members = prediction.stack.networks;
                let compiled = ElitesProgram::compile(device, shape, members, precision)?;
                elites_program.insert(compiled)
            }
        };
        let parts = || runs.iter().map(|run| run.as_ref().and_then(|run| run.models.as_ref()));
        let of_prediction: Vec<Option<&DynamicsModel<f32>>> =
            parts().map(|parts| parts.map(|parts| &parts.prediction.model)).collect();
        elites[0] = program.take(device, prediction, &of_prediction)?;
        if path.as_ref().is_some_and(|path| path.gradient.is_some()) {
            elites[1] = match gradient {
                Some(gradient) => {
                    let of_gradient: Vec<Option<&DynamicsModel<f32>>> =
                        parts().map(|parts| Some(&parts?.gradient.as_ref()?.model)).collect();
                    program.take(device, gradient, &of_gradient)?
                }
                None => program.take(device, prediction, &of_prediction)?,
            };
        }
        Ok(())
    }

    /// Brings the models back into the methods.
    pub fn fetch(&mut self, runs: &mut [Option<LearnedParts<'_>>]) -> Result<(), DeviceError> {
        let (mut of_prediction, mut of_gradient) = (Vec::new(), Vec::new());
        for run in runs {
            let (prediction, gradient) = match run.as_mut().and_then(|run| run.models.as_mut()) {
                Some(ModelParts { prediction, gradient, .. }) => {
                    (Some(&mut prediction.model), gradient.as_mut().map(|g| &mut g.model))
                }
                None => (None, None),
            };
            of_prediction.push(prediction);
            of_gradient.push(gradient);
        }
        self.prediction.fetch(&mut of_prediction)?;
        self.gradient.as_mut().map_or(Ok(()), |gradient| gradient.fetch(&mut of_gradient))
    }

    /// Trains the models of the runs that are due; which of them were.
    pub fn train(
        &mut self,
        device: &Device,
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
        let reals: Vec<Option<&Replay>> =
            learning.parts.iter().map(|parts| parts.as_ref().map(|parts| parts.real)).collect();
        let mut kinds = Vec::new();
        for of_gradient in [false, true] {
            let first = kinds.len();
            for (slot, parts) in learning.parts.iter().enumerate() {
                let parts = parts.as_ref().filter(|_| records[slot].is_some());
                let Some(models) = parts.and_then(|parts| parts.models.as_ref()) else { continue };
                let alone = models.gradient.is_none();
                if of_gradient && alone {
                    continue;
                }
                let kind = directions(loss(&models.data, alone, of_gradient), batch);
                match kinds[first..].iter_mut().find(|(of, _)| *of == kind) {
                    Some((_, count)) => *count += 1,
                    None => kinds.push((kind, 1)),
                }
            }
        }
        self.fitting.prepare(device, &reals, &kinds)?;
        for of_gradient in [false, true] {
            let parts = learning.parts.par_iter_mut().zip(&records).enumerate();
            let begun = parts.filter_map(|(slot, (parts, record))| {
                let parts = parts.as_mut().filter(|_| record.is_some())?;
                Some((slot, begin(parts, of_gradient, &recipe.config)?))
            });
            let jobs: Vec<(usize, FitJob<'_>)> = begun.collect();
            let ensembles = match &mut self.gradient {
                Some(gradient) if of_gradient => gradient,
                _ => &mut self.prediction,
            };
            for (slot, report) in self.fitting.fit(device, ensembles, jobs)? {
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
                &self.shape,
                starts,
                precision,
            )?),
        };
        let mut runs: Vec<Option<&mut LearnedParts<'_>>> = Vec::new();
        for (parts, &trained) in learning.parts.iter_mut().zip(trained) {
            runs.push(parts.as_mut().filter(|_| trained));
        }
        let reports =
            program.refill(device, arrays.policies(), &self.elites[0], &mut runs, step)?;
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
