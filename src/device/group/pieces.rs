//! The parts of a group's learning one by one, to be timed: its own programs, on runs that are as in the middle of a training.

use std::time::{Duration, Instant};

use super::ensembles::EnsembleArrays;
use super::fit_job::FitJob;
use super::forward::ForwardProgram;
use super::learning::Learning;
use super::models::GroupModels;
use super::parts::LearnedParts;
use super::readings::Readings;
use super::{DeviceGroup, GroupRun};
use crate::config::Config;
use crate::device::graph::ProductPrecision;
use crate::device::pjrt::{Buffer, Device, DeviceError};
use crate::methods::Method;
use crate::model::GradientData;
use crate::nn::LearnError;
use crate::run::Tally;

/// A part of a group's learning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DevicePiece {
    /// The policies through the models, one minibatch.
    PolicyUpdate,
    /// Critics, targets and temperatures, one minibatch.
    CriticUpdate,
    /// All updates of policy and critic of an environment step.
    StepUpdates,
    /// All members of M^p, one minibatch.
    LikelihoodStep,
    /// All members of M^g, one minibatch with R in the loss, so many directions a row.
    GradientModelStep(usize),
    /// A sampled step of 10 000 rows of each run through a member.
    ModelForward,
    /// Rollouts from `rollout.starts` states of each run into its buffer.
    Rollout,
}

/// What of a piece is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceCourse {
    /// The device's program: its draws lie there.
    Program,
    /// What a training does: the host draws and brings, and what the program saw comes back.
    Training,
}

/// Runs of DDPPO on a device, whose parts are timed.
pub struct DevicePieces {
    pub(super) group: DeviceGroup,
    pub(super) methods: Vec<Box<dyn Method>>,
    forward: Option<ForwardProgram>,
    /// A step after which models are not trained.
    step: u64,
}

/// What making a piece took, or why it could not be made.
pub type PieceTime = Result<Duration, LearnError>;

impl DevicePieces {
    /// Brings runs to a device: they have transitions and trained models.
    ///
    /// # Errors
    /// As [`DeviceGroup::new`].
    pub fn new(
        device: Device,
        config: &Config,
        mut methods: Vec<Box<dyn Method>>,
        precision: ProductPrecision,
    ) -> Result<Self, DeviceError> {
        let mut all: Vec<&mut dyn Method> =
            methods.iter_mut().map(|method| &mut **method).collect();
        let group = DeviceGroup::new(device, config, &mut all, precision)?;
        let due = |step: &u64| group.recipe.due(*step, usize::MAX);
        let steps = group.recipe.experience.warmup_steps + 1..;
        let step = steps.into_iter().find(|step| due(step).updates && !due(step).models);
        let step = step.unwrap_or_default();
        Ok(Self { group, methods, forward: None, step })
    }

    /// The device.
    pub fn device(&self) -> &Device {
        self.group.device()
    }

    /// Updates that a call of a program makes.
    pub fn per_call(&self, piece: DevicePiece) -> usize {
        let program = match piece {
            DevicePiece::PolicyUpdate => &self.group.path,
            DevicePiece::CriticUpdate => &self.group.updates,
            _ => return 1,
        };
        program.as_ref().map_or(1, |program| program.per_call)
    }

    /// Whether a piece can be timed so.
    pub fn has(piece: DevicePiece, course: PieceCourse) -> bool {
        match piece {
            DevicePiece::StepUpdates | DevicePiece::Rollout => course == PieceCourse::Training,
            DevicePiece::ModelForward => course == PieceCourse::Program,
            _ => true,
        }
    }

