//! A MuJoCo task: an MJCF model and a TOML description of what is seen, rewarded and survived.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use mujoco_rs::wrappers::MjModel;

use super::description::{Description, Part, ResetNoise, Source};
use super::healthy::Healthy;
use super::reward::Weighted;
use super::simulation::{Outcome, Simulation};
use super::{Environment, EnvironmentError, Step, Task};
use crate::rng::Rng;

/// Some of the model's positions or velocities, as shown in the observation.
#[derive(Clone, Debug, PartialEq)]
struct Shown {
    part: Part,
    coordinates: Range<usize>,
    clip: Option<f64>,
}

/// A task made of an MJCF file and a task file. The six built-in MuJoCo tasks are such pairs too.
#[derive(Clone, Debug)]
pub struct MujocoTask {
    shared: Arc<Shared>,
}

/// What all environments of a task read.
#[derive(Debug)]
struct Shared {
    name: String,
    model: Arc<MjModel>,
    frame_skip: usize,
    /// Seconds that one environment step lasts.
    duration: f64,
    time_limit: usize,
    observation: Vec<Shown>,
    observation_dim: usize,
    reward: Vec<Weighted>,
    healthy: Vec<Healthy>,
    noise: ResetNoise,
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
        let model = super::simulation::load_file(mjcf).map_err(|error| {
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
        let model = super::simulation::load_text(mjcf)
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
        let reward = description
            .reward
            .iter()
            .map(|written| Weighted::resolve(source, written, &model))
            .collect::<Result<Vec<_>, _>>()?;
        let healthy = healthy(source, &description, &model, &observation)?;
        // `parse` has checked that both are at least 1.
        let frame_skip = *description.frame_skip.get_ref() as usize;
        let time_limit = *description.time_limit.get_ref() as usize;
        Ok(Self {
            shared: Arc::new(Shared {
                name: description.name,
                duration: model.opt().timestep * frame_skip as f64,
                frame_skip,
                time_limit,
                observation_dim: observation.iter().map(|shown| shown.coordinates.len()).sum(),
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

    fn make(&self) -> Result<Box<dyn Environment>, EnvironmentError> {
        let simulation =
            Simulation::new(&self.shared.model).map_err(|error| self.shared.failure(&error))?;
        let anchors =
            self.shared.reward.iter().filter_map(|term| term.term.anchor(&simulation)).collect();
        Ok(Box::new(MujocoEnvironment {
            shared: Arc::clone(&self.shared),
            simulation,
            anchors,
            warning: None,
        }))
    }
}

impl Shared {
    fn failure(&self, error: &str) -> EnvironmentError {
        EnvironmentError::Physics(format!("task {}: MuJoCo failed: {error}", self.name))
    }
}

/// A running MuJoCo world.
struct MujocoEnvironment {
    shared: Arc<Shared>,
    simulation: Simulation,
    /// The positions from which the velocity terms of the reward measure the next step, in the order of the terms.
    anchors: Vec<f64>,
    warning: Option<String>,
}

impl MujocoEnvironment {
    fn observe(&self, observation: &mut [f64]) {
        let data = self.simulation.data();
        let mut rest = observation;
        for shown in &self.shared.observation {
            let values = match shown.part {
                Part::Qpos => &data.qpos()[shown.coordinates.clone()],
                Part::Qvel => &data.qvel()[shown.coordinates.clone()],
            };
            let (here, after) = rest.split_at_mut(values.len());
            here.copy_from_slice(values);
            if let Some(clip) = shown.clip {
                here.iter_mut().for_each(|x| *x = x.clamp(-clip, clip));
            }
            rest = after;
        }
    }

    /// Reward of the step just taken; moves the anchors.
    fn reward(&mut self, action: &[f64]) -> f64 {
        let mut anchors = self.anchors.iter_mut();
        let mut reward = 0.0;
        for Weighted { term, weight, .. } in &self.shared.reward {
            let value = match term.anchor(&self.simulation) {
                Some(now) => {
                    let before = anchors.next().expect("one anchor for each velocity term");
                    (now - std::mem::replace(before, now)) / self.shared.duration
                }
                None => term.value(&self.simulation, action),
            };
            reward += weight * value;
        }
        reward
    }

    fn move_anchors(&mut self) {
        let places =
            self.shared.reward.iter().filter_map(|term| term.term.anchor(&self.simulation));
        for (anchor, place) in self.anchors.iter_mut().zip(places) {
            *anchor = place;
        }
    }

    fn healthy(&self) -> bool {
        let data = self.simulation.data();
        self.shared.healthy.iter().all(|range| {
            let values = match range.part {
                Part::Qpos => data.qpos(),
                Part::Qvel => data.qvel(),
            };
            range.holds(&values[range.coordinates.clone()])
        })
    }
}

impl Environment for MujocoEnvironment {
    fn reset(&mut self, rng: &mut Rng, observation: &mut [f64]) {
        let noise = self.shared.noise;
        let placed = self.simulation.reset(|data| {
            for x in data.qpos_mut() {
                *x += rng.uniform_in(-noise.qpos_uniform, noise.qpos_uniform);
            }
            for x in data.qvel_mut() {
                *x += rng.uniform_in(-noise.qvel_uniform, noise.qvel_uniform)
                    + noise.qvel_normal * rng.normal();
            }
        });
        // An error here leaves the simulation marked as failed, and the first step returns it.
        if let Err(error) = placed {
            self.warning =
                Some(format!("task {}: MuJoCo failed at the reset: {error}", self.shared.name));
        }
        self.move_anchors();
        self.observe(observation);
    }

    fn step(&mut self, action: &[f64], observation: &mut [f64]) -> Result<Step, EnvironmentError> {
        // Stays in place if the step turns out unstable, when there is no meaningful state to show.
        self.observe(observation);
        let time = self.simulation.data().time();
        let outcome = self
            .simulation
            .step(action, self.shared.frame_skip)
            .map_err(|error| self.shared.failure(&error))?;
        if outcome == Outcome::Unstable {
            self.warning = Some(format!(
                "task {}: the physics became unstable at step {:.0} of the episode, which was ended",
                self.shared.name,
                time / self.shared.duration + 1.0,
            ));
            return Ok(Step { reward: 0.0, terminated: true });
        }
        let reward = self.reward(action);
        self.observe(observation);
        Ok(Step { reward, terminated: !self.healthy() })
    }

    fn state(&self) -> Vec<f64> {
        let mut state = vec![0.0; self.simulation.state_len()];
        self.simulation.read_state(&mut state);
        state.extend(&self.anchors);
        state
    }

    fn set_state(&mut self, state: &[f64]) -> Result<(), EnvironmentError> {
        let physics = self.simulation.state_len();
        let expected = physics + self.anchors.len();
        if state.len() != expected {
            return Err(EnvironmentError::State {
                task: self.shared.name.clone(),
                found: state.len(),
                expected,
            });
        }
        self.simulation
            .set_state(&state[..physics])
            .map_err(|error| self.shared.failure(&error))?;
        self.anchors.copy_from_slice(&state[physics..]);
        Ok(())
    }

    fn positions(&self) -> Option<(Vec<f64>, Vec<f64>)> {
        let data = self.simulation.data();
        Some((data.qpos().to_vec(), data.qvel().to_vec()))
    }

    fn take_warning(&mut self) -> Option<String> {
        self.warning.take()
    }
}
