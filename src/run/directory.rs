//! The folder of one run, and what may lie in it.
//!
//! `config.toml` is written last when a run starts: where it is, all else that the run needs is there, too.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::lock::{LOCK, Lock, Refused};
use super::storage::{Disk, FileKind, StorageError, kind, read_regular, replace};
use crate::config::{Config, ConfigError};

const CONFIG: &str = "config.toml";
/// What [`replace`] leaves when it is killed.
const CONFIG_BEGUN: &str = ".tmp-config.toml";
/// Where a robot of the user's own is kept, before the configuration that names it.
const ROBOT: &str = "robot";
/// Where that is put together; left behind when the start is killed.
const ROBOT_BEGUN: &str = ".tmp-robot";
/// What a program says of an environment that is its own, before the configuration that names it.
const ENVIRONMENT: &str = "environment.json";
/// Bytes of the longest configuration that is read.
const LONGEST_CONFIG: u64 = 1 << 20;

/// A folder that cannot be used as asked.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It holds a run already.
    #[error(
        "{0} already holds a run: continue it with `ddppo resume {0}`, or choose another folder"
    )]
    Occupied(String),
    /// It holds something else.
    #[error("{0} exists and is not an empty folder: choose another one for the run")]
    NotEmpty(String),
    /// It holds no run.
    #[error("{0} is not the folder of a run: it has no config.toml")]
    NoRun(String),
    /// Another process is at work in it.
    #[error("{path} is in use by another ddppo{holder}: wait for it or stop it first")]
    InUse {
        /// The folder.
        path: String,
        /// " (process 123)" or nothing.
        holder: String,
    },
    /// A file operation failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The configuration in it cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// A run's folder, locked as long as this value lives.
#[derive(Debug)]
pub struct RunDirectory {
    root: PathBuf,
    lock: Lock,
}

impl RunDirectory {
    /// Makes the folder of a new run, and locks it. There is no run in it before [`RunDirectory::begin`].
    ///
    /// A folder in which a start was killed before that is taken too, and emptied.
    ///
    /// # Errors
    /// When the folder holds anything else, or cannot be made.
    pub fn claim(root: &Path) -> Result<Self, DirectoryError> {
        require_free(root)?;
        if let Some(parent) = root.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(parent).map_err(StorageError::of("create", parent))?;
        }
        match fs::create_dir(root) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(StorageError::of("create", root)(error).into());
            }
            _ => {}
        }
        let directory = Self { root: root.to_owned(), lock: lock(root)? };
        // Again, now that nobody else can be at it: another process may have begun a run meanwhile.
        for leftover in require_free(root)? {
            let removed = match kind(&leftover) {
                Ok(FileKind::Folder) => fs::remove_dir_all(&leftover),
                _ => fs::remove_file(&leftover),
            };
            removed.map_err(StorageError::of("remove", &leftover))?;
        }
        Ok(directory)
    }

    /// Writes the configuration: from now on the folder holds a run.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn begin(&self, config: &Config) -> Result<(), StorageError> {
        self.write_config(config)
    }

    /// Makes `<stem>-<n>` in `parent`, with the lowest n that is free.
    ///
    /// # Errors
    /// As [`RunDirectory::claim`].
    pub fn claim_numbered(parent: &Path, stem: &str) -> Result<Self, DirectoryError> {
        let mut n = 1_u64;
        loop {
            match Self::claim(&parent.join(format!("{stem}-{n}"))) {
                // Taken before, or just now by another process.
                Err(
                    DirectoryError::Occupied(_)
                    | DirectoryError::NotEmpty(_)
                    | DirectoryError::InUse { .. },
                ) => n += 1,
                outcome => return outcome,
            }
        }
    }

    /// Opens the folder of an existing run, to go on working in it.
    ///
    /// # Errors
    /// When it holds no run, or another process is at work in it.
    pub fn open(root: &Path) -> Result<Self, DirectoryError> {
        require_run(root)?;
        Ok(Self { root: root.to_owned(), lock: lock(root)? })
    }

    /// What the user should know of how the folder is locked.
    pub fn warning(&self) -> Option<&'static str> {
        self.lock.is_by_name().then_some(
            "the file system has no locks: a second ddppo in this folder is noticed by the name in run.lock only",
        )
    }

    /// Shows other processes that this one is still at work. Cheap: to be called at every step.
    ///
    /// # Errors
    /// When another process has taken the folder over, where the file system has no locks.
    pub fn beat(&mut self) -> Result<(), DirectoryError> {
        match self.lock.beat() {
            None => Ok(()),
            Some(holder) => Err(in_use(&self.root, holder)),
        }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `config.toml`: the resolved configuration.
    pub fn config_path(&self) -> PathBuf {
        self.root.join(CONFIG)
    }

    /// `metrics.jsonl`: see [`super::metrics`].
    pub fn metrics_path(&self) -> PathBuf {
        metrics_path(&self.root)
    }

    /// `manifest.json`: see [`super::manifest`].
    pub fn manifest_path(&self) -> PathBuf {
        self.root.join("manifest.json")
    }

    /// `checkpoints/`: see [`super::checkpoint`].
    pub fn checkpoints_path(&self) -> PathBuf {
        checkpoints_path(&self.root)
    }

    /// Replaces the configuration, for a run that goes on for more steps.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_config(&self, config: &Config) -> Result<(), StorageError> {
        replace(&Disk, &self.config_path(), config.to_toml().as_bytes())
    }
}

