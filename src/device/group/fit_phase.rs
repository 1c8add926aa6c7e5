//! A stretch of training of several runs' ensembles on the device, with as many slots from beginning to end.

use rayon::prelude::*;

use super::arrays::{FetchedStack, upload_stack};
use super::fit_job::{FitJob, FitMinibatch};
use super::fit_programs::{FitPrograms, HOLDOUT_ROWS};
use crate::data::Standardiser;
use crate::device::pjrt::{Buffer, Device, DeviceError};
use crate::device::programs::{FIT_FACTORS, FitShape};

/// A training, its number among those of the call, and whether it is over.
pub(super) struct FitSlot<'m> {
    pub number: usize,
    pub job: FitJob<'m>,
    pub over: bool,
}

/// The trainings of some runs on the device, from their models' upload to their fetching.
pub(super) struct FitPhase<'d> {
    device: &'d Device,
    programs: &'d FitPrograms,
    /// Parameters, first and second moments, bounds.
    state: Vec<Buffer>,
    /// Table, mean, deviation.
    data: Vec<Buffer>,
    /// ρ², where R is in the loss.
    output_weights: Option<Buffer>,
    /// Held-out rows and which of them count, piece by piece.
    holdout: Vec<[Buffer; 2]>,
}

impl<'d> FitPhase<'d> {
    /// Brings the models and their transitions to the device.
    pub fn begin(
        device: &'d Device,
        programs: &'d FitPrograms,
        jobs: &[FitSlot<'_>],
    ) -> Result<Self, DeviceError> {
        let shape = &programs.shape;
        // Slots beyond the jobs get the first one's numbers, and never learn.
        let job = |slot: usize| &jobs.get(slot).unwrap_or(&jobs[0]).job;
        let (of, own) = (&shape.stack, jobs[0].job.model.shape());
        let member = |slot: usize, m: usize| &job(slot).model.members[m];
        let mut state =
            upload_stack(device, of, own, |slot, m| member(slot, m).network.parameters())?;
        state.extend(upload_stack(device, of, own, |slot, m| &member(slot, m).adam.first)?);
        state.extend(upload_stack(device, of, own, |slot, m| &member(slot, m).adam.second)?);
        let (slots, numbers) = (of.runs, 2 * shape.labels);
        let bounds: Vec<f64> = (0..slots)
            .flat_map(|slot| {
                let model = &job(slot).model;
                let still = vec![0.0; numbers];
                let moments = model.bounds_adam.as_ref();
                let [first, second] = match moments {
                    Some(adam) => [&adam.first, &adam.second],
                    None => [&still, &still],
                };
                [model.bounds.numbers(), first, second].concat()
            })
            .collect();
        state.push(device.upload(&bounds, &shape.bounds_sizes())?);
        let inputs = own.inputs();
        let (of_table, of_row) = shape.data_sizes();
        let width = of_table[2];
        let mut table = vec![0.0_f32; of_table.iter().product()];
        table.par_chunks_mut(shape.table * width).enumerate().for_each(|(slot, table)| {
            let real = job(slot).real;
            for (i, row) in table.chunks_exact_mut(width).take(real.len()).enumerate() {
                let t = real.get(i);
                let (x, y) = row.split_at_mut(inputs);
                x.iter_mut().enumerate().for_each(|(d, x)| *x = t.input(d));
                y.iter_mut().enumerate().for_each(|(d, y)| *y = t.label(d));
            }
        });
        let row = |of: fn(&Standardiser<f32>) -> &Vec<f32>| -> Vec<f32> {
            (0..slots).flat_map(|slot| of(&job(slot).model.standardiser).clone()).collect()
        };
        let data = vec![
            device.upload(&table, &of_table)?,
            device.upload(&row(|s| &s.mean), &of_row)?,
            device.upload(&row(|s| &s.deviation), &of_row)?,
        ];
        let weights: Vec<f32> = (0..slots)
            .flat_map(|slot| {
                let given = job(slot).loss.map_or(&[][..], |loss| loss.output_weights);
                (0..shape.labels).map(|d| given.get(d).map_or(1.0, |&w| w as f32))
            })
            .collect();
        let output_weights = match shape.row_sizes().directions {
            Some(of) => Some(device.upload(&weights, &of.output_weights)?),
            None => None,
        };
        let longest = (0..slots).map(|slot| job(slot).holdout.len()).max().unwrap_or(0);
        let piece = |first: usize| {
            let (mut rows, mut counts) =
                (vec![0_i32; slots * HOLDOUT_ROWS], vec![0.0_f32; slots * HOLDOUT_ROWS]);
            for slot in 0..slots {
                let own = job(slot).holdout.iter().skip(first).take(HOLDOUT_ROWS);
                for (i, &row) in own.enumerate() {
                    rows[slot * HOLDOUT_ROWS + i] = row as i32;
                    counts[slot * HOLDOUT_ROWS + i] = 1.0;
                }
            }
            Ok([
                device.upload(&rows, &[slots, HOLDOUT_ROWS])?,
                device.upload(&counts, &[slots, 1, HOLDOUT_ROWS, 1])?,
            ])
        };
        let holdout = (0..longest).step_by(HOLDOUT_ROWS).map(piece).collect::<Result<_, _>>()?;
        Ok(Self { device, programs, state, data, output_weights, holdout })
    }

    /// One pass of every run that is not over, and what its held-out rows say of it.
    pub fn epoch(&mut self, jobs: &mut [FitSlot<'_>]) -> Result<(), DeviceError> {
        let shape = &self.programs.shape;
        let batch = shape.batch;
        jobs.par_iter_mut().filter(|slot| !slot.over).for_each(|slot| slot.job.shuffle());
        let of = |slot: &FitSlot<'_>| if slot.over { 0 } else { slot.job.minibatches(batch) };
        let counts: Vec<usize> = jobs.iter().map(of).collect();
        let mut seen = Vec::new();
        for at in 0..counts.iter().copied().max().unwrap_or(0) {
            let given = self.draw(jobs, at)?;
            seen.push(self.step(&given)?);
        }
        let slots = shape.stack.runs;
        let mut sums = vec![0.0_f64; slots * 2];
        let mut one = vec![0.0_f32; slots * 2];
        for (at, seen) in seen.iter().enumerate() {
            seen.download(&mut one)?;
            for (slot, &count) in counts.iter().enumerate().filter(|(_, count)| at < **count) {
                for k in 0..2 {
                    sums[2 * slot + k] += f64::from(one[2 * slot + k]) / count as f64;
                }
            }
        }
        let errors = self.errors(jobs)?;
        let mut improved_any = false;
        let mut improvements = vec![Vec::new(); jobs.len()];
        for (at, slot) in jobs.iter_mut().enumerate().filter(|(_, slot)| !slot.over) {
            slot.job.report.nll = sums[2 * at];
            slot.job.report.gradient_loss =
                slot.job.loss.map(|loss| sums[2 * at + 1] / loss.weight);
            let (improved, over) = slot.job.note(errors[at].clone());
            improved_any |= slot.job.config.restore_best && !improved.is_empty();
            (improvements[at], slot.over) = (improved, over);
        }
        if improved_any {
            self.keep(jobs, &improvements)?;
        }
        Ok(())
    }

    /// Draws minibatch number `at` of an epoch of each run that has one, and brings them to the device.
    pub fn draw(&self, jobs: &mut [FitSlot<'_>], at: usize) -> Result<Vec<Buffer>, DeviceError> {
        let batch = self.programs.shape.batch;
        let has = |slot: &FitSlot<'_>| !slot.over && at < slot.job.minibatches(batch);
        let drawn: Vec<Option<FitMinibatch>> = jobs
            .par_iter_mut()
            .map(|slot| has(slot).then(|| slot.job.minibatch(at, batch)))
            .collect();
        self.bring(jobs, &drawn)
    }

    /// Brings the minibatches of a step to the device, and counts the step of the runs that have one.
    fn bring(
        &self,
        jobs: &mut [FitSlot<'_>],
        drawn: &[Option<FitMinibatch>],
    ) -> Result<Vec<Buffer>, DeviceError> {
        let FitShape { stack, batch, labels, directions, .. } = &self.programs.shape;
        let sizes = self.programs.shape.row_sizes();
        let zeros = |sizes: &[usize]| vec![0.0_f32; sizes.iter().product()];
        let firsts = |sizes: &[usize]| vec![0_i32; sizes.iter().product()];
        let (mut factors, mut shares) = (zeros(&sizes.factors), zeros(&sizes.shares));
        let mut rows = firsts(&sizes.rows);
        let members = stack.networks;
        let (window, m) = directions.map_or((0, 0), |of| (of.rows, of.directions));
        let each = members * window;
        let of_r = sizes.directions;
        let mut own = of_r.map_or(Vec::new(), |of| firsts(&of.rows));
        let mut neighbours = of_r.map_or(Vec::new(), |of| firsts(&of.neighbours));
        let mut weights = of_r.map_or(Vec::new(), |of| zeros(&of.weights));
        for (at, (slot, drawn)) in jobs.iter_mut().zip(drawn).enumerate() {
            let Some(drawn) = drawn else { continue };
            let model = &mut *slot.job.model;
            let adam = &model.members[0].adam;
            let of_networks = adam.factors_of(adam.updates + 1);
            let of_bounds = model.bounds_adam.as_ref();
            let of_bounds = of_bounds.map_or([0.0; 2], |adam| adam.factors_of(adam.updates + 1));
            let numbers = [of_networks, of_bounds].concat();
            let own_factors = &mut factors[at * FIT_FACTORS..][..FIT_FACTORS];
            own_factors.iter_mut().zip(numbers.into_iter().chain([1.0])).for_each(|(to, x)| {
                *to = x as f32;
            });
            model.members.iter_mut().for_each(|member| member.adam.updates += 1);
            model.bounds_adam.iter_mut().for_each(|adam| adam.updates += 1);
            rows[at * members * batch..][..members * batch].copy_from_slice(&drawn.rows);
            let share = 1.0 / (drawn.count * labels) as f64;
            shares[at * batch..][..drawn.count].fill(share as f32);
            own[at * each..][..each].copy_from_slice(&drawn.own);
            neighbours[at * m * each..][..m * each].copy_from_slice(&drawn.neighbours);
            weights[at * each * m..][..each * m].copy_from_slice(&drawn.weights);
        }
        let device = self.device;
        let mut given = vec![
            device.upload(&factors, &sizes.factors)?,
            device.upload(&rows, &sizes.rows)?,
            device.upload(&shares, &sizes.shares)?,
        ];
        if let Some(of) = of_r {
            given.push(device.upload(&own, &of.rows)?);
            given.push(device.upload(&neighbours, &of.neighbours)?);
            given.push(device.upload(&weights, &of.weights)?);
        }
        Ok(given)
    }

    /// One step on minibatches that have been brought; what it saw.
    pub fn step(&mut self, given: &[Buffer]) -> Result<Buffer, DeviceError> {
        let arguments: Vec<&Buffer> =
            self.state.iter().chain(&self.data).chain(given).chain(&self.output_weights).collect();
        let mut outputs = self.programs.step.run(&arguments)?;
        let seen = outputs.pop().expect("a step tells what it saw");
        self.state = outputs;
        Ok(seen)
    }

    /// Waits until the steps are made.
    pub fn wait(&self) -> Result<(), DeviceError> {
        let labels = self.programs.shape.labels;
        let mut bounds = vec![0.0_f64; self.programs.shape.stack.runs * 6 * labels];
        self.state.last().expect("the bounds are the last array").download(&mut bounds)
    }

    /// Bytes of all arrays on the device, those of a step with them.
    pub fn bytes(&self, given: &[Buffer]) -> Result<u64, DeviceError> {
        let Self { state, data, output_weights, holdout, .. } = self;
        let all = state.iter().chain(data).chain(output_weights).chain(holdout.as_flattened());
        all.chain(given).map(Buffer::bytes).sum()
    }

    /// How many of the state's arrays are parameters.
    fn parameters(&self) -> usize {
        (self.state.len() - 1) / 3
    }

    /// Every member's mean-squared error over the held-out rows and all outputs, for each job.
    fn errors(&self, jobs: &[FitSlot<'_>]) -> Result<Vec<Vec<f64>>, DeviceError> {
        let FitShape { stack, labels, .. } = &self.programs.shape;
        let members = stack.networks;
        let mut sums = vec![vec![0.0_f64; members]; jobs.len()];
        let mut errors = vec![0.0_f32; stack.runs * members];
        let parameters = &self.state[..self.parameters()];
        for piece in &self.holdout {
            let arguments: Vec<&Buffer> =
                parameters.iter().chain(&self.data).chain(piece).collect();
            self.programs.errors.run(&arguments)?[0].download(&mut errors)?;
            for (sums, errors) in sums.iter_mut().zip(errors.chunks_exact(members)) {
                sums.iter_mut().zip(errors).for_each(|(sum, &e)| *sum += f64::from(e));
            }
        }
        for (sums, slot) in sums.iter_mut().zip(jobs) {
            let numbers = (slot.job.holdout.len() * labels) as f64;
            sums.iter_mut().for_each(|sum| *sum /= numbers);
        }
        Ok(sums)
    }

    /// Keeps the parameters of the members that have improved.
    fn keep(
        &self,
        jobs: &mut [FitSlot<'_>],
        improvements: &[Vec<usize>],
    ) -> Result<(), DeviceError> {
        let parameters = &self.state[..self.parameters()];
        let fetched = FetchedStack::fetch(parameters, &self.programs.shape.stack)?;
        for (at, (slot, improved)) in jobs.iter_mut().zip(improvements).enumerate() {
            let shape = slot.job.model.shape().clone();
            for &member in improved {
                let kept = &mut slot.job.kept[member];
                kept.resize(shape.parameter_len(), 0.0);
                fetched.write(at, member, &shape, kept);
            }
        }
        Ok(())
    }

    /// Brings the models back.
    pub fn fetch(self, jobs: &mut [FitSlot<'_>]) -> Result<(), DeviceError> {
        let (each, of) = (self.parameters(), &self.programs.shape.stack);
        let fetch = |k: usize| FetchedStack::fetch(&self.state[k * each..][..each], of);
        let (parameters, first, second) = (fetch(0)?, fetch(1)?, fetch(2)?);
        let numbers = 2 * self.programs.shape.labels;
        let mut bounds = vec![0.0_f64; of.runs * 3 * numbers];
        self.state[3 * each].download(&mut bounds)?;
        for (at, slot) in jobs.iter_mut().enumerate() {
            let model = &mut *slot.job.model;
            let shape = model.shape().clone();
            for (m, member) in model.members.iter_mut().enumerate() {
                member.network.update(|vector, shape| parameters.write(at, m, shape, vector));
                first.write(at, m, &shape, &mut member.adam.first);
                second.write(at, m, &shape, &mut member.adam.second);
            }
            if let Some(adam) = &mut model.bounds_adam {
                let own = &bounds[at * 3 * numbers..][..3 * numbers];
                model.bounds.update(|to| to.copy_from_slice(&own[..numbers]));
                adam.first.copy_from_slice(&own[numbers..2 * numbers]);
                adam.second.copy_from_slice(&own[2 * numbers..]);
            }
        }
        Ok(())
    }
}
