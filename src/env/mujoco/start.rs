//! Where episodes begin, and what is odd about it.

use mujoco_rs::wrappers::{MjModel, MjtJoint, MjtObjBase};

use super::healthy::Healthy;
use super::names::{name_of, named, names};
use super::simulation::Simulation;
use super::task_file::{Reset, Source, StatePart};
use crate::env::EnvironmentError;

/// Most physics steps that are tried before training: they must not take long.
const MOST_SUBSTEPS: usize = 100;

/// The model's initial state or a keyframe, and noise on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct StartState {
    /// Index of the keyframe.
    pub keyframe: Option<usize>,
    /// Half-width of the uniform noise on positions.
    pub qpos_uniform: f64,
    /// Half-width of the uniform noise on velocities.
    pub qvel_uniform: f64,
    /// Standard deviation of the normal noise on velocities.
    pub qvel_normal: f64,
}

impl StartState {
    /// Resolves what is written against the model.
    pub fn resolve(
        source: Source,
        written: &Reset,
        model: &MjModel,
    ) -> Result<Self, EnvironmentError> {
        let keyframe = match &written.keyframe {
            None => None,
            Some(name) => {
                let found =
                    named(model, MjtObjBase::mjOBJ_KEY, name.get_ref()).map_err(|hint| {
                        let message = format!(
                            "the model has no keyframe `{}`{hint}; {}",
                            name.get_ref(),
                            keyframes(model)
                        );
                        source.error(name.span().start, &message)
                    })?;
                Some(found)
            }
        };
        let &Reset { qpos_uniform, qvel_uniform, qvel_normal, .. } = written;
        Ok(Self { keyframe, qpos_uniform, qvel_uniform, qvel_normal })
    }

    /// What is odd about the state that episodes begin in, noise left out: sentences for the user.
    pub fn warnings(
        &self,
        simulation: &mut Simulation,
        healthy: &[Healthy],
        middle: &[f64],
        frame_skip: usize,
    ) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Err(error) = simulation.reset(self.keyframe, |_| ()) {
            return vec![format!("MuJoCo fails in the state that episodes begin in: {error}")];
        }
        if let Some(range) = healthy.iter().find(|range| !range.holds_in(simulation.data())) {
            let (part, at) = match range.part {
                StatePart::Qpos => ("qpos", &simulation.data().qpos()[range.coordinates.clone()]),
                StatePart::Qvel => ("qvel", &simulation.data().qvel()[range.coordinates.clone()]),
            };
            let shown: Vec<String> = at.iter().take(6).map(|x| format!("{x}")).collect();
            warnings.push(format!(
                "episodes begin outside their own [[healthy]] range of {part} {} to {} (it is {} there), so that each lasts a \
                 single step; {}",
                range.coordinates.start,
                range.coordinates.end,
                shown.join(", "),
                keyframes(simulation.model())
            ));
        }
        if let Some(joint) = joint_outside(simulation) {
            warnings
                .push(format!("episodes begin with {joint}; {}", keyframes(simulation.model())));
        }
        match simulation.step(middle, frame_skip.min(MOST_SUBSTEPS)) {
            Ok(outcome) if outcome.is_regular() => {}
            Ok(_) => warnings.push(
                "the physics becomes unstable in the very first step, with controls in the middle of their ranges: look for a \
                 timestep that is too long, forces that are too strong, or numbers in the model that are not finite"
                    .to_owned(),
            ),
            Err(error) => warnings.push(format!("MuJoCo fails in the very first step: {error}")),
        }
        warnings
    }
}

/// What the task file could say instead of the model's initial state.
fn keyframes(model: &MjModel) -> String {
    let known: Vec<String> =
        names(model, MjtObjBase::mjOBJ_KEY).take(20).map(|(_, name)| format!("`{name}`")).collect();
    if known.is_empty() {
        "the model has no named keyframes; a <keyframe> with a <key name=\"home\" qpos=\"…\"/> would be one, for \
         `[reset] keyframe = \"home\"`"
            .to_owned()
    } else {
        format!("the model's keyframes, for `[reset] keyframe`, are {}", known.join(", "))
    }
}

/// A hinge or slide that stands well outside its own range: "joint `knee` at 0, outside its range of -2.6 to -0.9".
fn joint_outside(simulation: &Simulation) -> Option<String> {
    let model = simulation.model();
    let positions = simulation.data().qpos();
    let joints = model.jnt_type().iter().zip(model.jnt_limited()).zip(model.jnt_range());
    for (id, (((kind, &limited), &[low, high]), &address)) in
        joints.zip(model.jnt_qposadr()).enumerate()
    {
        let scalar = matches!(kind, MjtJoint::mjJNT_HINGE | MjtJoint::mjJNT_SLIDE);
        let at = positions[address as usize];
        // A limit is soft: standing a hair outside is no oddity.
        let slack = 0.01 * (high - low);
        if scalar && limited && !(low - slack..=high + slack).contains(&at) {
            let name = name_of(model, MjtObjBase::mjOBJ_JOINT, id)
                .map_or_else(|| format!("joint {id}"), |name| format!("joint `{name}`"));
            return Some(format!("{name} at {at:.3}, outside its range of {low:.3} to {high:.3}"));
        }
    }
    None
}
