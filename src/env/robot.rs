//! A robot of one's own: a model file and a task file, and how a run that was started with them finds them again.
//!
//! A run keeps copies of both in its folder. A model that refers to further files (meshes, textures, included models) stays
//! where it is, and the run keeps its absolute path. Either way it keeps a checksum, so that a run never goes on with a
//! robot that is not its own (docs/decisions/030-own-robots.md).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{EnvironmentError, MujocoTask, Task};
use crate::run::storage::{Disk, Storage, StorageError, replace};

/// Where a run keeps its robot.
const FOLDER: &str = "robot";
const MODEL: &str = "model.xml";
const TASK: &str = "task.toml";
const ORIGIN: &str = "origin.toml";

/// A run's robot that cannot be kept or found.
#[derive(Debug, thiserror::Error)]
pub enum RobotError {
    /// The files make no task, or there is no such task.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// A file operation failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The files make another task than at the run's start.
    #[error(
        "the robot of {run} has changed since the run was started: {files} must be as they were then; \
         for a changed robot, start a run of its own with `ddppo train`"
    )]
    Changed {
        /// The run's folder.
        run: String,
        /// Which files, and what they refer to.
        files: String,
    },
    /// What a run says of its robot cannot be read.
    #[error("{file} does not say where the robot of the run is: {message}")]
    Origin {
        /// The file.
        file: String,
        /// What is wrong with it.
        message: String,
    },
}

/// What a run remembers of its robot.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Origin {
    /// The model: `model.xml` beside this file, or an absolute path.
    model: String,
    /// CRC-32 of all that the two files say, with what the model refers to.
    checksum: String,
}

/// A task made from a user's files.
#[derive(Debug)]
pub struct Robot {
    task: MujocoTask,
    mjcf: PathBuf,
    model_text: String,
    task_text: String,
}

impl Robot {
    /// Loads an MJCF file and a task file.
    ///
    /// # Errors
    /// As [`MujocoTask::from_files`].
    pub fn from_files(mjcf: &Path, task_file: &Path) -> Result<Self, EnvironmentError> {
        let task = MujocoTask::from_files(mjcf, task_file)?;
        let read = |path: &Path| {
            fs::read_to_string(path).map_err(|error| {
                EnvironmentError::Description(format!("{} cannot be read: {error}", path.display()))
            })
        };
        let (model_text, task_text) = (read(mjcf)?, read(task_file)?);
        Ok(Self { task, mjcf: mjcf.to_owned(), model_text, task_text })
    }

    /// The task.
    pub fn task(&self) -> Arc<dyn Task> {
        Arc::new(self.task.clone())
    }

    /// Puts what a run needs to find this robot again into its folder.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn keep(&self, run: &Path) -> Result<(), StorageError> {
        let folder = run.join(FOLDER);
        Disk.create_directory(&folder).map_err(StorageError::of("create", &folder))?;
        let model = if refers_to_files(&self.model_text) {
            let path =
                fs::canonicalize(&self.mjcf).map_err(StorageError::of("find", &self.mjcf))?;
            path.display().to_string()
        } else {
            replace(&Disk, &folder.join(MODEL), self.model_text.as_bytes())?;
            MODEL.to_owned()
        };
        replace(&Disk, &folder.join(TASK), self.task_text.as_bytes())?;
        let origin = Origin { model, checksum: self.checksum() };
        let text = toml::to_string(&origin).expect("two strings are TOML");
        // Last: where it is, the rest is whole.
        replace(&Disk, &folder.join(ORIGIN), text.as_bytes())
    }

    /// Of the two texts where they are all; of the compiled model, which holds meshes and all else, where they are not.
    fn checksum(&self) -> String {
        let mut crc = crc32fast::Hasher::new();
        crc.update(self.task_text.as_bytes());
        if refers_to_files(&self.model_text) {
            crc.update(&self.task.compiled());
        } else {
            crc.update(self.model_text.as_bytes());
        }
        format!("{:08x}", crc.finalize())
    }
}

/// The task of the run in the folder `run`: its own robot, or else the built-in task `name`.
///
/// # Errors
/// When the robot's files are gone, unusable or changed, or no built-in task has this name.
pub fn task_of_run(run: &Path, name: &str) -> Result<Arc<dyn Task>, RobotError> {
    let folder = run.join(FOLDER);
    let file = folder.join(ORIGIN);
    if !file.exists() {
        return Ok(super::task(name)?);
    }
    let text = fs::read_to_string(&file).map_err(StorageError::of("read", &file))?;
    let origin: Origin = toml::from_str(&text).map_err(|error| RobotError::Origin {
        file: file.display().to_string(),
        message: error.message().replace('\n', " "),
    })?;
    // An absolute path replaces the folder.
    let (mjcf, task_file) = (folder.join(&origin.model), folder.join(TASK));
    let robot = Robot::from_files(&mjcf, &task_file)?;
    if robot.checksum() != origin.checksum {
        let with = if refers_to_files(&robot.model_text) {
            ", with the files that it refers to,"
        } else {
            ""
        };
        return Err(RobotError::Changed {
            run: run.display().to_string(),
            files: format!("{}{with} and {}", mjcf.display(), task_file.display()),
        });
    }
    Ok(robot.task())
}

/// Whether an MJCF text names other files: they are in attributes `file`, or `fileright` and its like.
fn refers_to_files(mjcf: &str) -> bool {
    mjcf.match_indices("file").any(|(at, word)| {
        let rest = mjcf[at + word.len()..].trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let before = mjcf[..at].chars().next_back();
        before.is_some_and(char::is_whitespace) && rest.trim_start().starts_with('=')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_seen() {
        for text in
            ["<mesh file=\"a.stl\"/>", "<include\nfile = 'b.xml'/>", "<texture fileup=\"c.png\"/>"]
        {
            assert!(refers_to_files(text), "{text}");
        }
        for text in [
            "<mujoco/>",
            "<body name=\"file\"/>",
            "<!-- one file = one robot? no -->x",
            "<body profile=\"1\"/>",
        ] {
            assert_eq!(refers_to_files(text), text.contains("one file"), "{text}");
        }
    }
}
