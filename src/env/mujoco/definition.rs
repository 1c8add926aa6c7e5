//! A MuJoCo task resolved: what all its environments read.

use std::sync::Arc;

use mujoco_rs::wrappers::{MjModel, MjtObjBase};

use super::control;
use super::healthy::{Healthy, healthy};
use super::names::{named, names};
use super::observation::{Shown, quaternions, shown};
use super::reward::Weighted;
use super::start::StartState;
use super::task_file::Source;
use crate::env::EnvironmentError;

/// A compiled model, and what a task file says of it, all names resolved to the model's indices.
#[derive(Debug)]
pub(crate) struct Definition {
    pub name: String,
    pub model: Arc<MjModel>,
    /// Physics steps for one step of the environment.
    pub frame_skip: usize,
    /// Seconds that one step of the environment lasts.
    pub duration: f64,
    pub time_limit: usize,
    pub observation: Vec<Shown>,
    pub observation_dim: usize,
    /// Where quaternions start in the observation, and where in the positions.
    pub quaternions: Vec<usize>,
    pub quaternion_positions: Vec<usize>,
    pub reward: Vec<Weighted>,
    pub healthy: Vec<Healthy>,
    pub start: StartState,
    pub low: Vec<f64>,
    pub high: Vec<f64>,
}

impl Definition {
    /// Resolves a task file against a model; `model_name` is the model's in messages.
    pub fn resolve(
        model: Arc<MjModel>,
        model_name: &str,
        source: Source,
    ) -> Result<Self, EnvironmentError> {
        let file = source.parse()?;
        let (low, high) = control::limits(&model, model_name)?;
        let observation = shown(source, &file, &model)?;
        if file.reward.is_empty() {
            return Err(source.error(0, "the task needs at least one [[reward]]"));
        }
        let reward = file
            .reward
            .iter()
            .map(|written| Weighted::resolve(source, written, &model))
            .collect::<Result<Vec<_>, _>>()?;
        let healthy = healthy(source, &file, &model, &observation)?;
        let start = StartState::resolve(source, &file.reset, &model)?;
        let timestep = model.opt().timestep;
        if !(timestep.is_finite() && timestep > 0.0) {
            let message =
                format!("{model_name}: the timestep is {timestep} and must be a number above 0");
            return Err(EnvironmentError::description(&message));
        }
        let (quaternions, quaternion_positions) = quaternions(&model, &observation);
        // `parse` has checked that both are at least 1.
        let frame_skip = *file.frame_skip.get_ref() as usize;
        let time_limit = *file.time_limit.get_ref() as usize;
        Ok(Self {
            name: file.name.into_inner(),
            duration: timestep * frame_skip as f64,
            frame_skip,
            time_limit,
            observation_dim: observation.iter().map(|shown| shown.coordinates.len()).sum(),
            quaternions,
            quaternion_positions,
            observation,
            reward,
            healthy,
            start,
            low,
            high,
            model,
        })
    }

    /// A MuJoCo error, with the name of the task.
    pub fn failure(&self, error: &str) -> EnvironmentError {
        EnvironmentError::Physics(format!("task {}: MuJoCo failed: {error}", self.name))
    }

    /// The simulated time at which episodes begin: a keyframe has one of its own.
    pub fn start_time(&self) -> f64 {
        self.start.keyframe.map_or(0.0, |keyframe| self.model.key_time()[keyframe])
    }

    /// The index of the model's camera of this name.
    pub fn camera(&self, name: &str) -> Result<usize, EnvironmentError> {
        named(&self.model, MjtObjBase::mjOBJ_CAMERA, name).map_err(|hint| {
            let known: Vec<String> = names(&self.model, MjtObjBase::mjOBJ_CAMERA)
                .take(50)
                .map(|(_, name)| name)
                .collect();
            let known = if known.is_empty() {
                "the model names none".to_owned()
            } else {
                format!("the cameras are {}", known.join(", "))
            };
            let task = &self.name;
            EnvironmentError::description(&format!(
                "the model of {task} has no camera `{name}`{hint}; {known}"
            ))
        })
    }
}
