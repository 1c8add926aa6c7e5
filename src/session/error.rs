//! Why a run cannot be started, resumed or gone on with.

use std::path::PathBuf;

use crate::env::EnvironmentError;
use crate::env::robot::RobotError;
use crate::run::checkpoint::CheckpointError;
use crate::run::directory::DirectoryError;
use crate::run::metrics::MetricsError;
use crate::run::storage::StorageError;
use crate::train::{LockstepError, TrainError};

use crate::run::text::thousands;

/// Why a run cannot be started, resumed or gone on with.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Its folder cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// Its robot cannot be kept or found.
    #[error(transparent)]
    Robot(#[from] RobotError),
    /// A file cannot be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Its metrics cannot be used.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// No state can be loaded.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Training failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Runs cannot be trained together on a device.
    #[error(transparent)]
    Lockstep(#[from] LockstepError),
    /// It was not trained since another run of its group could not be.
    #[error("another run of the group could not begin: {0}")]
    Together(String),
    /// A device failed, and with it all runs on it.
    #[error("{0}")]
    Device(String),
    /// A saved state does not fit the run that it lies in.
    #[error("{} cannot be used", path.display())]
    Unusable {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<TrainError>,
    },
    /// A saved state is of another step than it says.
    #[error("{} cannot be used: it holds the state of step {found}", path.display())]
    OtherStep {
        /// The checkpoint.
        path: PathBuf,
        /// The step of the state in it.
        found: u64,
    },
    /// A checkpoint does not say what it was made with.
    #[error("{} holds no readable configuration: {message}", path.display())]
    NoConfiguration {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// Settings that make a run what it is have changed.
    #[error(
        "config.toml has changed since {} was saved: {difference}; change it back, or start a run of its own with \
         `ddppo train`",
        path.display()
    )]
    ConfigurationChanged {
        /// The checkpoint.
        path: PathBuf,
        /// The first setting that differs, and how many more.
        difference: String,
    },
    /// The run in the folder is another than the one asked for.
    #[error("{} holds a run with other settings: {difference}; choose another folder for this one", path.display())]
    OtherRun {
        /// The folder.
        path: PathBuf,
        /// The first setting that differs, and how many more.
        difference: String,
    },
    /// The run in the folder is of another robot than the one asked for.
    #[error("{} holds a run of another robot: {difference}; choose another folder for this one", path.display())]
    OtherRobot {
        /// The folder.
        path: PathBuf,
        /// What its robot has other.
        difference: String,
    },
    /// Fewer steps are asked for than are done.
    #[error("--steps {asked} lies behind the run, which has done {done} steps already")]
    Behind {
        /// Steps asked for.
        asked: u64,
        /// Steps done.
        done: u64,
    },
    /// States were saved, and are gone.
    #[error(
        "{} has no checkpoint, though the run had saved: {evidence}; put its checkpoints back, or start a run of its own \
         with `ddppo train`",
        path.display()
    )]
    CheckpointsLost {
        /// The folder where they should be.
        path: PathBuf,
        /// How that is known.
        evidence: String,
    },
    /// A robot was being kept when the start was killed.
    #[error("the robot in {} is not whole: start the run again with `ddppo train`", path.display())]
    RobotNotWhole {
        /// Its folder.
        path: PathBuf,
    },
    /// The run is of an environment that another program has.
    #[error(
        "{} was trained in an environment of another program: go on from there, as by `ddppo.Run(\"{}\", environment=…)` in Python",
        path.display(), path.display()
    )]
    OtherProgram {
        /// The run's folder.
        path: PathBuf,
    },
    /// The run asks for far more memory than there is.
    #[error("{who} about {needed} of memory, and this machine can give {available}: {advice}")]
    Memory {
        /// "the run needs" or "the runs need".
        who: String,
        /// Memory needed, in words.
        needed: String,
        /// Memory that can be had, in words.
        available: String,
        /// Which settings would help.
        advice: String,
    },
    /// The worker threads cannot be started.
    #[error("the worker threads cannot be started: {0}")]
    Threads(String),
    /// A run that was under way could not go on.
    #[error("stopped at step {}{}{}", thousands(*step), saved_in_words(*saved, root), metrics_in_words(metrics))]
    Stopped {
        /// Environment steps done.
        step: u64,
        /// Step of the newest checkpoint that is whole.
        saved: Option<u64>,
        /// The run's folder, as the user would type it.
        root: String,
        /// The last metrics that were finite, where numbers broke.
        metrics: Option<String>,
        /// Why.
        source: Box<SessionError>,
    },
}

fn saved_in_words(saved: Option<u64>, root: &str) -> String {
    match saved {
        Some(saved) => format!(
            "; the checkpoint of step {} is whole, and `ddppo resume {root}` goes on from there",
            thousands(saved)
        ),
        None => ", without a checkpoint to go on from".to_owned(),
    }
}

fn metrics_in_words(metrics: &Option<String>) -> String {
    metrics.as_ref().map(|metrics| format!(": {metrics}")).unwrap_or_default()
}

impl From<EnvironmentError> for SessionError {
    fn from(error: EnvironmentError) -> Self {
        Self::Robot(error.into())
    }
}
