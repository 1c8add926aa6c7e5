//! Why a measurement could not be made.

use std::path::PathBuf;

use crate::config::ConfigError;
use crate::device::pjrt::DeviceError;
use crate::env::EnvironmentError;
use crate::nn::LearnError;
use crate::run::storage::StorageError;
use crate::train::TrainError;

/// A measurement that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A setting cannot be changed.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No piece has this name.
    #[error("there is no piece `{name}`{hint}; the pieces are {known}")]
    UnknownPiece {
        /// The name asked for.
        name: String,
        /// " (did you mean `X`?)" or nothing.
        hint: String,
        /// All names, separated by commas.
        known: String,
    },
    /// A number of directions that the task's neighbours cannot give.
    #[error(
        "--directions {wanted}: {task} has {neighbours} neighbours a row, so 1 to {neighbours} directions"
    )]
    Directions {
        /// The number asked for.
        wanted: usize,
        /// Task name.
        task: String,
        /// n.
        neighbours: usize,
    },
    /// The twins know the sizes of the MuJoCo tasks only.
    #[error("--against {kind} knows {known}, not {task}")]
    NoTwin {
        /// Name of the twin's kind.
        kind: &'static str,
        /// Task name.
        task: String,
        /// All tasks that it knows.
        known: String,
    },
    /// torch.compile writes C++.
    #[error(
        "--against torch-compile needs a C++ compiler, and there is no `{compiler}`: install it, or name yours in CXX"
    )]
    NoCompiler {
        /// What was looked for.
        compiler: String,
    },
    /// A device refuses or fails.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The environment refused.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// Numbers broke.
    #[error(transparent)]
    Learn(#[from] LearnError),
    /// The loop stopped.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A checkpoint could not be written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A twin could not be installed or asked.
    #[error("{0}")]
    Twin(String),
    /// A file operation failed.
    #[error("{path}: {reason}")]
    File {
        /// What it was about.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
}

impl BenchError {
    /// Whether another command line would have helped.
    pub fn is_mistake(&self) -> bool {
        matches!(
            self,
            Self::UnknownPiece { .. }
                | Self::Directions { .. }
                | Self::NoTwin { .. }
                | Self::NoCompiler { .. }
        )
    }
}
