//! The tasks that come with the program.

use std::sync::Arc;

use super::analytic::{AnalyticTask, Pendulum, PointMass};
use super::mujoco::MujocoTask;
use super::{EnvironmentError, Task};
use crate::config::suggest::hint;

/// An MJCF model and a description, compiled in under their file names.
macro_rules! asset {
    ($name:literal) => {
        (
            (concat!($name, ".xml"), include_str!(concat!("mujoco/assets/", $name, ".xml"))),
            (concat!($name, ".toml"), include_str!(concat!("mujoco/assets/", $name, ".toml"))),
        )
    };
}

type Asset = ((&'static str, &'static str), (&'static str, &'static str));

/// The MuJoCo tasks, in the order of the paper's table.
const MUJOCO: [(&str, Asset); 6] = [
    ("InvertedPendulum", asset!("inverted_pendulum")),
    ("Hopper", asset!("hopper")),
    ("Walker2d", asset!("walker2d")),
    ("HalfCheetah", asset!("half_cheetah")),
    ("AntTruncatedObs", asset!("ant")),
    ("HumanoidTruncatedObs", asset!("humanoid")),
];

/// Names of the built-in tasks.
pub fn names() -> Vec<&'static str> {
    MUJOCO.iter().map(|(name, _)| *name).chain(["PointMass", "Pendulum"]).collect()
}

/// The built-in task `name`.
///
/// # Errors
/// [`EnvironmentError::UnknownTask`], with the nearest name, if there is none.
pub fn task(name: &str) -> Result<Arc<dyn Task>, EnvironmentError> {
    if let Some((_, (mjcf, description))) = MUJOCO.iter().find(|(known, _)| *known == name) {
        return Ok(Arc::new(MujocoTask::built_in(*mjcf, *description)?));
    }
    match name {
        "PointMass" => Ok(Arc::new(AnalyticTask::<4, 2, PointMass>::default())),
        "Pendulum" => Ok(Arc::new(AnalyticTask::<2, 1, Pendulum>::default())),
        _ => Err(EnvironmentError::UnknownTask {
            name: name.to_owned(),
            hint: hint(name, names()),
            known: names().join(", "),
        }),
    }
}

/// The MJCF text and the task file of a built-in MuJoCo task, to start a robot of one's own from.
pub fn files(name: &str) -> Option<(&'static str, &'static str)> {
    MUJOCO
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, ((_, mjcf), (_, description)))| (*mjcf, *description))
}
