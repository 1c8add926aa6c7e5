//! The training of the runs' models within a budget, on the device, all runs together.

use rayon::prelude::*;

use super::budget_job::{BudgetJob, BudgetRowsOut};
use super::budget_programs::{BudgetPrograms, HELD_OUT_ROWS};
use super::calls::calls;
use crate::device::group::arrays::{FetchedStack, upload_stack};
use crate::device::pjrt::{Buffer, Device, DeviceError, Executable};
use crate::device::programs::{BUDGET_FACTORS, BudgetState};
use crate::model::{BudgetConfig, NormalisedModel};
use crate::nn::Adam;

/// The trainings of some runs on the device; a slot without one has another's numbers, and never learns.
pub(super) struct BudgetPhase<'d> {
    device: &'d Device,
    programs: &'d BudgetPrograms,
    /// Parameters and moments, log σ and moments, sums.
    state: Vec<Buffer>,
    /// The best parameters and log σ.
    best: Vec<Buffer>,
    data: Vec<Buffer>,
    /// Held-out rows and shares, piece by piece.
    holdout: Vec<Vec<Buffer>>,
    /// Tells Adam's factors.
    adam: Adam<f32>,
    look_every: usize,
}

impl<'d> BudgetPhase<'d> {
    /// Brings the models and their transitions to the device; there is a job in at least one slot.
    pub fn begin(
        device: &'d Device,
        programs: &'d BudgetPrograms,
        jobs: &[Option<BudgetJob<'_>>],
        config: &BudgetConfig,
    ) -> Result<Self, DeviceError> {
        let shape = &programs.shape;
        let any = jobs.iter().flatten().next().expect("there is a training");
        let job = |slot: usize| jobs[slot].as_ref().unwrap_or(any);
        let model = |slot: usize| -> &NormalisedModel<f32> { job(slot).model };
        let (slots, labels, inputs) = (shape.stack.runs, shape.labels, shape.stack.sizes[0]);
        let weights = || -> Result<Vec<Buffer>, DeviceError> {
            upload_stack(device, &shape.stack, any.model.shape(), |slot, m| {
                model(slot).members[m].network.parameters()
            })
        };
        let sigmas: Vec<f32> = (0..slots)
            .flat_map(|slot| model(slot).members.iter().flat_map(|m| m.log_sigma.clone()))
            .collect();
        let sigma = || device.upload(&sigmas, &shape.log_sigma());
        let zeros = |sizes: &[usize]| device.upload(&vec![0.0_f32; sizes.iter().product()], sizes);
        let mut state = weights()?;
        // Moments begin anew with every training.
        for _ in 0..2 {
            for sizes in shape.stack.arrays() {
                state.push(zeros(&sizes)?);
            }
        }
        state.push(sigma()?);
        for _ in 0..2 {
            state.push(zeros(&shape.log_sigma())?);
        }
        let mut best = weights()?;
        best.push(sigma()?);
        let width = inputs + labels;
        let mut table = vec![0.0_f32; slots * shape.table * width];
        table.par_chunks_mut(shape.table * width).enumerate().for_each(|(slot, table)| {
            let (real, model) = (job(slot).real, model(slot));
            for (i, row) in table.chunks_exact_mut(width).take(real.len()).enumerate() {
                let t = real.get(i);
                let (x, y) = row.split_at_mut(inputs);
                model.inputs.apply((0..inputs).map(|d| t.input(d)), x);
                y.iter_mut().enumerate().for_each(|(d, y)| *y = t.label(d));
            }
        });
        let row =
            |of: &dyn Fn(usize) -> Vec<f32>| -> Vec<f32> { (0..slots).flat_map(of).collect() };
        let of_labels = [slots, 1, 1, labels];
        let mut data = vec![
            device.upload(&table, &[slots, shape.table, width])?,
            device.upload(&row(&|slot| model(slot).labels.mean.clone()), &of_labels)?,
            device.upload(&row(&|slot| model(slot).labels.deviation.clone()), &of_labels)?,
        ];
        if shape.directions > 0 {
            let term = |slot: usize| job(slot).secants.expect("all jobs have secants, or none");
            let weights = row(&|slot| term(slot).weights.to_vec());
            data.push(device.upload(&weights, &of_labels)?);
            let squares = row(&|slot| vec![term(slot).least_square as f32]);
            data.push(device.upload(&squares, &[slots, 1, 1, 1])?);
        }
        let adam = Adam::new(0, config.learning_rate);
        let look_every = config.look_every;
        let holdout = Vec::new();
        let mut phase = Self { device, programs, state, best, data, holdout, adam, look_every };
        phase.clear_sums()?;
        let longest = jobs.iter().flatten().map(|job| job.split.holdout.len()).max().unwrap_or(0);
        for first in (0..longest).step_by(HELD_OUT_ROWS) {
            let piece = phase.upload_holdout(jobs, first)?;
            phase.holdout.push(piece);
        }
        Ok(phase)
    }

    /// Sets Σ of what steps saw to 0, after it was told or at the beginning.
    fn clear_sums(&mut self) -> Result<(), DeviceError> {
        let stack = &self.programs.shape.stack;
        let zeros = vec![0.0_f64; stack.runs * stack.networks * 2];
        let sums = self.device.upload(&zeros, &[stack.runs, stack.networks, 1, 2])?;
        self.state.truncate(BudgetState::trained_arrays(stack.sizes.len() - 1));
        self.state.push(sums);
        Ok(())
    }

    fn upload_holdout(
        &self,
        jobs: &[Option<BudgetJob<'_>>],
        first: usize,
    ) -> Result<Vec<Buffer>, DeviceError> {
        let shape = &self.programs.shape;
        let (slots, n) = (shape.stack.runs, HELD_OUT_ROWS);
        let all = n * (1 + shape.directions);
        let mut rows = vec![0_i32; slots * all];
        let (mut shares, mut secants) = (vec![0.0_f32; slots * n], vec![0.0_f32; slots * n]);
        for (slot, job) in jobs.iter().enumerate() {
            let Some(job) = job else { continue };
            let mut to = BudgetRowsOut {
                rows: &mut rows[slot * all..][..all],
                shares: &mut shares[slot * n..][..n],
                secant_shares: &mut secants[slot * n..][..n],
            };
            job.holdout(first, n, &mut to);
        }
        let of_rows = [slots, 1, n, 1];
        let mut piece =
            vec![self.device.upload(&rows, &[slots, all])?, self.device.upload(&shares, &of_rows)?];
        if shape.directions > 0 {
            piece.push(self.device.upload(&secants, &of_rows)?);
        }
        Ok(piece)
    }

    /// Trains all models to the end of their budgets, and gives their members the best weights.
    pub fn train(&mut self, jobs: &mut [Option<BudgetJob<'_>>]) -> Result<(), DeviceError> {
        let last = jobs.iter().flatten().map(|job| job.steps).max().unwrap_or(0);
        let mut step = 0;
        while step < last {
            // The next step after which some run looks at its held-out rows.
            let regular = (step / self.look_every + 1) * self.look_every;
            let ends = jobs.iter().flatten().map(|job| job.steps).filter(|&end| end > step);
            let next = ends.chain([regular]).min().unwrap_or(regular);
            let from = step;
            let programs: &'d BudgetPrograms = self.programs;
            for count in calls(next - step, programs.steps[0].0) {
                let program = programs.steps.iter().find(|(of, _)| *of == count);
                let (_, program) = program.expect("there is a program of a single step");
                self.advance(jobs, step, count, program)?;
                step += count;
            }
            self.look(jobs, from, step)?;
        }
        // The last weights of a run that never had a finite loss.
        let without =
            |job: &Option<BudgetJob<'_>>| job.as_ref().is_some_and(|job| job.report.best_step == 0);
        let kept: Vec<bool> = jobs.iter().map(without).collect();
        self.keep(&kept)?;
        self.fetch(jobs)
    }

    /// A call of the program of `count` steps after so many that are done.
    fn advance(
        &mut self,
        jobs: &mut [Option<BudgetJob<'_>>],
        done: usize,
        count: usize,
        program: &Executable,
    ) -> Result<(), DeviceError> {
        let Self { device, programs, adam, .. } = self;
        let (shape, batch) = (&programs.shape, programs.batch);
        let (slots, members) = (shape.stack.runs, shape.stack.networks);
        let of_shares = members * batch;
        let of_rows = of_shares * (1 + shape.directions);
        let mut rows = vec![0_i32; slots * count * of_rows];
        let mut shares = vec![0.0_f32; slots * count * of_shares];
        let mut secants = vec![0.0_f32; slots * count * of_shares];
        let mut factors = vec![0.0_f32; slots * count * BUDGET_FACTORS];
        let places = rows.par_chunks_mut(count * of_rows).zip(
            shares
                .par_chunks_mut(count * of_shares)
                .zip(secants.par_chunks_mut(count * of_shares))
                .zip(factors.par_chunks_mut(count * BUDGET_FACTORS)),
        );
        jobs.par_iter_mut().zip(places).for_each(|(job, (rows, ((shares, secants), factors)))| {
            let Some(job) = job else { return };
            for i in 0..count.min(job.steps.saturating_sub(done)) {
                let mut to = BudgetRowsOut {
                    rows: &mut rows[i * of_rows..][..of_rows],
                    shares: &mut shares[i * of_shares..][..of_shares],
                    secant_shares: &mut secants[i * of_shares..][..of_shares],
                };
                job.draw(batch, &mut to);
                let [rate, second_scale] = adam.factors_of((done + i + 1) as u64);
                let own = &mut factors[i * BUDGET_FACTORS..][..BUDGET_FACTORS];
                own.copy_from_slice(&[rate as f32, second_scale as f32, 1.0]);
            }
        });
        let of_shares = [slots, count * members, batch, 1];
        let mut given = vec![
            device.upload(&rows, &[slots, count * of_rows])?,
            device.upload(&shares, &of_shares)?,
        ];
        if shape.directions > 0 {
            given.push(device.upload(&secants, &of_shares)?);
        }
        given.push(device.upload(&factors, &[slots, count, 1, BUDGET_FACTORS])?);
        let arguments: Vec<&Buffer> = self.state.iter().chain(&self.data).chain(&given).collect();
        self.state = program.run(&arguments)?;
        Ok(())
    }

    /// How many arrays parameters are.
    fn arrays(&self) -> usize {
        2 * (self.programs.shape.stack.sizes.len() - 1)
    }

    /// The present parameters and log σ.
    fn present(&self) -> impl Iterator<Item = &Buffer> {
        let each = self.arrays();
        self.state[..each].iter().chain([&self.state[3 * each]])
    }

    /// Losses on the held-out rows of the runs that look at them after step number `step`, and what the steps after step number `from` saw.
    fn look(
        &mut self,
        jobs: &mut [Option<BudgetJob<'_>>],
        from: usize,
        step: usize,
    ) -> Result<(), DeviceError> {
        let stack = &self.programs.shape.stack;
        let (slots, members) = (stack.runs, stack.networks);
        let mut sums = vec![0.0_f64; slots * members * 2];
        self.state.last().expect("the sums are the last array").download(&mut sums)?;
        self.clear_sums()?;
        let mut losses = vec![0.0_f64; slots * 3];
        let mut part = vec![0.0_f32; slots * 3];
        for piece in &self.holdout {
            let arguments: Vec<&Buffer> = self.present().chain(&self.data).chain(piece).collect();
            self.programs.losses.run(&arguments)?[0].download(&mut part)?;
            losses.iter_mut().zip(&part).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        let each = jobs.iter_mut().zip(sums.chunks_exact(2 * members));
        let improved = each.zip(losses.chunks_exact(3)).map(|((job, sums), losses)| {
            let Some(job) = job.as_mut().filter(|job| from < job.steps) else { return false };
            job.add(sums, step - from);
            let looks = step == job.steps || step.is_multiple_of(self.look_every);
            looks && job.look(step, losses)
        });
        let improved: Vec<bool> = improved.collect();
        self.keep(&improved)
    }

    /// Takes the present weights of these slots as their best.
    fn keep(&mut self, taken: &[bool]) -> Result<(), DeviceError> {
        if !taken.contains(&true) {
            return Ok(());
        }
        let taken: Vec<f32> = taken.iter().map(|&taken| f32::from(u8::from(taken))).collect();
        let taken = self.device.upload(&taken, &[taken.len(), 1, 1, 1])?;
        let arguments: Vec<&Buffer> =
            std::iter::once(&taken).chain(self.present()).chain(&self.best).collect();
        self.best = self.programs.keep.run(&arguments)?;
        Ok(())
    }

    /// Brings the best weights back.
    fn fetch(&self, jobs: &mut [Option<BudgetJob<'_>>]) -> Result<(), DeviceError> {
        let shape = &self.programs.shape;
        let (sigmas, networks) = self.best.split_last().expect("log sigma is the last");
        let fetched = FetchedStack::fetch(networks, &shape.stack)?;
        let mut log_sigma = vec![0.0_f32; shape.log_sigma().iter().product()];
        sigmas.download(&mut log_sigma)?;
        let mut log_sigma = log_sigma.chunks_exact(shape.labels);
        for (slot, job) in jobs.iter_mut().enumerate() {
            let own: Vec<&[f32]> = log_sigma.by_ref().take(shape.stack.networks).collect();
            let Some(job) = job else { continue };
            for (m, (member, own)) in job.model.members.iter_mut().zip(own).enumerate() {
                member.network.update(|vector, shape| fetched.write(slot, m, shape, vector));
                member.log_sigma.copy_from_slice(own);
            }
            job.model.trained = true;
        }
        Ok(())
    }
}
