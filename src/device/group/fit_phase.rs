//! A stretch of training of several runs' ensembles on the device, in one batch from beginning to end.

use rayon::prelude::*;

use super::ensembles::parameter_count;
use super::fit_job::FitJob;
use super::fit_programs::{FitProgram, FitPrograms, HOLDOUT_ROWS};
use super::fit_staging::FitStaging;
use crate::data::Standardiser;
use crate::device::pjrt::{Buffer, Device, DeviceError};
use crate::device::programs::{DirectionsShape, FitRowSizes, FitShape};

/// A run's training, its slot in the group, and whether it is over.
pub(super) struct FitRun<'m> {
    pub slot: usize,
    pub job: FitJob<'m>,
    pub over: bool,
}

/// The runs of a batch by their places in it. A place without a run has another's numbers or its slot's, and never learns.
pub(super) type Places<'m> = [Option<FitRun<'m>>];

/// The trainings of some runs on the device.
pub(super) struct FitPhase<'d> {
    device: &'d Device,
    programs: &'d FitPrograms,
    shape: FitShape,
    sizes: FitRowSizes,
    staging: &'d mut FitStaging,
    /// Parameters, first and second moments, bounds.
    state: Vec<Buffer>,
    /// Parameters of each member's lowest error so far, where they are kept.
    best: Vec<Buffer>,
    tables: &'d Buffer,
    /// Mean and deviation of the inputs.
    units: [Buffer; 2],
    /// ρ², where R is in the loss.
    output_weights: Option<Buffer>,
    /// Held-out rows, piece by piece.
    holdout: Vec<Buffer>,
    /// What the steps of the epoch saw.
    seen: Buffer,
}

/// The runs of a batch and their places.
fn runs<'p, 'm>(places: &'p Places<'m>) -> impl Iterator<Item = (usize, &'p FitRun<'m>)> {
    places.iter().enumerate().filter_map(|(place, run)| run.as_ref().map(|run| (place, run)))
}

