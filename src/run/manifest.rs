//! `manifest.json`: which program, machine and command made a run, session by session.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::storage::{Disk, StorageError, replace};
use crate::config::Config;

/// The whole file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Task name.
    pub task: String,
    /// Method.
    pub algorithm: String,
    /// Seed of all random streams.
    pub seed: u64,
    /// One entry for `train` and one for each `resume`.
    pub sessions: Vec<Session>,
}

/// One process's work on a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// The command line.
    pub command: Vec<String>,
    /// Version of ddppo.
    pub version: String,
    /// Git revision of its source, "-dirty" behind it when files had changed; "unknown" outside a repository.
    pub git_revision: String,
    /// Version of the MuJoCo library.
    pub mujoco_version: String,
    /// Processor model.
    pub cpu: String,
    /// Worker threads.
    pub threads: usize,
    /// Environment steps done before.
    pub first_step: u64,
    /// Environment steps done at the end; `None` while it runs, or if it was killed.
    pub last_step: Option<u64>,
    /// Start, UTC.
    pub started: String,
    /// End, UTC; `None` while it runs, or if it was killed.
    pub ended: Option<String>,
    /// "finished", "interrupted" or the error that ended it.
    pub outcome: Option<String>,
}

impl Session {
    /// A session that starts now, on this machine.
    pub fn start(threads: usize, first_step: u64, mujoco_version: &str) -> Self {
        Self {
            command: std::env::args().collect(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            git_revision: git_revision(),
            mujoco_version: mujoco_version.to_owned(),
            cpu: cpu_model(),
            threads,
            first_step,
            last_step: None,
            started: now(),
            ended: None,
            outcome: None,
        }
    }
}

/// A manifest on disk.
#[derive(Debug)]
pub struct ManifestFile {
    path: PathBuf,
    manifest: Manifest,
}

impl ManifestFile {
    /// Adds a session to the manifest at `path`, or starts one. A manifest that cannot be read is begun anew: it is a
    /// record for people, and no reason to stop a run.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn begin(path: &Path, config: &Config, session: Session) -> Result<Self, StorageError> {
        let old = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let mut manifest = old.unwrap_or_else(|| Manifest {
            task: config.task().to_owned(),
            algorithm: config.algorithm().to_owned(),
            seed: config.seed(),
            sessions: Vec::new(),
        });
        manifest.sessions.push(session);
        let file = Self { path: path.to_owned(), manifest };
        file.write()?;
        Ok(file)
    }

    /// Completes the session.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn end(&mut self, last_step: u64, outcome: &str) -> Result<(), StorageError> {
        if let Some(session) = self.manifest.sessions.last_mut() {
            session.last_step = Some(last_step);
            session.ended = Some(now());
            session.outcome = Some(outcome.to_owned());
        }
        self.write()
    }

    fn write(&self) -> Result<(), StorageError> {
        let mut json = serde_json::to_vec_pretty(&self.manifest).expect("a manifest is plain data");
        json.push(b'\n');
        replace(&Disk, &self.path, &json)
    }
}

fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

fn cpu_model() -> String {
    let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        information.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// The revision of the source tree that the program was built from, asked at run time: a build would have to be redone at
/// each commit to know it.
fn git_revision() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .arg("-C")
            .arg(env!("CARGO_MANIFEST_DIR"))
            .args(arguments)
            .output()
            .ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(revision) = git(&["rev-parse", "HEAD"]) else { return "unknown".to_owned() };
    let dirty = git(&["status", "--porcelain", "--untracked-files=no"])
        .is_some_and(|changes| !changes.is_empty());
    if dirty { revision + "-dirty" } else { revision }
}
