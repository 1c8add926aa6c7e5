//! What a run alone and runs in a group have in common.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use ddppo::config::Config;
use ddppo::env::Task;
use ddppo::env::robot::Robot;
use ddppo::session::SessionError;
use ddppo::session::signals::StopRequest;
use ddppo::session::start::{Place, RUNS, Ready, begin, begin_or_resume};

use crate::commands::output::say;

/// The run in this folder, or in a new one.
pub fn start(
    out: Option<&Path>,
    resume: bool,
    config: Config,
    task: Arc<dyn Task>,
    robot: Option<&Robot>,
) -> Result<Ready, SessionError> {
    match out {
        Some(root) if resume => begin_or_resume(root, config, task, robot),
        Some(root) => begin(Place::Folder(root), config, task, robot),
        None => begin(Place::Numbered(Path::new(RUNS)), config, task, robot),
    }
}

/// Listens to signals, and says so when one comes.
pub fn listen() -> anyhow::Result<StopRequest> {
    let stop = StopRequest::listen(|| {
        say(
            "\nsaving, and stopping: with this step, or before it where it is a long one; Ctrl-C once more stops at once, without saving",
        );
    });
    stop.context("signals cannot be listened to")
}
