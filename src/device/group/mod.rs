//! Runs in lockstep on one device. A run is its method on the host, as ever: transitions and random streams stay there, and the programs
//! compute what the method's updates would, on the same draws. What is learned lives on the device between steps, models with it; the policies
//! come back after each step, since the host acts, and everything else when it is asked for. The models' splits, standardisers and elites
//! are the host's.

mod arrays;
pub mod blocks;
mod dealing;
mod draws;
mod elites;
mod ensembles;
mod fit;
mod fit_job;
mod fit_phase;
mod fit_programs;
mod fit_staging;
mod forward;
mod imagining;
mod learned;
mod learning;
mod memory;
mod models;
mod parts;
pub mod pieces;
pub mod precision;
mod readings;
mod recipe;
mod transitions;
mod update_kind;
mod updates;

use std::time::Instant;

use self::arrays::LEAST_SLOTS;
use self::learned::{LearnedArrays, learner_shape};
use self::learning::Learning;
pub use self::memory::DeviceMemory;
use self::models::GroupModels;
use self::parts::LearnedParts;
use self::readings::{Readings, ReadingsDownload};
use self::recipe::{Due, Order, Recipe};
use self::update_kind::UpdateKind;
use self::updates::UpdateProgram;
use super::graph::ProductPrecision;
use super::pjrt::{Buffer, Device, DeviceError};
use crate::config::Config;
use crate::methods::Method;
use crate::nn::LearnError;
use crate::run::Tally;

/// Runs whose updates are made together.
pub struct DeviceGroup {
    device: Device,
    precision: ProductPrecision,
    recipe: Recipe,
    arrays: LearnedArrays,
    /// Of the critic, with the policy where they are made together.
    updates: Option<UpdateProgram>,
    /// Of the policy through models, once there are some.
    path: Option<UpdateProgram>,
    models: Option<GroupModels>,
    /// Which runs took part in the last step.
    present: Vec<bool>,
}

/// A run in a group: its method, and what it tells of its learning; `None` where the run has ended.
pub type GroupRun<'m> = Option<(&'m mut dyn Method, &'m mut Tally)>;

impl DeviceGroup {
    /// Whether a configuration's method has device programs.
    ///
    /// # Errors
    /// When it has none, in one sentence.
    pub fn check(config: &Config) -> Result<(), DeviceError> {
        Recipe::of(config).map(drop)
    }

    /// What a group of so many runs like this one takes of a device's memory when each has so many transitions.
    ///
    /// # Errors
    /// When no program is for such runs.
    pub fn memory(
        config: &Config,
        method: &mut dyn Method,
        runs: usize,
        transitions: usize,
    ) -> Result<DeviceMemory, DeviceError> {
        DeviceMemory::of(&Recipe::of(config)?, method, runs, transitions)
    }

