//! Outcomes of trials, a JSON file each: what is there is not computed again.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::run::storage::{Disk, StorageError, replace};
use crate::run::text::printable;

/// Why an outcome was not kept, or not found again.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// A file operation failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A file holds something else.
    #[error("{path} is no finished trial ({problem}): remove it, or choose another folder with -o")]
    NoTrial {
        /// The file.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// A file holds another trial.
    #[error(
        "{path} holds a trial with other settings: choose another folder with -o, or remove that one"
    )]
    OtherTrial {
        /// The file.
        path: String,
    },
}

/// What came of a trial.
pub trait TrialResult: Serialize + DeserializeOwned {
    /// What a trial is.
    type Trial: PartialEq;
    /// The trial that was run.
    fn trial(&self) -> &Self::Trial;
    /// Whether everything was measured that a finished trial measures.
    fn is_whole(&self) -> bool;
}

/// Reads an outcome; `None` where there is no file.
///
/// # Errors
/// When the file cannot be read, or holds something else.
pub fn read<O: TrialResult>(path: &Path) -> Result<Option<O>, KeptError> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        outcome => outcome.map_err(StorageError::of("read", path))?,
    };
    let path = path.display().to_string();
    match serde_json::from_str::<O>(&text) {
        Ok(outcome) if outcome.is_whole() => Ok(Some(outcome)),
        Ok(_) => Err(KeptError::NoTrial { path, problem: "measurements are missing".to_owned() }),
        Err(error) => Err(KeptError::NoTrial { path, problem: printable(&error.to_string()) }),
    }
}

/// [`read`], for an outcome that must be that of the trial `wanted`.
///
/// # Errors
/// As [`read`], and when it is that of another trial.
pub fn read_of<O: TrialResult>(path: &Path, wanted: &O::Trial) -> Result<Option<O>, KeptError> {
    let found: Option<O> = read(path)?;
    if found.as_ref().is_some_and(|outcome| outcome.trial() != wanted) {
        return Err(KeptError::OtherTrial { path: path.display().to_string() });
    }
    Ok(found)
}

/// Writes an outcome in one step: a crash leaves no half of it.
///
/// # Errors
/// When the file cannot be written.
pub fn write<O: TrialResult>(path: &Path, outcome: &O) -> Result<(), StorageError> {
    let text = serde_json::to_string_pretty(outcome).expect("an outcome has finite numbers");
    replace(&Disk, path, (text + "\n").as_bytes())
}
