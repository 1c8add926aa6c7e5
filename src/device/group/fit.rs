//! The training of the runs' ensembles on the device, all runs together. Runs whose training is over leave the batch when half of it is
//! idle: the others go on in a smaller one.

use std::time::{Duration, Instant};

use super::arrays::LEAST_SLOTS;
use super::ensembles::{EnsembleArrays, parameter_count};
use super::fit_job::FitJob;
use super::fit_phase::{FitPhase, FitRun, replace};
use super::fit_programs::{FitProgram, FitPrograms};
use super::fit_staging::FitStaging;
use super::transitions::TransitionTables;
use crate::data::Replay;
use crate::device::graph::ProductPrecision;
use crate::device::pjrt::{Buffer, Device, DeviceError};
use crate::device::programs::{DirectionsShape, FitShape};
use crate::model::{FitReport, GradientLoss};

/// What trainings have on the device beside the ensembles: transitions, and programs.
pub(super) struct Fitting {
    programs: FitPrograms,
    pub tables: TransitionTables,
    staging: FitStaging,
    precision: ProductPrecision,
    /// How many runs a batch has, for trainings of each kind, largest first.
    ladders: Vec<(Option<DirectionsShape>, Vec<usize>)>,
}

/// Sizes of the batches of so many runs whose trainings end one by one: each holds half of the one before.
pub(super) fn ladder(runs: usize) -> Vec<usize> {
    let half = |&size: &usize| (size > LEAST_SLOTS).then(|| size.div_ceil(2).max(LEAST_SLOTS));
    std::iter::successors(Some(runs.max(LEAST_SLOTS)), half).collect()
}

/// R's part of a training's minibatches.
pub(super) fn directions(loss: Option<GradientLoss<'_>>, batch: usize) -> Option<DirectionsShape> {
    loss.map(|loss| DirectionsShape {
        rows: batch.min(loss.neighbours.sequences().count()),
        directions: loss.directions,
    })
}

impl Fitting {
    /// For trainings of these sizes in all slots.
    pub fn new(shape: FitShape, keeps_best: bool, precision: ProductPrecision) -> Self {
        let sizes = (shape.inputs(), shape.labels);
        let tables = TransitionTables::new(shape.tables, shape.table, sizes);
        let programs = FitPrograms::new(shape, keeps_best);
        Self { programs, tables, staging: FitStaging::default(), precision, ladders: Vec::new() }
    }

    /// Brings new transitions of the runs that are there to the device, and compiles what trainings of so many of these kinds need.
    pub fn prepare(
        &mut self,
        device: &Device,
        reals: &[Option<&Replay>],
        kinds: &[(Option<DirectionsShape>, usize)],
    ) -> Result<(), DeviceError> {
        for &(kind, runs) in kinds {
            match self.ladders.iter_mut().find(|(of, _)| *of == kind) {
                Some((_, sizes)) if sizes[0] >= runs => {}
                Some((_, sizes)) => *sizes = ladder(runs),
                None => self.ladders.push((kind, ladder(runs))),
            }
        }
        let slots = self.programs.shape.stack.runs;
        let mut needed = Vec::new();
        for (kind, sizes) in &self.ladders {
            for &size in sizes {
                needed.extend([FitProgram::Step(size, *kind), FitProgram::Errors(size)]);
                if size < slots {
                    needed.extend([FitProgram::Take(size), FitProgram::Put(size)]);
                }
                if self.programs.keeps_best {
                    needed.extend([size, slots].map(FitProgram::Replace));
                }
            }
        }
        self.bring(device, reals, needed)
    }

    /// Brings new transitions, and compiles some programs.
    fn bring(
        &mut self,
        device: &Device,
        reals: &[Option<&Replay>],
        mut programs: Vec<FitProgram>,
    ) -> Result<(), DeviceError> {
        if self.tables.grow(reals) {
            self.programs.resize_tables(self.tables.rows);
        }
        programs.push(FitProgram::Transitions);
        self.programs.compile(device, &self.tables, &programs, self.precision)?;
        self.tables.update(device, self.programs.get(FitProgram::Transitions), reals)
    }

