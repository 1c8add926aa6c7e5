//! Runs of `ddppo-plus` in lockstep on one device. All that is learned lies on the host between blocks, so that there is nothing to fetch
//! for a checkpoint; a block of models' training, rollouts and updates is made on the device, on the draws of the runs' own streams.
//! Standardisers, neighbours, held-out rows and the rings of states are the host's.

mod arrays;
mod budget_job;
mod budget_phase;
mod budget_programs;
mod calls;
mod memory;
mod rollouts;
mod updates;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Instant;

use rayon::prelude::*;

use self::arrays::{BlockArrays, short_path_shape};
use self::budget_job::BudgetJob;
use self::budget_phase::BudgetPhase;
use self::budget_programs::BudgetPrograms;
use self::calls::calls;
pub use self::memory::BlockMemory;
use self::rollouts::LongRollouts;
use self::updates::BlockUpdates;
use super::arrays::LEAST_SLOTS;
use super::transitions::table_rows;
use crate::device::graph::ProductPrecision;
use crate::device::pjrt::{Buffer, Device, DeviceError};
use crate::device::programs::{BudgetShape, ShortPathShape, ShortPathUpdate};
use crate::methods::ddppo_plus::{
    BlockParts, BlockPlan, DdppoPlus, DdppoPlusConfig, LOOK_EVERY, models_record, rollouts_record,
};
use crate::model::BudgetReport;
use crate::nn::LearnError;
use crate::run::Tally;

/// Runs whose blocks are made together.
pub struct BlockGroup {
    device: Device,
    precision: ProductPrecision,
    config: DdppoPlusConfig,
    shape: ShortPathShape,
    /// By rows of the table, and whether R̃ is in the loss.
    training: HashMap<(usize, bool), BudgetPrograms>,
    rollouts: Option<LongRollouts>,
    updates: HashMap<(ShortPathUpdate, usize), BlockUpdates>,
}

/// A run in a block: its method, and what it tells of its learning; `None` where the run has ended.
pub type BlockRun<'m> = Option<(&'m mut DdppoPlus, &'m mut Tally)>;

/// A run's block in progress.
struct OpenBlock {
    block: BlockPlan,
    /// States met in rollouts, and how many rollouts.
    states: u64,
    rollouts: usize,
}

/// The runs of a group in the middle of a block: one that has none is over, and the outcome says why, if it failed.
struct Blocks {
    open: Vec<Option<OpenBlock>>,
    outcomes: Vec<Result<(), LearnError>>,
}

impl Blocks {
    fn note(&mut self, slot: usize, outcome: Result<(), LearnError>) {
        if outcome.is_err() && self.outcomes[slot].is_ok() {
            (self.outcomes[slot], self.open[slot]) = (outcome, None);
        }
    }
}

impl BlockGroup {
    /// Runs whose configurations may differ in the seed alone, on a device.
    ///
    /// # Errors
    /// When no program is for such runs.
    pub fn new(
        device: Device,
        config: DdppoPlusConfig,
        runs: &mut [&mut DdppoPlus],
        precision: ProductPrecision,
    ) -> Result<Self, DeviceError> {
        let slots = runs.len().max(LEAST_SLOTS);
        let shape = short_path_shape(&runs[0].block_parts(), &config, slots)?;
        let (training, updates) = (HashMap::new(), HashMap::new());
        Ok(Self { device, precision, config, shape, training, rollouts: None, updates })
    }

    /// What a group of so many runs like this one takes of a device's memory when each has so many transitions.
    ///
    /// # Errors
    /// When no program is for such runs.
    pub fn memory(
        config: &DdppoPlusConfig,
        method: &mut DdppoPlus,
        runs: usize,
        transitions: usize,
    ) -> Result<BlockMemory, DeviceError> {
        let shape = short_path_shape(&method.block_parts(), config, runs.max(LEAST_SLOTS))?;
        Ok(BlockMemory::of(&shape, config, transitions))
    }

    /// Bytes of the arrays that are there while the runs' updates are made.
    ///
    /// # Errors
    /// When the device fails.
    pub fn kept_bytes(&self, runs: &mut [&mut DdppoPlus]) -> Result<u64, DeviceError> {
        let mut parts: Vec<_> = runs.iter_mut().map(|run| Some(run.block_parts())).collect();
        parts.resize_with(self.shape.learner.runs(), || None);
        let arrays = BlockArrays::upload(&self.device, &self.shape, &parts)?;
        arrays.learned.iter().chain(arrays.models()).map(Buffer::bytes).sum()
    }