impl<'d> FitPhase<'d> {
    /// Begins with these arrays of the batch's ensembles: learned ones, then best parameters where they are kept.
    pub fn begin(
        device: &'d Device,
        (programs, tables, staging): (&'d FitPrograms, &'d Buffer, &'d mut FitStaging),
        mut state: Vec<Buffer>,
        places: &Places<'_>,
        directions: Option<DirectionsShape>,
    ) -> Result<Self, DeviceError> {
        let shape = programs.shape_of(places.len(), directions);
        let best = state.split_off(3 * parameter_count(&shape.stack) + 1);
        let (count, labels) = (places.len(), shape.labels);
        let (_, any) = runs(places).next().expect("a batch has a run");
        let at = |place: usize| &places[place].as_ref().unwrap_or(any).job;
        let of_row = shape.data_sizes().1;
        let unit = |of: fn(&Standardiser<f32>) -> &Vec<f32>| {
            let own = |place| of(&at(place).model.standardiser).clone();
            device.upload(&(0..count).flat_map(own).collect::<Vec<f32>>(), &of_row)
        };
        let units = [unit(|s| &s.mean)?, unit(|s| &s.deviation)?];
        let sizes = shape.row_sizes();
        let weights: Vec<f32> = (0..count)
            .flat_map(|place| {
                let given = at(place).loss.map_or(&[][..], |loss| loss.output_weights);
                (0..labels).map(|d| given.get(d).map_or(1.0, |&w| w as f32))
            })
            .collect();
        let output_weights = sizes.directions.map(|of| device.upload(&weights, &of.output_weights));
        let longest = runs(places).map(|(_, run)| run.job.holdout.len()).max().unwrap_or(0);
        let piece = |first: usize| {
            let mut rows = vec![-1_i32; count * HOLDOUT_ROWS];
            for (place, FitRun { slot, job, .. }) in runs(places) {
                let own = job.holdout.iter().skip(first).take(HOLDOUT_ROWS);
                let to = &mut rows[place * HOLDOUT_ROWS..];
                own.zip(to).for_each(|(&row, to)| *to = (slot * shape.table) as i32 + row as i32);
            }
            device.upload(&rows, &[count, HOLDOUT_ROWS])
        };
        let holdout = (0..longest).step_by(HOLDOUT_ROWS).map(piece).collect::<Result<_, _>>()?;
        staging.begin(&sizes);
        let seen = zeros(device, &shape.seen_sizes())?;
        let output_weights = output_weights.transpose()?;
        Ok(Self {
            device,
            programs,
            shape,
            sizes,
            staging,
            state,
            best,
            tables,
            units,
            output_weights,
            holdout,
            seen,
        })
    }

    /// One pass of every run that is not over, and what its held-out rows say of it.
    pub fn epoch(&mut self, places: &mut Places<'_>) -> Result<(), DeviceError> {
        let batch = self.shape.batch;
        places.par_iter_mut().flatten().filter(|run| !run.over).for_each(|run| run.job.shuffle());
        let count = |run: &FitRun<'_>| if run.over { 0 } else { run.job.minibatches(batch) };
        let longest = runs(places).map(|(_, run)| count(run)).max().unwrap_or(0);
        self.seen = zeros(self.device, &self.shape.seen_sizes())?;
        for at in 0..longest {
            let given = self.draw(places, at)?;
            self.step(&given)?;
        }
        // All that the device has to do is asked for before the first answer is waited for.
        let errors = self.errors()?;
        let mut sums = vec![0.0_f64; 2 * places.len()];
        self.seen.download(&mut sums)?;
        let members = self.shape.stack.networks;
        let mut of_members = vec![0.0_f64; places.len() * members];
        errors.download(&mut of_members)?;
        let mut improved_in = vec![0.0_f32; places.len() * members];
        for (place, run) in places.iter_mut().enumerate() {
            let Some(FitRun { job, over, .. }) = run.as_mut().filter(|run| !run.over) else {
                continue;
            };
            let steps = job.minibatches(batch) as f64;
            job.report.nll = sums[2 * place] / steps;
            job.report.gradient_loss =
                job.loss.map(|loss| sums[2 * place + 1] / steps / loss.weight);
            let numbers = (job.holdout.len() * self.shape.labels) as f64;
            let own = &of_members[place * members..][..members];
            let (improved, is_over) = job.note(own.iter().map(|sum| sum / numbers).collect());
            improved.iter().for_each(|member| improved_in[place * members + member] = 1.0);
            *over = is_over;
        }
        if !self.best.is_empty() && improved_in.contains(&1.0) {
            let of = parameter_count(&self.shape.stack);
            self.best = self.replace(&self.best, &self.state[..of], &improved_in)?;
        }
        Ok(())
    }

    /// Draws minibatch number `at` of an epoch of each run that has one, counts its step, and brings them to the device.
    pub fn draw(&mut self, places: &mut Places<'_>, at: usize) -> Result<Vec<Buffer>, DeviceError> {
        let FitShape { batch, table, .. } = self.shape;
        let minibatches = self.staging.places();
        places.par_iter_mut().zip(minibatches).for_each(|(run, mut to)| {
            let has = |run: &&mut FitRun<'_>| !run.over && at < run.job.minibatches(batch);
            if let Some(FitRun { slot, job, .. }) = run.as_mut().filter(has) {
                job.minibatch(at, batch, (*slot * table) as i32, &mut to);
            }
        });
        self.staging.upload(self.device, &self.sizes)
    }

    /// One step on minibatches that have been brought.
    pub fn step(&mut self, given: &[Buffer]) -> Result<(), DeviceError> {
        let Self { state, tables, units, output_weights, seen, .. } = &*self;
        let mut arguments: Vec<&Buffer> = state.iter().chain([*tables]).chain(units).collect();
        arguments.extend(given.iter().chain(output_weights).chain([seen]));
        let program = FitProgram::Step(self.shape.stack.runs, self.shape.directions);
        let mut outputs = self.programs.get(program).run(&arguments)?;
        self.seen = outputs.pop().expect("a step tells what it saw");
        self.state = outputs;
        Ok(())
    }

    /// Waits until the steps are made.
    pub fn wait(&self) -> Result<(), DeviceError> {
        self.seen.download(&mut vec![0.0_f64; 2 * self.shape.stack.runs])
    }

    /// Bytes of the arrays on the device that a training has beside the ensembles and the tables, those of a step with them.
    pub fn bytes(&self, given: &[Buffer]) -> Result<u64, DeviceError> {
        let Self { best, units, output_weights, holdout, seen, .. } = self;
        let all = best.iter().chain(units).chain(output_weights).chain(holdout).chain([seen]);
        all.chain(given).map(Buffer::bytes).sum()
    }

    /// Every member's squared errors over the held-out rows and all outputs, summed, `[runs, members, 1, 1]` in double precision.
    fn errors(&self) -> Result<Buffer, DeviceError> {
        let Self { state, tables, units, .. } = self;
        let program = self.programs.get(FitProgram::Errors(self.shape.stack.runs));
        let mut sums = zeros(self.device, &self.shape.error_sizes())?;
        for piece in &self.holdout {
            let parameters = state[..parameter_count(&self.shape.stack)].iter();
            let arguments: Vec<&Buffer> =
                parameters.chain([*tables]).chain(units).chain([piece, &sums]).collect();
            sums = program.run(&arguments)?.pop().expect("it returns the sums");
        }
        Ok(sums)
    }

    /// Parameters with others in place of some members'.
    fn replace(
        &self,
        own: &[Buffer],
        others: &[Buffer],
        chosen: &[f32],
    ) -> Result<Vec<Buffer>, DeviceError> {
        replace(self.device, self.programs, &self.shape, (own, others), chosen)
    }

    /// The arrays of the batch's ensembles; where a training is over, its members have the parameters that they are to keep.
    pub fn end(mut self, places: &Places<'_>) -> Result<Vec<Buffer>, DeviceError> {
        let members = self.shape.stack.networks;
        let mut restored = vec![0.0_f32; places.len() * members];
        for (place, _) in runs(places).filter(|(_, run)| run.over && run.job.restores()) {
            restored[place * members..][..members].fill(1.0);
        }
        if restored.contains(&1.0) {
            let of = parameter_count(&self.shape.stack);
            let kept = self.replace(&self.state[..of], &self.best, &restored)?;
            self.state.splice(..of, kept);
        }
        self.state.append(&mut self.best);
        Ok(self.state)
    }
}

/// Parameters of so many runs with others in place of those of some members, for which there is a 1.
pub(super) fn replace(
    device: &Device,
    programs: &FitPrograms,
    shape: &FitShape,
    (own, others): (&[Buffer], &[Buffer]),
    chosen: &[f32],
) -> Result<Vec<Buffer>, DeviceError> {
    let chosen = device.upload(chosen, &shape.error_sizes())?;
    let arguments: Vec<&Buffer> = own.iter().chain(others).chain([&chosen]).collect();
    programs.get(FitProgram::Replace(shape.stack.runs)).run(&arguments)
}

/// Sums to begin with.
fn zeros(device: &Device, sizes: &[usize]) -> Result<Buffer, DeviceError> {
    device.upload(&vec![0.0_f64; sizes.iter().product()], sizes)
}