/// The text of the configuration of the run in `root`, without locking it, and the name of its file for messages.
///
/// # Errors
/// When there is no run, or its configuration cannot be read.
pub fn config_text(root: &Path) -> Result<(String, String), DirectoryError> {
    require_run(root)?;
    let path = root.join(CONFIG);
    let bytes = read_regular(&path, LONGEST_CONFIG).map_err(StorageError::of("read", &path))?;
    let text = String::from_utf8(bytes).map_err(|_| {
        let reason = std::io::Error::other("it is no UTF-8 text");
        StorageError::of("read", &path)(reason)
    })?;
    Ok((text, path.display().to_string()))
}

/// Whether `root` is the folder of a run.
pub fn holds_run(root: &Path) -> bool {
    root.join(CONFIG).exists()
}

/// Where the run in `root` has its checkpoints.
pub fn checkpoints_path(root: &Path) -> PathBuf {
    root.join("checkpoints")
}

/// Where the run in `root` has its metrics.
pub fn metrics_path(root: &Path) -> PathBuf {
    root.join("metrics.jsonl")
}

/// The folder in which the run in `root` keeps a robot of the user's own.
pub fn robot_path(root: &Path) -> PathBuf {
    root.join(ROBOT)
}

/// Where a program that trains in an environment of its own, as the Python package does, says which one the run in `root` is of. Nothing here
/// reads it: where it is, no task of ours is the run's.
pub fn environment_path(root: &Path) -> PathBuf {
    root.join(ENVIRONMENT)
}

/// What a killed start has left in a folder that is free for a new run; refuses any other folder.
fn require_free(root: &Path) -> Result<Vec<PathBuf>, DirectoryError> {
    let shown = || root.display().to_string();
    match kind(&root.join(CONFIG)) {
        Ok(FileKind::Nothing) => {}
        Ok(_) => return Err(DirectoryError::Occupied(shown())),
        Err(error) => return Err(StorageError::of("read", root)(error).into()),
    }
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            return Err(DirectoryError::NotEmpty(shown()));
        }
        Err(error) => return Err(StorageError::of("read", root)(error).into()),
    };
    let mut leftovers = Vec::new();
    let mut locked = false;
    for entry in entries {
        let entry = entry.map_err(StorageError::of("read", root))?;
        match entry.file_name().to_str() {
            Some(LOCK) => locked = true,
            Some(CONFIG_BEGUN | ROBOT | ROBOT_BEGUN | ENVIRONMENT) => leftovers.push(entry.path()),
            _ => return Err(DirectoryError::NotEmpty(shown())),
        }
    }
    // The lock is what a start makes first: without it, the rest is not ours.
    if locked || leftovers.is_empty() {
        Ok(leftovers)
    } else {
        Err(DirectoryError::NotEmpty(shown()))
    }
}

fn require_run(root: &Path) -> Result<(), DirectoryError> {
    let config = root.join(CONFIG);
    match kind(&config) {
        Ok(FileKind::Nothing) => Err(DirectoryError::NoRun(root.display().to_string())),
        Ok(_) => Ok(()),
        Err(error) => Err(StorageError::of("read", &config)(error).into()),
    }
}

fn lock(root: &Path) -> Result<Lock, DirectoryError> {
    Lock::acquire(root).map_err(|refused| match refused {
        Refused::InUse(holder) => in_use(root, holder),
        Refused::Failed(error) => StorageError::of("lock", &root.join(LOCK))(error).into(),
    })
}

fn in_use(root: &Path, holder: String) -> DirectoryError {
    DirectoryError::InUse { path: root.display().to_string(), holder }
}