    /// All learning after step number `step` of every run; whether each that is there learned. A run that failed must not be in later steps.
    ///
    /// # Errors
    /// When the device fails, and with it all runs.
    pub fn learn(
        &mut self,
        step: u64,
        runs: &mut [BlockRun<'_>],
    ) -> Result<Vec<Result<(), LearnError>>, DeviceError> {
        let begin = |run: &mut BlockRun<'_>| {
            let block = run.as_mut()?.0.begin_block(step)?;
            Some(OpenBlock { block, states: 0, rollouts: 0 })
        };
        let mut blocks = Blocks {
            open: runs.par_iter_mut().map(begin).collect(),
            outcomes: runs.iter().map(|_| Ok(())).collect(),
        };
        if blocks.open.iter().any(Option::is_some) {
            self.train_models(step, runs, &mut blocks)?;
        }
        if blocks.open.iter().any(Option::is_some) {
            self.improve(runs, &mut blocks)?;
        }
        let starts = self.config.rollout.starts;
        for (run, open) in runs.iter_mut().zip(&blocks.open) {
            if let (Some((_, tally)), Some(OpenBlock { states, rollouts, .. })) = (run, open) {
                tally.record(rollouts_record(step, *rollouts, starts, *states));
            }
        }
        Ok(blocks.outcomes)
    }

