//! What a task shows of its model: parts of the positions and velocities, in order.

use std::ops::Range;

use mujoco_rs::wrappers::{MjModel, MjtJoint};

use super::task_file::{Source, StatePart, TaskFile};
use crate::env::EnvironmentError;

/// Some of the model's positions or velocities, as shown in the observation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shown {
    pub part: StatePart,
    pub coordinates: Range<usize>,
    pub clip: Option<f64>,
}

/// The coordinates `from..to` of a part, checked against the model.
pub(super) fn coordinates(
    source: Source,
    place: usize,
    (part, from, to): (StatePart, usize, Option<usize>),
    model: &MjModel,
) -> Result<Range<usize>, EnvironmentError> {
    let (count, what) = match part {
        StatePart::Qpos => (model.nq() as usize, "positions"),
        StatePart::Qvel => (model.nv() as usize, "velocities"),
    };
    let to = to.unwrap_or(count);
    if from >= to || to > count {
        let message = format!("`from` {from} to {to} is no range of the model's {count} {what}");
        return Err(source.error(place, &message));
    }
    Ok(from..to)
}

/// The parts of the observation, checked against the model.
pub(super) fn shown(
    source: Source,
    file: &TaskFile,
    model: &MjModel,
) -> Result<Vec<Shown>, EnvironmentError> {
    if file.observation.is_empty() {
        return Err(source.error(0, "the task needs at least one [[observation]]"));
    }
    file.observation
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

/// Where the observation shows the coordinates, if one part of it shows them all.
pub(super) fn observed(
    observation: &[Shown],
    part: StatePart,
    coordinates: &Range<usize>,
) -> Option<Range<usize>> {
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
pub(super) fn quaternions(model: &MjModel, observation: &[Shown]) -> (Vec<usize>, Vec<usize>) {
    let joints = model.jnt_type().iter().zip(model.jnt_qposadr());
    joints
        .filter_map(|(kind, &first)| {
            let start = match kind {
                MjtJoint::mjJNT_FREE => first as usize + 3,
                MjtJoint::mjJNT_BALL => first as usize,
                _ => return None,
            };
            observed(observation, StatePart::Qpos, &(start..start + 4))
                .map(|range| (range.start, start))
        })
        .unzip()
}
