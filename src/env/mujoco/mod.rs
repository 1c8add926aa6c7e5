//! A MuJoCo task: an MJCF model and a TOML description of what is seen, rewarded and survived.

mod description;
mod healthy;
pub mod picture;
mod reward;
mod simulation;
mod world;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use mujoco_rs::wrappers::{MjModel, MjtJoint};

use self::description::{Description, Part, ResetNoise, Source};
use self::healthy::Healthy;
use self::reward::Weighted;
use self::world::MujocoWorld;
use crate::env::{Environment, EnvironmentError, Task};

/// Some of the model's positions or velocities, as shown in the observation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shown {
    pub part: Part,
    pub coordinates: Range<usize>,
    pub clip: Option<f64>,
}

/// A task made of an MJCF file and a task file. The six built-in MuJoCo tasks are such pairs too.
#[derive(Clone, Debug)]
pub struct MujocoTask {
    shared: Arc<Shared>,
}

/// What all worlds of a task read.
#[derive(Debug)]
pub(crate) struct Shared {
    pub name: String,
    pub model: Arc<MjModel>,
    /// Physics steps for one step of the world.
    pub frame_skip: usize,
    /// Seconds that one step of the world lasts.
    pub duration: f64,
    time_limit: usize,
    pub observation: Vec<Shown>,
    observation_dim: usize,
    /// Where quaternions start in the observation, and where in the positions.
    quaternions: Vec<usize>,
    pub quaternion_positions: Vec<usize>,
    pub reward: Vec<Weighted>,
    pub healthy: Vec<Healthy>,
    pub noise: ResetNoise,
    low: Vec<f64>,
    high: Vec<f64>,
}

impl MujocoTask {
    /// Loads the model and the description from files.
    ///
    /// # Errors
    /// One sentence that names the file, and line and key where they are known: a missing or malformed file, a name that
    /// the model does not have, a model that cannot be acted on.
    pub fn from_files(mjcf: &Path, task: &Path) -> Result<Self, EnvironmentError> {
        let read = |path: &Path| {
            std::fs::read_to_string(path).map_err(|error| {
                EnvironmentError::Description(format!("{} cannot be read: {error}", path.display()))
            })
        };
        let text = read(task)?;
        read(mjcf)?;
        let model = simulation::load_file(mjcf).map_err(|error| {
            EnvironmentError::Description(format!("{}: {error}", mjcf.display()))
        })?;
        Self::build(
            model,
            &mjcf.display().to_string(),
            Source { file: &task.display().to_string(), text: &text },
        )
    }

    /// Loads the model and the description from texts; the names are those used in messages.
    ///
    /// # Errors
    /// As [`MujocoTask::from_files`].
    pub fn from_texts(
        (mjcf_name, mjcf): (&str, &str),
        (task_name, task): (&str, &str),
    ) -> Result<Self, EnvironmentError> {
        let model = simulation::load_text(mjcf)
            .map_err(|error| EnvironmentError::Description(format!("{mjcf_name}: {error}")))?;
        Self::build(model, mjcf_name, Source { file: task_name, text: task })
    }

    fn build(
        model: Arc<MjModel>,
        model_name: &str,
        source: Source,
    ) -> Result<Self, EnvironmentError> {
        let description = source.parse()?;
        let (low, high) = control_limits(&model, model_name)?;
        let observation = shown(source, &description, &model)?;
        if description.reward.is_empty() {
            return Err(source.error(0, "the task needs at least one [[reward]]"));
        }
        let reward = description
            .reward
            .iter()
            .map(|written| Weighted::resolve(source, written, &model))
            .collect::<Result<Vec<_>, _>>()?;
        let healthy = healthy(source, &description, &model, &observation)?;
        let (quaternions, quaternion_positions) = quaternions(&model, &observation);
        // `parse` has checked that both are at least 1.
        let frame_skip = *description.frame_skip.get_ref() as usize;
        let time_limit = *description.time_limit.get_ref() as usize;
        Ok(Self {
            shared: Arc::new(Shared {
                name: description.name.into_inner(),
                duration: model.opt().timestep * frame_skip as f64,
                frame_skip,
                time_limit,
                observation_dim: observation.iter().map(|shown| shown.coordinates.len()).sum(),
                quaternions,
                quaternion_positions,
                observation,
                reward,
                healthy,
                noise: description.reset,
                low,
                high,
                model,
            }),
        })
    }

    /// The compiled model.
    pub fn model(&self) -> &MjModel {
        &self.shared.model
    }

    /// The compiled model in MuJoCo's binary form.
    pub(crate) fn compiled(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.shared.model.size()];
        self.shared.model.save_to_buffer(&mut bytes).expect("the buffer is as long as MuJoCo says");
        bytes
    }
}

/// Lowest and highest control of every actuator.
fn control_limits(model: &MjModel, name: &str) -> Result<(Vec<f64>, Vec<f64>), EnvironmentError> {
    let fail = |message: String| Err(EnvironmentError::Description(format!("{name}: {message}")));
    if model.nu() == 0 {
        return fail("the model has no actuators, so there is nothing to act with".to_owned());
    }
    if let Some(unlimited) = model.actuator_ctrllimited().iter().position(|limited| !limited) {
        return fail(format!(
            "actuator {unlimited} has no ctrlrange, so its actions have no bounds"
        ));
    }
    Ok(model.actuator_ctrlrange().iter().map(|&[low, high]| (low, high)).unzip())
}