    /// Brings runs to a device, whose configurations may differ in the seed and, where models are trained step by step, in R.
    ///
    /// # Errors
    /// When no program is for such runs, or the device fails.
    pub fn new(
        device: Device,
        config: &Config,
        methods: &mut [&mut dyn Method],
        precision: ProductPrecision,
    ) -> Result<Self, DeviceError> {
        let recipe = Recipe::of(config)?;
        let parts = methods.iter_mut().map(|method| LearnedParts::of(&mut **method));
        let runs: Option<Vec<LearnedParts<'_>>> = parts.collect();
        let runs = runs.filter(|runs| runs.iter().all(LearnedParts::fits)).ok_or_else(|| {
            DeviceError::Unsupported("these runs have no device programs".to_owned())
        })?;
        let slots = runs.len().max(LEAST_SLOTS);
        let shape = learner_shape(&runs[0], &recipe, slots);
        let (kind, updates) = match recipe.order {
            Order::Together(updates) => (UpdateKind::Together, updates),
            Order::Apart { critic, .. } => (UpdateKind::Critic, critic),
        };
        let compile = || UpdateProgram::compile(&device, &shape, kind, updates, precision);
        let updates = (updates > 0).then(compile).transpose()?;
        let new =
            |of_models| GroupModels::new(&device, (&recipe, of_models), &runs, slots, precision);
        let models = recipe.models.as_ref().map(new).transpose()?.flatten();
        let arrays = LearnedArrays::upload(&device, shape, &runs)?;
        let present = Vec::new();
        Ok(Self { device, precision, recipe, arrays, updates, path: None, models, present })
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// All learning after step number `step` of every run; whether each that is there learned. A run that failed must not be in later steps.
    ///
    /// # Errors
    /// When the device fails, and with it all runs.
    pub fn learn(
        &mut self,
        step: u64,
        runs: &mut [GroupRun<'_>],
    ) -> Result<Vec<Result<(), LearnError>>, DeviceError> {
        let mut learning = Learning {
            parts: Vec::new(),
            tallies: Vec::new(),
            outcomes: runs.iter().map(|_| Ok(())).collect(),
        };
        let present: Vec<bool> = runs.iter().map(Option::is_some).collect();
        if present != self.present {
            // Where a run was away, its slot has elites of no training.
            self.models.iter_mut().for_each(GroupModels::forget);
            self.present = present;
        }
        let mut due = Vec::new();
        for run in runs.iter_mut() {
            let (parts, tally) = match run {
                Some((method, tally)) => (LearnedParts::of(&mut **method), Some(&mut **tally)),
                None => (None, None),
            };
            let transitions = parts.as_ref().map(|parts| parts.real.len());
            due.push(transitions.map_or(Due::default(), |n| self.recipe.due(step, n)));
            learning.parts.push(parts);
            learning.tallies.push(tally);
        }
        if due.iter().any(|due| due.models) {
            self.train_models(step, &due, &mut learning)?;
        }
        for (parts, due) in learning.parts.iter_mut().zip(&due) {
            if !due.updates {
                *parts = None;
            }
        }
        if learning.is_over() {
            return Ok(learning.outcomes);
        }
        // All that is to be made is on its way to the device before anything is waited for.
        let started = Instant::now();
        let of_policies = match self.recipe.order {
            Order::Apart { policy, .. } => self.improve_policies(policy, &mut learning)?,
            Order::Together(_) => None,
        };
        let count = match self.recipe.order {
            Order::Together(updates) => updates,
            Order::Apart { critic, .. } => critic,
        };
        let Self { device, recipe, arrays, updates, path, .. } = self;
        let updated = match updates {
            Some(program) => Some(Launched::launch(
                program,
                (device, recipe, arrays, &[]),
                &mut learning,
                count,
            )?),
            None => None,
        };
        let policies = arrays.begin_policies()?;
        let launched = [(path, of_policies), (updates, updated)];
        let mut since = started;
        for (program, launched) in launched {
            let (Some(program), Some(launched)) = (program, launched) else { continue };
            since = launched.conclude(program, recipe.max_loss, since, &mut learning)?;
        }
        self.arrays.fetch_policies(policies, &mut learning.parts)?;
        Ok(learning.outcomes)
    }

    /// Trains the models of the runs that are due, and refills their buffers with rollouts of the present policies.
    fn train_models(
        &mut self,
        step: u64,
        due: &[Due],
        learning: &mut Learning<'_>,
    ) -> Result<(), DeviceError> {
        let Self { device, precision, recipe, arrays, models, .. } = self;
        let (Some(models), Some(recipe_of_models)) = (models, &recipe.models) else {
            return Ok(());
        };
        let batch = recipe.batch();
        let on = (&*device, *precision);
        let trained = models.train(device, recipe_of_models, batch, step, due, learning)?;
        models.choose_elites(on, &learning.parts)?;
        models.roll_out(on, arrays, step, &trained, learning)
    }

    /// The policies' updates of the runs that have models.
    fn improve_policies(
        &mut self,
        count: usize,
        learning: &mut Learning<'_>,
    ) -> Result<Option<Launched>, DeviceError> {
        let Self { device, precision, recipe, arrays, path, models, .. } = self;
        let Some(models) = models.as_mut().filter(|_| count > 0) else { return Ok(None) };
        if !learning.parts.iter().flatten().any(LearnedParts::has_model) {
            return Ok(None);
        }
        if !models.has_elites() {
            models.choose_elites((&*device, *precision), &learning.parts)?;
        }
        let Some(shape) = models.path_shape() else { return Ok(None) };
        let kind = || UpdateKind::Path(Box::new(shape.clone()));
        let program = match path {
            Some(program) => program,
            None => path.insert(UpdateProgram::compile(
                device,
                &arrays.shape,
                kind(),
                count,
                *precision,
            )?),
        };
        // Runs without a model wait: all have one from the same step on, but where physics broke.
        let mut waiting: Vec<Option<LearnedParts<'_>>> = Vec::new();
        for parts in &mut learning.parts {
            waiting.push(parts.take_if(|parts| !parts.has_model()));
        }
        let of_models = models.path_arrays();
        let on = (&*device, &*recipe, arrays, &of_models[..]);
        let launched = Launched::launch(program, on, learning, count)?;
        for (parts, waiting) in learning.parts.iter_mut().zip(waiting) {
            if waiting.is_some() {
                *parts = waiting;
            }
        }
        Ok(Some(launched))
    }

    /// Brings everything that is learned back into the methods, as a checkpoint or an analysis needs it.
    ///
    /// # Errors
    /// When the device fails.
    pub fn fetch(&mut self, runs: &mut [Option<&mut dyn Method>]) -> Result<(), DeviceError> {
        let mut parts = Vec::new();
        for run in runs {
            parts.push(match run {
                Some(method) => LearnedParts::of(&mut **method),
                None => None,
            });
        }
        self.arrays.fetch(&mut parts)?;
        self.models.as_mut().map_or(Ok(()), |models| models.fetch(&mut parts))
    }
}

/// Updates that the device has been told to make.
struct Launched {
    seen: ReadingsDownload,
    /// The slots that they are of.
    slots: Vec<usize>,
}

impl Launched {
    /// Tells the device to make `count` updates of all runs that are there.
    fn launch(
        program: &mut UpdateProgram,
        (device, recipe, arrays, models): (&Device, &Recipe, &mut LearnedArrays, &[&Buffer]),
        learning: &mut Learning<'_>,
        count: usize,
    ) -> Result<Self, DeviceError> {
        let seen = program.run(device, recipe, arrays, models, &mut learning.parts, count)?;
        let seen = Readings::fetch(&seen, program.shape.runs(), program.seen())?;
        let parts = learning.parts.iter().enumerate();
        let slots = parts.filter(|(_, parts)| parts.is_some()).map(|(slot, _)| slot).collect();
        Ok(Self { seen, slots })
    }

    /// Waits for them, and tells the runs' tallies what they saw, and that they took from `since` until now.
    fn conclude(
        self,
        program: &UpdateProgram,
        max_loss: f64,
        since: Instant,
        learning: &mut Learning<'_>,
    ) -> Result<Instant, DeviceError> {
        let seen = self.seen.wait()?;
        let now = Instant::now();
        let seconds = (now - since).as_secs_f64();
        for slot in self.slots {
            let Some(tally) = &mut learning.tallies[slot] else { continue };
            tally.add_seconds(program.phase(), seconds);
            let outcome = program.kind.tell(&seen, slot, max_loss, tally);
            learning.note(slot, outcome);
        }
        Ok(now)
    }
}