    /// Trains the models of some slots, for which all is [prepared](Fitting::prepare); what each training came to, by its slot. Those with
    /// R in the loss and those without make batches of their own.
    pub fn fit(
        &mut self,
        device: &Device,
        ensembles: &mut EnsembleArrays,
        jobs: Vec<(usize, FitJob<'_>)>,
    ) -> Result<Vec<(usize, FitReport)>, DeviceError> {
        let mut reports = Vec::new();
        if jobs.is_empty() {
            return Ok(reports);
        }
        let batch = self.programs.shape.batch;
        let mut alike: Vec<(Option<DirectionsShape>, Vec<FitRun<'_>>)> = Vec::new();
        for (slot, job) in jobs {
            ensembles.changed[slot] = true;
            let (of, run) = (directions(job.loss, batch), FitRun { slot, job, over: false });
            match alike.iter_mut().find(|(kind, _)| *kind == of) {
                Some((_, runs)) => runs.push(run),
                None => alike.push((of, vec![run])),
            }
        }
        let mut arrays = std::mem::take(&mut ensembles.state);
        let learned = arrays.len();
        if self.programs.keeps_best {
            // They are new ones from the first epoch on: every member improves then.
            let (shape, own) = (&self.programs.shape, &arrays[..parameter_count(&ensembles.stack)]);
            let none = vec![0.0; shape.error_sizes().iter().product()];
            let copy = replace(device, &self.programs, shape, (own, own), &none)?;
            arrays.extend(copy);
        }
        for (kind, runs) in alike {
            arrays = self.fit_alike(device, arrays, kind, runs, &mut reports)?;
        }
        arrays.truncate(learned);
        ensembles.state = arrays;
        Ok(reports)
    }

    /// Trains runs of one kind, given the arrays of all slots, which it returns; adds what each training came to, by its slot.
    fn fit_alike(
        &mut self,
        device: &Device,
        mut arrays: Vec<Buffer>,
        kind: Option<DirectionsShape>,
        mut runs: Vec<FitRun<'_>>,
        reports: &mut Vec<(usize, FitReport)>,
    ) -> Result<Vec<Buffer>, DeviceError> {
        let Self { programs, tables, staging, ladders, .. } = self;
        let slots = programs.shape.stack.runs;
        let of_kind = ladders.iter().find(|(of, _)| *of == kind);
        let (_, sizes) = of_kind.expect("trainings of this kind are prepared");
        while !runs.is_empty() {
            let at = sizes.iter().rposition(|&size| size >= runs.len());
            let at = at.expect("a batch holds all runs");
            let size = sizes[at];
            // Where there is no smaller one, until all are over.
            let least = sizes.get(at + 1).copied().unwrap_or(0);
            // A batch of all slots is the arrays themselves.
            let whole = size == slots;
            let mut places: Vec<Option<FitRun<'_>>> = (0..size).map(|_| None).collect();
            for (number, run) in runs.drain(..).enumerate() {
                let place = if whole { run.slot } else { number };
                places[place] = Some(run);
            }
            let mut moves = Vec::new();
            if !whole {
                moves = arrays;
                arrays = take(device, programs, &moves, &places)?;
            }
            let given = (&*programs, tables.buffer(), &mut *staging);
            let mut phase = FitPhase::begin(device, given, arrays, &places, kind)?;
            let live = |places: &[Option<FitRun<'_>>]| {
                places.iter().flatten().filter(|run| !run.over).count()
            };
            while live(&places) > least {
                phase.epoch(&mut places)?;
            }
            arrays = phase.end(&places)?;
            if !whole {
                arrays = put(device, programs, &moves, &arrays, &places)?;
            }
            for mut run in places.into_iter().flatten() {
                if run.over {
                    run.job.finish();
                    reports.push((run.slot, run.job.report));
                } else {
                    runs.push(run);
                }
            }
        }
        Ok(arrays)
    }

    /// Makes `times` steps of trainings of all runs, which are of one kind, as at their beginnings, and waits; what they took, and the bytes
    /// of the training's arrays. Steps are on minibatches that the host draws and brings, or all on one that lies there. The ensembles
    /// are used up.
    pub fn time_steps(
        &mut self,
        device: &Device,
        ensembles: EnsembleArrays,
        jobs: Vec<FitJob<'_>>,
        times: usize,
        drawn: bool,
    ) -> Result<(Duration, u64), DeviceError> {
        let FitShape { stack, batch, .. } = &self.programs.shape;
        let (slots, batch) = (stack.runs, *batch);
        let kind = directions(jobs[0].loss, batch);
        let reals: Vec<Option<&Replay>> = jobs.iter().map(|job| Some(job.real)).collect();
        self.bring(device, &reals, vec![FitProgram::Step(slots, kind)])?;
        let run = |(slot, job)| Some(FitRun { slot, job, over: false });
        let mut places: Vec<Option<FitRun<'_>>> = jobs.into_iter().enumerate().map(run).collect();
        places.resize_with(slots, || None);
        let Self { programs, tables, staging, .. } = self;
        let given = (&*programs, tables.buffer(), &mut *staging);
        let mut phase = FitPhase::begin(device, given, ensembles.state, &places, kind)?;
        let mut given = phase.draw(&mut places, 0)?;
        // What has been asked for before is done then.
        phase.wait()?;
        let started = Instant::now();
        let epoch = places.iter().flatten().next().map_or(1, |run| run.job.minibatches(batch));
        for at in 0..times {
            if drawn {
                given = phase.draw(&mut places, at % epoch)?;
            }
            phase.step(&given)?;
        }
        phase.wait()?;
        let elapsed = started.elapsed();
        Ok((elapsed, phase.bytes(&given)?))
    }
}

/// The arrays of a batch out of those of all slots. A place without a run gets the first slot's.
fn take(
    device: &Device,
    programs: &FitPrograms,
    all: &[Buffer],
    places: &[Option<FitRun<'_>>],
) -> Result<Vec<Buffer>, DeviceError> {
    let slots = places.iter().map(|run| run.as_ref().map_or(0, |run| run.slot as i32));
    let slots = device.upload(&slots.collect::<Vec<i32>>(), &[1, places.len()])?;
    let arguments: Vec<&Buffer> = all.iter().chain([&slots]).collect();
    programs.get(FitProgram::Take(places.len())).run(&arguments)
}

/// The arrays of all slots with those of a batch's runs in their places.
fn put(
    device: &Device,
    programs: &FitPrograms,
    all: &[Buffer],
    some: &[Buffer],
    places: &[Option<FitRun<'_>>],
) -> Result<Vec<Buffer>, DeviceError> {
    let slots = programs.shape.stack.runs;
    let (mut at, mut there) = (vec![0_i32; slots], vec![0.0_f32; slots]);
    for (place, run) in places.iter().enumerate() {
        if let Some(run) = run {
            (at[run.slot], there[run.slot]) = (place as i32, 1.0);
        }
    }
    let at = device.upload(&at, &[1, slots])?;
    let there = device.upload(&there, &[slots, 1, 1, 1])?;
    let arguments: Vec<&Buffer> = all.iter().chain(some).chain([&at, &there]).collect();
    programs.get(FitProgram::Put(places.len())).run(&arguments)
}