/// The coordinates `from..to` of a part, checked against the model.
fn coordinates(
    source: Source,
    place: usize,
    (part, from, to): (Part, usize, Option<usize>),
    model: &MjModel,
) -> Result<Range<usize>, EnvironmentError> {
    let (count, what) = match part {
        Part::Qpos => (model.nq() as usize, "positions"),
        Part::Qvel => (model.nv() as usize, "velocities"),
    };
    let to = to.unwrap_or(count);
    if from >= to || to > count {
        let message = format!("`from` {from} to {to} is no range of the model's {count} {what}");
        return Err(source.error(place, &message));
    }
    Ok(from..to)
}

fn shown(
    source: Source,
    description: &Description,
    model: &MjModel,
) -> Result<Vec<Shown>, EnvironmentError> {
    if description.observation.is_empty() {
        return Err(source.error(0, "the task needs at least one [[observation]]"));
    }
    description
        .observation
        .iter()
        .map(|written| {
            let (raw, place) = (written.get_ref(), written.span().start);
            if raw.clip.is_some_and(|clip| clip.is_nan() || clip <= 0.0) {
                return Err(source.error(place, "`clip` must be more than 0"));
            }
            let coordinates = coordinates(source, place, (raw.part, raw.from, raw.to), model)?;
            Ok(Shown { part: raw.part, coordinates, clip: raw.clip })
        })
        .collect()
}

fn healthy(
    source: Source,
    description: &Description,
    model: &MjModel,
    observation: &[Shown],
) -> Result<Vec<Healthy>, EnvironmentError> {
    description
        .healthy
        .iter()
        .map(|written| {
            let (raw, place) = (written.get_ref(), written.span().start);
            let coordinates = coordinates(source, place, (raw.part, raw.from, raw.to), model)?;
            let observed = observed(observation, raw.part, &coordinates).ok_or_else(|| {
                source.error(
                    place,
                    "a healthy range must lie within one [[observation]], so that a learned model can end an episode too",
                )
            })?;
            Healthy::new(source, written, coordinates, observed)
        })
        .collect()
}

/// Where the observation shows the coordinates, if one part of it shows them all.
fn observed(observation: &[Shown], part: Part, coordinates: &Range<usize>) -> Option<Range<usize>> {
    let mut start = 0;
    for shown in observation {
        let inside = shown.coordinates.start <= coordinates.start
            && coordinates.end <= shown.coordinates.end;
        if shown.part == part && inside {
            let first = start + coordinates.start - shown.coordinates.start;
            return Some(first..first + coordinates.len());
        }
        start += shown.coordinates.len();
    }
    None
}

/// Where quaternions of free and ball joints start, in the observation and in the positions, as far as the observation
/// shows them whole.
fn quaternions(model: &MjModel, observation: &[Shown]) -> (Vec<usize>, Vec<usize>) {
    let joints = model.jnt_type().iter().zip(model.jnt_qposadr());
    joints
        .filter_map(|(kind, &first)| {
            let start = match kind {
                MjtJoint::mjJNT_FREE => first as usize + 3,
                MjtJoint::mjJNT_BALL => first as usize,
                _ => return None,
            };
            observed(observation, Part::Qpos, &(start..start + 4)).map(|range| (range.start, start))
        })
        .unzip()
}

impl Task for MujocoTask {
    fn name(&self) -> &str {
        &self.shared.name
    }

    fn observation_dim(&self) -> usize {
        self.shared.observation_dim
    }

    fn action_dim(&self) -> usize {
        self.shared.low.len()
    }

    fn action_low(&self) -> &[f64] {
        &self.shared.low
    }

    fn action_high(&self) -> &[f64] {
        &self.shared.high
    }

    fn time_limit(&self) -> usize {
        self.shared.time_limit
    }

    fn terminated(&self, observation: &[f64]) -> bool {
        let healthy = &self.shared.healthy;
        !healthy.iter().all(|range| range.holds(&observation[range.observed.clone()]))
            || !observation.iter().all(|x| x.is_finite())
    }

    fn reward_summary(&self) -> String {
        let terms =
            self.shared.reward.iter().map(|term| format!("{} × {}", term.weight, term.label));
        terms.collect::<Vec<_>>().join(" + ")
    }

    fn step_seconds(&self) -> Option<f64> {
        Some(self.shared.duration)
    }

    fn quaternions(&self) -> &[usize] {
        &self.shared.quaternions
    }

    fn make(&self) -> Result<Box<dyn Environment>, EnvironmentError> {
        Ok(Box::new(MujocoWorld::new(Arc::clone(&self.shared))?))
    }
}

impl Shared {
    /// A MuJoCo error, with the name of the task.
    pub fn failure(&self, error: &str) -> EnvironmentError {
        EnvironmentError::Physics(format!("task {}: MuJoCo failed: {error}", self.name))
    }
}