    /// Makes a piece `times` times and waits for the end; what it took. Programs of updates make whole calls: it is at least so many.
    ///
    /// # Errors
    /// When the device fails; within it, when numbers break.
    pub fn time(
        &mut self,
        piece: DevicePiece,
        course: PieceCourse,
        times: usize,
    ) -> Result<PieceTime, DeviceError> {
        match piece {
            DevicePiece::PolicyUpdate | DevicePiece::CriticUpdate => {
                self.time_updates(piece, course, times)
            }
            DevicePiece::StepUpdates => self.time_steps(times),
            DevicePiece::LikelihoodStep => {
                self.time_trainings(None, course, times).map(|(time, _)| Ok(time))
            }
            DevicePiece::GradientModelStep(m) => {
                self.time_trainings(Some(m), course, times).map(|(time, _)| Ok(time))
            }
            DevicePiece::ModelForward => self.time_forward(times).map(Ok),
            DevicePiece::Rollout => self.time_rollouts(times),
        }
    }

    /// Bytes of the arrays that the group keeps between steps.
    ///
    /// # Errors
    /// When the device cannot say.
    pub fn kept_bytes(&self) -> Result<u64, DeviceError> {
        let learned: u64 =
            self.group.arrays.buffers.iter().map(Buffer::bytes).sum::<Result<_, _>>()?;
        let models = self.group.models.as_ref().map_or(Ok(0), GroupModels::bytes)?;
        Ok(learned + models)
    }

    /// Bytes of the arrays that are there for a training alone: of M^g, with so many directions a row, or of M^p.
    ///
    /// # Errors
    /// When the device fails.
    pub fn training_bytes(&mut self, directions: Option<usize>) -> Result<u64, DeviceError> {
        Ok(self.time_trainings(directions, PieceCourse::Training, 1)?.1)
    }

    /// The updates after so many environment steps.
    fn time_steps(&mut self, times: usize) -> Result<PieceTime, DeviceError> {
        let mut tallies: Vec<Tally> = self.methods.iter().map(|_| Tally::default()).collect();
        let started = Instant::now();
        for _ in 0..times {
            let mut runs: Vec<GroupRun<'_>> = Vec::new();
            for (method, tally) in self.methods.iter_mut().zip(&mut tallies) {
                runs.push(Some((&mut **method, tally)));
            }
            for outcome in self.group.learn(self.step, &mut runs)? {
                if let Err(error) = outcome {
                    return Ok(Err(error));
                }
            }
        }
        Ok(Ok(started.elapsed()))
    }

    /// Sees to it that the programs are compiled and the models are there.
    pub(super) fn ready(&mut self) -> Result<Result<(), LearnError>, DeviceError> {
        if self.group.path.is_some() {
            return Ok(Ok(()));
        }
        Ok(self.time_steps(1)?.map(drop))
    }

    fn time_updates(
        &mut self,
        piece: DevicePiece,
        course: PieceCourse,
        times: usize,
    ) -> Result<PieceTime, DeviceError> {
        if let Err(error) = self.ready()? {
            return Ok(Err(error));
        }
        let DeviceGroup { device, recipe, arrays, updates, path, models, .. } = &mut self.group;
        let of_policy = piece == DevicePiece::PolicyUpdate;
        let Some(program) = (if of_policy { path } else { updates }) else {
            return Err(none_of(piece));
        };
        let models = models.as_ref().map_or(Vec::new(), |models| models.path_arrays());
        let models: &[&Buffer] = if of_policy { &models } else { &[] };
        let mut parts: Vec<Option<LearnedParts<'_>>> = Vec::new();
        for method in &mut self.methods {
            parts.push(LearnedParts::of(&mut **method));
        }
        let calls = times.div_ceil(program.per_call);
        if course == PieceCourse::Training {
            let started = Instant::now();
            let updates = calls * program.per_call;
            let seen = program.run(device, recipe, arrays, models, &mut parts, updates)?;
            Readings::fetch(&seen, arrays.shape.runs(), program.seen())?.wait()?;
            return Ok(Ok(started.elapsed()));
        }
        let (slots, numbers) = (arrays.shape.runs(), program.seen());
        let drawn = program.draw(device, recipe, &mut parts)?;
        let seen = program.call(device, arrays, models, &drawn)?;
        let wait = |seen| Readings::fetch(&[seen], slots, numbers)?.wait().map(drop);
        wait(seen)?;
        let started = Instant::now();
        let mut last = None;
        for _ in 0..calls {
            last = Some(program.call(device, arrays, models, &drawn)?);
        }
        last.map_or(Ok(()), wait)?;
        Ok(Ok(started.elapsed()))
    }

