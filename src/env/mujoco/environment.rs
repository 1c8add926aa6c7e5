//! A running MuJoCo environment: what happens at a reset and at a step.

use std::sync::Arc;

use super::definition::Definition;
use super::drawing;
use super::reward::Weighted;
use super::simulation::{Simulation, Stability};
use super::task_file::StatePart;
use crate::env::{Environment, EnvironmentError, Frame, Step};
use crate::rng::Rng;

/// One simulation of a task's model, with what the reward remembers of the last step.
pub(crate) struct MujocoEnvironment {
    definition: Arc<Definition>,
    simulation: Simulation,
    /// The positions from which the velocity terms of the reward measure the next step, in the order of the terms.
    anchors: Vec<f64>,
    warning: Option<String>,
}

impl MujocoEnvironment {
    /// Allocates the simulation.
    pub fn new(definition: Arc<Definition>) -> Result<Self, EnvironmentError> {
        let simulation =
            Simulation::new(&definition.model).map_err(|error| definition.failure(&error))?;
        let mut environment = Self { definition, simulation, anchors: Vec::new(), warning: None };
        environment.anchors = environment.places().collect();
        Ok(environment)
    }

    fn observe(&self, observation: &mut [f64]) {
        let data = self.simulation.data();
        let mut rest = observation;
        for shown in &self.definition.observation {
            let values = match shown.part {
                StatePart::Qpos => &data.qpos()[shown.coordinates.clone()],
                StatePart::Qvel => &data.qvel()[shown.coordinates.clone()],
            };
            let (here, after) = rest.split_at_mut(values.len());
            here.copy_from_slice(values);
            if let Some(clip) = shown.clip {
                here.iter_mut().for_each(|x| *x = x.clamp(-clip, clip));
            }
            rest = after;
        }
    }

    /// The positions that the velocity terms look at, now.
    fn places(&self) -> impl Iterator<Item = f64> {
        self.definition.reward.iter().filter_map(|weighted| weighted.term.anchor(&self.simulation))
    }

    /// Reward of the step just taken; moves the anchors.
    fn reward(&mut self, action: &[f64]) -> f64 {
        let mut anchors = self.anchors.iter_mut();
        let mut reward = 0.0;
        for Weighted { term, weight, .. } in &self.definition.reward {
            let value = match term.anchor(&self.simulation) {
                Some(now) => {
                    let before = anchors.next().expect("one anchor for each velocity term");
                    (now - std::mem::replace(before, now)) / self.definition.duration
                }
                None => term.value(&self.simulation, action),
            };
            reward += weight * value;
        }
        reward
    }

    fn healthy(&self) -> bool {
        let data = self.simulation.data();
        self.definition.healthy.iter().all(|range| range.holds_in(data))
    }
}

impl Environment for MujocoEnvironment {
    fn reset(&mut self, rng: &mut Rng, observation: &mut [f64]) {
        let noise = self.definition.start;
        // The simulation keeps what goes wrong, and the first step returns it.
        let _ = self.simulation.reset(noise.keyframe, |data| {
            for x in data.qpos_mut() {
                *x += rng.uniform_in(-noise.qpos_uniform, noise.qpos_uniform);
            }
            for x in data.qvel_mut() {
                *x += rng.uniform_in(-noise.qvel_uniform, noise.qvel_uniform)
                    + noise.qvel_normal * rng.normal();
            }
        });
        let mut anchors = std::mem::take(&mut self.anchors);
        anchors.clear();
        anchors.extend(self.places());
        self.anchors = anchors;
        self.observe(observation);
    }

    fn step(&mut self, action: &[f64], observation: &mut [f64]) -> Result<Step, EnvironmentError> {
        // Stays in place if the step turns out unstable, when there is no meaningful state to show.
        self.observe(observation);
        let time = self.simulation.data().time() - self.definition.start_time();
        let outcome = self
            .simulation
            .step(action, self.definition.frame_skip)
            .map_err(|error| self.definition.failure(&error))?;
        if outcome == Stability::Unstable {
            self.warning = Some(format!(
                "task {}: the physics became unstable at step {:.0} of the episode, which was ended",
                self.definition.name,
                time / self.definition.duration + 1.0,
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
                task: self.definition.name.clone(),
                found: state.len(),
                expected,
            });
        }
        self.simulation
            .set_state(&state[..physics])
            .map_err(|error| self.definition.failure(&error))?;
        self.anchors.copy_from_slice(&state[physics..]);
        Ok(())
    }

    fn displace(&mut self, displacement: &[f64]) -> Result<(), EnvironmentError> {
        self.simulation.place(|_| ());
        let before: Vec<f64> = self.places().collect();
        let definition = &self.definition;
        self.simulation.place(|data| {
            let quaternion = |start: usize| start..start + 4;
            let starts = &definition.quaternion_positions;
            let lengths: Vec<f64> =
                starts.iter().map(|&start| norm(&data.qpos()[quaternion(start)])).collect();
            let mut rest = displacement;
            for shown in &definition.observation {
                let (here, after) = rest.split_at(shown.coordinates.len());
                let values = match shown.part {
                    StatePart::Qpos => &mut data.qpos_mut()[shown.coordinates.clone()],
                    StatePart::Qvel => &mut data.qvel_mut()[shown.coordinates.clone()],
                };
                values.iter_mut().zip(here).for_each(|(x, change)| *x += change);
                rest = after;
            }
            for (&start, length) in starts.iter().zip(lengths) {
                let q = &mut data.qpos_mut()[quaternion(start)];
                let scale = length / norm(q);
                q.iter_mut().for_each(|x| *x *= scale);
            }
        });
        // Anchors lag behind the coordinates by a physics step; the lag is held, the displacement is followed.
        let moved: Vec<f64> =
            self.places().zip(before).map(|(after, before)| after - before).collect();
        self.anchors.iter_mut().zip(moved).for_each(|(anchor, change)| *anchor += change);
        Ok(())
    }

    fn positions(&self) -> Option<(Vec<f64>, Vec<f64>)> {
        let data = self.simulation.data();
        Some((data.qpos().to_vec(), data.qvel().to_vec()))
    }

    fn draw(&self, camera: Option<&str>, picture: &mut Frame) -> Result<(), EnvironmentError> {
        let camera = camera.map(|name| self.definition.camera(name)).transpose()?;
        drawing::draw(&self.simulation, camera, picture);
        Ok(())
    }

    fn take_warning(&mut self) -> Option<String> {
        self.warning.take()
    }
}

fn norm(vector: &[f64]) -> f64 {
    vector.iter().map(|x| x * x).sum::<f64>().sqrt()
}
