//! A robot of one's own: a model and a task file, and how a run that was started with them finds them again.
//!
//! A run keeps copies of both in its folder, with everything that the model refers to, and a checksum of each file: it can be
//! moved, copied and sent, and never goes on with a robot that is not its own (docs/decisions/051-a-run-keeps-its-robot.md).

mod error;
mod kept;

use std::path::Path;
use std::sync::Arc;

use super::mujoco::{ModelFiles, task_text};
use super::{EnvironmentError, MujocoTask, Task};
use crate::run::storage::StorageError;

pub use error::RobotError;
pub use kept::{identity, task_of_run};

/// What the robot of the run in `run` has other than `robot`, or other than a built-in task where that is `None`; `None` where they are the
/// same.
///
/// # Errors
/// When what the run says of its robot cannot be read.
pub fn difference(run: &Path, robot: Option<&Robot>) -> Result<Option<String>, RobotError> {
    kept::difference(run, robot.map(|robot| (robot.task_text.as_str(), &robot.files)))
}

/// A task made from a user's files.
#[derive(Debug)]
pub struct Robot {
    task: MujocoTask,
    task_text: String,
    files: ModelFiles,
}

impl Robot {
    /// Loads an MJCF file and a task file.
    ///
    /// # Errors
    /// As [`MujocoTask::from_files`].
    pub fn from_files(mjcf: &Path, task_file: &Path) -> Result<Self, EnvironmentError> {
        let task_text = task_text(task_file)?;
        let task_name = task_file.display().to_string();
        let (task, files) = MujocoTask::from_disk(mjcf, (&task_name, &task_text))?;
        if let Some(odd) = files.contents.keys().find(|path| path.to_str().is_none()) {
            let message = format!(
                "{} has a name that is no UTF-8, so that no run can keep a copy of it",
                odd.display()
            );
            return Err(EnvironmentError::description(&message));
        }
        Ok(Self { task, task_text, files })
    }

    /// The task.
    pub fn task(&self) -> Arc<dyn Task> {
        Arc::new(self.task.clone())
    }

    /// Puts copies of all files into a run's folder, in one step: a crash leaves the whole robot or none. What an earlier
    /// start of the same run left of a robot there is replaced.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn keep(&self, run: &Path) -> Result<(), StorageError> {
        kept::keep(run, &self.task_text, &self.files)
    }
}