    fn time_trainings(
        &mut self,
        directions: Option<usize>,
        course: PieceCourse,
        times: usize,
    ) -> Result<(Duration, u64), DeviceError> {
        let DeviceGroup { device, recipe, models, .. } = &mut self.group;
        let (Some(models), Some(of_models)) = (models, &recipe.models) else {
            return Err(none_of(DevicePiece::LikelihoodStep));
        };
        let mut trained = Vec::new();
        for method in &mut self.methods {
            let Some(LearnedParts { real, models: Some(parts), .. }) =
                LearnedParts::of(&mut **method)
            else {
                continue;
            };
            let loss = parts.data.map(|data| {
                data.update(real, || unreachable!("no program weighs outputs by value"));
                GradientData::loss(data)
            });
            trained.push(match (parts.gradient, directions, loss) {
                (Some(gradient), Some(directions), Some(mut loss)) => {
                    loss.directions = directions;
                    (gradient, real, Some(loss))
                }
                _ => (parts.prediction, real, None),
            });
        }
        // The group's own stay as they are.
        let slots = models.elites().stack.runs;
        let at = |slot: usize| &trained.get(slot).unwrap_or(&trained[0]).0.model;
        let ensembles = EnsembleArrays::upload(device, slots, at)?;
        let mut jobs = Vec::new();
        for (learned, real, loss) in trained {
            let (model, stream) = learned.training_mut();
            jobs.push(FitJob::begin(model, stream, real, loss, &of_models.config));
        }
        let drawn = course == PieceCourse::Training;
        models.fitting.time_steps(device, ensembles, jobs, times, drawn)
    }

    fn time_rollouts(&mut self, times: usize) -> Result<PieceTime, DeviceError> {
        let DeviceGroup { device, precision, arrays, models, .. } = &mut self.group;
        let Some(models) = models else { return Err(none_of(DevicePiece::Rollout)) };
        let mut tallies: Vec<Tally> = self.methods.iter().map(|_| Tally::default()).collect();
        let mut learning =
            Learning { parts: Vec::new(), tallies: Vec::new(), outcomes: Vec::new() };
        for (method, tally) in self.methods.iter_mut().zip(&mut tallies) {
            learning.parts.push(LearnedParts::of(&mut **method));
            learning.tallies.push(Some(tally));
            learning.outcomes.push(Ok(()));
        }
        if !models.has_elites() {
            models.choose_elites((&*device, *precision), &learning.parts)?;
        }
        let trained = vec![true; learning.parts.len()];
        let started = Instant::now();
        for _ in 0..times {
            models.roll_out((device, *precision), arrays, self.step, &trained, &mut learning)?;
        }
        let elapsed = started.elapsed();
        let failed = learning.outcomes.into_iter().find_map(Result::err);
        Ok(failed.map_or(Ok(elapsed), Err))
    }

    fn time_forward(&mut self, times: usize) -> Result<Duration, DeviceError> {
        let DeviceGroup { device, precision, models, .. } = &self.group;
        let Some(models) = models else { return Err(none_of(DevicePiece::ModelForward)) };
        let program = match &mut self.forward {
            Some(program) => program,
            None => {
                self.forward.insert(ForwardProgram::compile(device, models.elites(), *precision)?)
            }
        };
        program.run(1)?;
        let started = Instant::now();
        program.run(times)?;
        Ok(started.elapsed())
    }
}

fn none_of(piece: DevicePiece) -> DeviceError {
    DeviceError::Unsupported(format!("these runs have no {piece:?} to be timed"))
}