    /// The parts of the runs with an open block, by slot.
    fn parts<'r>(
        slots: usize,
        runs: &'r mut [BlockRun<'_>],
        blocks: &Blocks,
    ) -> Vec<Option<BlockParts<'r>>> {
        let mut parts: Vec<Option<BlockParts<'r>>> = Vec::new();
        for (run, open) in runs.iter_mut().zip(&blocks.open) {
            parts.push(match (run, open) {
                (Some((method, _)), Some(_)) => Some(method.block_parts()),
                _ => None,
            });
        }
        parts.resize_with(slots, || None);
        parts
    }

    /// Trains M^p and M^g of the runs with an open block.
    fn train_models(
        &mut self,
        step: u64,
        runs: &mut [BlockRun<'_>],
        blocks: &mut Blocks,
    ) -> Result<(), DeviceError> {
        let started = Instant::now();
        let slots = self.shape.learner.runs();
        let mut transitions = vec![0; slots];
        let mut reports: Vec<Vec<Option<BudgetReport>>> = Vec::new();
        for of_gradient in [false, true] {
            if of_gradient && !self.shape.gradient_model {
                continue;
            }
            let parts = Self::parts(slots, runs, blocks);
            let open = blocks.open.iter().map(Option::as_ref).chain(std::iter::repeat(None));
            let mut jobs: Vec<Option<BudgetJob<'_>>> = Vec::new();
            for (slot, (parts, open)) in parts.into_iter().zip(open).enumerate() {
                let job = parts.zip(open).and_then(|(parts, open)| {
                    transitions[slot] = parts.real.len();
                    let rows = |k: usize| (parts.split, parts.draws[k]);
                    let steps = open.block.model_steps;
                    let (model, rows, secants, stream) = match of_gradient {
                        false => (parts.prediction_model, rows(0), None, parts.prediction_stream),
                        true => {
                            (parts.gradient_model?, rows(1), parts.secants, parts.gradient_stream)
                        }
                    };
                    Some(BudgetJob::begin(model, parts.real, rows, secants, steps, stream))
                });
                jobs.push(job);
            }
            let longest = transitions.iter().copied().max().unwrap_or(0);
            let DdppoPlusConfig { run, training, .. } = &self.config;
            let capacity = training.experience.replay_capacity;
            let table = table_rows(run.steps, capacity, longest);
            self.compile_training(table, of_gradient)?;
            let Self { device, training, config, .. } = self;
            let programs = &training[&(table, of_gradient)];
            let mut phase = BudgetPhase::begin(device, programs, &jobs, &config.model)?;
            phase.train(&mut jobs)?;
            reports.push(jobs.iter().map(|job| job.as_ref().map(|job| job.report)).collect());
        }
        let seconds = started.elapsed().as_secs_f64();
        for (slot, run) in runs.iter_mut().enumerate() {
            let (Some((_, tally)), Some(prediction)) = (run, &reports[0][slot]) else { continue };
            tally.add_seconds("models", seconds);
            let gradient = reports.get(1).and_then(|reports| reports[slot].as_ref());
            let record = models_record(step, transitions[slot], prediction, gradient);
            blocks.note(slot, record.map(|record| tally.record(record)));
        }
        Ok(())
    }

    /// Has programs for tables of so many rows, and losses with R̃ or without it.
    fn compile_training(&mut self, table: usize, secants: bool) -> Result<(), DeviceError> {
        let Self { device, precision, config, shape, training, .. } = self;
        let Entry::Vacant(place) = training.entry((table, secants)) else { return Ok(()) };
        let (model, loss) = (&config.model, &config.gradient_loss);
        let kept = model.weight_decay.iter().map(|decay| 1.0 - model.learning_rate * decay);
        let shape = BudgetShape {
            stack: shape.model.stack.clone(),
            labels: shape.model.labels(),
            table,
            kept: kept.collect(),
            directions: if secants { loss.directions_per_row } else { 0 },
            secant_weight: loss.weight,
        };
        place.insert(BudgetPrograms::compile(device, shape, model.batch_size, *precision)?);
        Ok(())
    }

    /// Rollouts and updates of the runs with an open block.
    fn improve(
        &mut self,
        runs: &mut [BlockRun<'_>],
        blocks: &mut Blocks,
    ) -> Result<(), DeviceError> {
        for (run, open) in runs.iter_mut().zip(&blocks.open) {
            if let (Some((method, _)), Some(_)) = (run, open) {
                method.begin_updates();
            }
        }
        let slots = self.shape.learner.runs();
        let parts = Self::parts(slots, runs, blocks);
        let mut arrays = BlockArrays::upload(&self.device, &self.shape, &parts)?;
        drop(parts);
        let updates = |open: &OpenBlock| open.block.critic_updates + open.block.updates;
        let last = blocks.open.iter().flatten().map(updates).max().unwrap_or(0);
        let alone = self.config.training.critic_updates;
        let mut update = 0;
        while update < last && blocks.open.iter().any(Option::is_some) {
            if update.is_multiple_of(self.config.rollout.every_updates) {
                self.roll_out(&arrays, update, runs, blocks)?;
            }
            // Up to the next rollout, the first update of the policy, the next look at its gradient, or the end of some run's block.
            let of_policy = update.checked_sub(alone);
            let (of, until) = match of_policy {
                None => (ShortPathUpdate::Critic, alone),
                Some(number) if number.is_multiple_of(LOOK_EVERY) => {
                    let batch = self.shape.learner.batch;
                    let half = batch.div_ceil(2).next_multiple_of(16).min(batch);
                    (ShortPathUpdate::Looked(half), update + 1)
                }
                Some(number) => (ShortPathUpdate::All, alone + number.next_multiple_of(LOOK_EVERY)),
            };
            let every = self.config.rollout.every_updates;
            let ends = blocks.open.iter().flatten().map(updates).filter(|&end| end > update);
            let next = ends.chain([until, (update / every + 1) * every]).min().unwrap_or(last);
            self.update(&mut arrays, of, update..next, runs, blocks)?;
            update = next;
        }
        let mut parts = Self::parts(slots, runs, blocks);
        arrays.fetch(&self.shape, &mut parts)
    }

    /// Which runs still learn at an update of the block.
    fn learns(&self, update: u64, blocks: &Blocks) -> Vec<bool> {
        let learns = |open: &Option<OpenBlock>| {
            let block = open.as_ref().map(|open| open.block);
            block.is_some_and(|block| update < block.critic_updates + block.updates)
        };
        let mut learns: Vec<bool> = blocks.open.iter().map(learns).collect();
        learns.resize(self.shape.learner.runs(), false);
        learns
    }

    fn roll_out(
        &mut self,
        arrays: &BlockArrays,
        update: u64,
        runs: &mut [BlockRun<'_>],
        blocks: &mut Blocks,
    ) -> Result<(), DeviceError> {
        let started = Instant::now();
        let learns = self.learns(update, blocks);
        let Self { device, precision, config, shape, rollouts, .. } = self;
        let program = match rollouts {
            Some(program) => program,
            None => {
                rollouts.insert(LongRollouts::compile(device, shape, &config.rollout, *precision)?)
            }
        };
        let mut parts = Self::parts(shape.learner.runs(), runs, blocks);
        let reports = program.run(device, arrays, &mut parts, &learns)?;
        drop(parts);
        let seconds = started.elapsed().as_secs_f64();
        for (slot, run) in runs.iter_mut().enumerate().filter(|(slot, _)| learns[*slot]) {
            let Some((_, tally)) = run else { continue };
            tally.add_seconds("rollout", seconds);
            if let Some(open) = &mut blocks.open[slot] {
                open.states += reports[slot].states;
                open.rollouts += 1;
            }
            if reports[slot].broken > 0 {
                blocks.note(slot, Err(LearnError::NonFinite("the prediction model's output")));
            }
        }
        Ok(())
    }

    fn update(
        &mut self,
        arrays: &mut BlockArrays,
        of: ShortPathUpdate,
        updates: std::ops::Range<u64>,
        runs: &mut [BlockRun<'_>],
        blocks: &mut Blocks,
    ) -> Result<(), DeviceError> {
        let started = Instant::now();
        let learns = self.learns(updates.start, blocks);
        let Self { device, precision, config, shape, updates: programs, .. } = self;
        let slots = shape.learner.runs();
        let together = BlockUpdates::together(device, of);
        let mut parts = Self::parts(slots, runs, blocks);
        let mut seen = Vec::new();
        for count in calls((updates.end - updates.start) as usize, together) {
            let program = match programs.entry((of, count)) {
                Entry::Occupied(program) => program.into_mut(),
                Entry::Vacant(place) => {
                    place.insert(BlockUpdates::compile(device, shape, of, count, *precision)?)
                }
            };
            seen.push(program.run(device, shape, arrays, &mut parts, &learns)?);
        }
        drop(parts);
        for call in seen {
            for (slot, seen) in call.wait()?.into_iter().enumerate() {
                let Some(Some((_, tally))) = runs.get_mut(slot).filter(|_| learns[slot]) else {
                    continue;
                };
                for seen in seen {
                    if blocks.outcomes[slot].is_ok() {
                        blocks.note(slot, seen.tell(config.run.guards.max_loss, tally));
                    }
                }
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        for (run, _) in runs.iter_mut().zip(&learns).filter(|(_, learns)| **learns) {
            if let Some((_, tally)) = run {
                tally.add_seconds("updates", seconds);
            }
        }
        Ok(())
    }
}
