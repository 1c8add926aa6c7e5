//! Why a run's robot cannot be kept or found.

use crate::env::EnvironmentError;
use crate::run::storage::StorageError;

/// A run's robot that cannot be kept or found.
#[derive(Debug, thiserror::Error)]
pub enum RobotError {
    /// The files make no task, or there is no such task.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// A file operation failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A file is not as it was at the run's start.
    #[error(
        "the robot of {run} has changed since the run was started: {file} {how}; \
         for a changed robot, start a run of its own with `ddppo train`"
    )]
    Changed {
        /// The run's folder.
        run: String,
        /// Which file.
        file: String,
        /// "has another content", "cannot be read: …".
        how: String,
    },
    /// What a run says of its robot cannot be used.
    #[error("{file} does not say what the robot of the run is: {message}")]
    Origin {
        /// The file.
        file: String,
        /// What is wrong with it.
        message: String,
    },
    /// A run from before runs kept all files of their robots.
    #[error(
        "{run} was started by an older ddppo, which left the robot's model outside of the run: start a run with it again, by \
         `ddppo train --mjcf {model} --task {run}/robot/task.toml`"
    )]
    Outside {
        /// The run's folder.
        run: String,
        /// Where the model was.
        model: String,
    },
}
