//! `manifest.json`: which program, machine and command made a run, session by session.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::storage::{Disk, StorageError, read_regular, replace};
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
    pub sessions: Vec<SessionRecord>,
}

/// One process's work on a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// The command line.
    pub command: Vec<String>,
    /// Version of ddppo.
    pub version: String,
    /// Git revision that it was built from, "-dirty" behind it when files had changed; "unknown" outside a repository.
    pub git_revision: String,
    /// Version of the MuJoCo library.
    pub mujoco_version: String,
    /// Processor model.
    pub cpu: String,
    /// Worker threads.
    pub threads: usize,
    /// The accelerator that learned in place of the processor, and how; `None` where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Environment steps done before.
    pub first_step: u64,
    /// Environment steps done at the first save of the session; `None` before it.
    #[serde(default)]
    pub first_save: Option<u64>,
    /// Environment steps done at the end; `None` while it runs, or if it was killed.
    pub last_step: Option<u64>,
    /// Start, UTC.
    pub started: String,
    /// End, UTC; `None` while it runs, or if it was killed.
    pub ended: Option<String>,
    /// "finished", "interrupted" or the error that ended it.
    pub outcome: Option<String>,
}

impl SessionRecord {
    /// A session that starts now, on this machine.
    pub fn start(threads: usize, first_step: u64, mujoco_version: &str) -> Self {
        Self {
            command: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            git_revision: env!("DDPPO_REVISION").to_owned(),
            mujoco_version: mujoco_version.to_owned(),
            cpu: cpu_model(),
            threads,
            device: None,
            first_step,
            first_save: None,
            last_step: None,
            started: now(),
            ended: None,
            outcome: None,
        }
    }
}

impl Manifest {
    /// The manifest at `path`, if it can be read.
    pub fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&read_regular(path, LONGEST).ok()?).ok()
    }

    /// Whether a session says that it has saved a state.
    pub fn has_saved(&self) -> bool {
        self.sessions.iter().any(|session| {
            let ended =
                matches!(session.outcome.as_deref(), Some("finished" | "solved" | "interrupted"));
            session.first_step > 0
                || session.first_save.is_some()
                || ended && session.last_step.is_some_and(|step| step > 0)
        })
    }
}

/// Bytes of the longest manifest that is read.
const LONGEST: u64 = 1 << 26;

/// A manifest on disk. It is a record for people: no failure to write it is a reason to stop a run.
#[derive(Debug)]
pub struct ManifestFile {
    path: PathBuf,
    manifest: Manifest,
}

impl ManifestFile {
    /// The manifest at `path` with a session more, or a new one where there is none that can be read.
    pub fn begin(path: &Path, config: &Config, session: SessionRecord) -> Self {
        let mut manifest = Manifest::read(path).unwrap_or_else(|| Manifest {
            task: config.task().to_owned(),
            algorithm: config.algorithm().to_owned(),
            seed: config.seed(),
            sessions: Vec::new(),
        });
        manifest.sessions.push(session);
        Self { path: path.to_owned(), manifest }
    }

    /// Notes that the session has saved a state; whether that is new.
    pub fn saved(&mut self, step: u64) -> bool {
        let session = self.manifest.sessions.last_mut();
        session.is_some_and(|session| {
            let first = session.first_save.is_none();
            session.first_save.get_or_insert(step);
            first
        })
    }

    /// Completes the session.
    pub fn end(&mut self, last_step: u64, outcome: &str) {
        if let Some(session) = self.manifest.sessions.last_mut() {
            session.last_step = Some(last_step);
            session.ended = Some(now());
            session.outcome = Some(outcome.to_owned());
        }
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self) -> Result<(), StorageError> {
        let mut json = serde_json::to_vec_pretty(&self.manifest).expect("a manifest is plain data");
        json.push(b'\n');
        replace(&Disk, &self.path, &json)
    }
}

/// The hour, UTC; "unknown" where the clock stands before 1970 or beyond the year 9999.
fn now() -> String {
    /// Seconds from 1970 to the last day that has a year of four digits.
    const LAST: Duration = Duration::from_secs(253_402_214_400);
    let now = SystemTime::now();
    match now.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) if since < LAST => humantime::format_rfc3339_seconds(now).to_string(),
        _ => "unknown".to_owned(),
    }
}

fn cpu_model() -> String {
    let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        information.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}
