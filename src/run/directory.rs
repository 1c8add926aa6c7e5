//! The folder of one run, and the lock that keeps other processes out while one works in it.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::storage::{Disk, StorageError, replace};
use crate::config::{Config, ConfigError};

const LOCK: &str = "run.lock";
const CONFIG: &str = "config.toml";

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
    /// The operating system holds the lock on this open file and drops it with the process, however that ends: a lock file
    /// left behind by a crash locks nobody out.
    _lock: File,
}

impl RunDirectory {
    /// Makes the folder of a new run and writes its configuration.
    ///
    /// # Errors
    /// When the folder exists and is not empty, or cannot be made.
    pub fn create(root: &Path, config: &Config) -> Result<Self, DirectoryError> {
        let shown = root.display().to_string();
        if root.join(CONFIG).exists() {
            return Err(DirectoryError::Occupied(shown));
        }
        if let Some(parent) = root.parent() {
            fs::create_dir_all(parent).map_err(StorageError::of("create", parent))?;
        }
        match fs::create_dir(root) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let mut entries =
                    fs::read_dir(root).map_err(|_| DirectoryError::NotEmpty(shown.clone()))?;
                // A run that was killed in its first instant leaves its lock file.
                if entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != LOCK)) {
                    return Err(DirectoryError::NotEmpty(shown));
                }
            }
            Err(error) => return Err(StorageError::of("create", root)(error).into()),
        }
        let directory = Self { root: root.to_owned(), _lock: lock(root)? };
        replace(&Disk, &directory.config_path(), config.to_toml().as_bytes())?;
        Ok(directory)
    }

    /// Makes `runs/<task>-seed<seed>-<n>` with the lowest n that is free; `<task>-<method>-…` for methods other than DDPPO.
    ///
    /// # Errors
    /// As [`RunDirectory::create`].
    pub fn create_numbered(parent: &Path, config: &Config) -> Result<Self, DirectoryError> {
        let method = match config.algorithm() {
            "ddppo" => String::new(),
            other => format!("-{other}"),
        };
        let mut n = 1_u64;
        loop {
            let root = parent.join(format!("{}{method}-seed{}-{n}", config.task(), config.seed()));
            match Self::create(&root, config) {
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
        Ok(Self { root: root.to_owned(), _lock: lock(root)? })
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

/// Where the run in `root` has its configuration.
///
/// # Errors
/// When there is no run.
pub fn config_path(root: &Path) -> Result<PathBuf, DirectoryError> {
    require_run(root)?;
    Ok(root.join(CONFIG))
}

/// Where the run in `root` has its checkpoints.
pub fn checkpoints_path(root: &Path) -> PathBuf {
    root.join("checkpoints")
}

/// Where the run in `root` has its metrics.
pub fn metrics_path(root: &Path) -> PathBuf {
    root.join("metrics.jsonl")
}

fn require_run(root: &Path) -> Result<(), DirectoryError> {
    let config = root.join(CONFIG);
    match fs::metadata(&config) {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Err(DirectoryError::NoRun(root.display().to_string()))
        }
        Err(error) => Err(StorageError::of("read", &config)(error).into()),
    }
}

fn lock(root: &Path) -> Result<File, DirectoryError> {
    let path = root.join(LOCK);
    let mut file = File::options()
        .create(true)
        .read(true)
        .write(true)
        .truncate(false)
        .open(&path)
        .map_err(StorageError::of("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let process =
                file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse::<u32>().ok());
            let holder = process.map(|id| format!(" (process {id})")).unwrap_or_default();
            return Err(DirectoryError::InUse { path: root.display().to_string(), holder });
        }
        Err(TryLockError::Error(error)) => {
            return Err(StorageError::of("lock", &path)(error).into());
        }
    }
    // Who holds it, for the message above; of no other use.
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(StorageError::of("write", &path))?;
    Ok(file)
}
