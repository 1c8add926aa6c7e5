//! What a run alone and runs in a group have in common.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use anyhow::Context;
use ddppo::config::Config;
use ddppo::env::Task;
use ddppo::env::robot::Robot;
use ddppo::report::curves;
use ddppo::report::runs::CurveError;
use ddppo::session::signals::StopRequest;
use ddppo::session::sink::{Ended, Sink, SinkError};
use ddppo::session::start::{Place, Ready, begin, begin_or_resume};
use ddppo::session::{End, SessionError};

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
        None => begin(Place::Numbered(Path::new("runs")), config, task, robot),
    }
}

/// Listens to signals, and says so when one comes.
pub fn listen() -> anyhow::Result<StopRequest> {
    let stop = StopRequest::listen(|| {
        say(
            "\nstopping after this step, which is saved; Ctrl-C once more stops at once, without saving",
        );
    });
    stop.context("signals cannot be listened to")
}

/// Draws the learning curve into the folder of a run that is finished.
#[derive(Default)]
pub struct CurveAtEnd {
    /// Where it is, once it is drawn.
    pub drawn: Arc<OnceLock<[PathBuf; 2]>>,
}

impl Sink for CurveAtEnd {
    fn name(&self) -> &str {
        "the curve"
    }

    fn end(&mut self, session: Ended<'_>) -> Result<(), SinkError> {
        if session.end != Some(End::Finished) {
            return Ok(());
        }
        match curves::learning_curves(&[session.root.to_owned()], &[]) {
            Ok(curves) => {
                let files = ["curve.svg", "curve.png"].map(|name| session.root.join(name));
                files.iter().try_for_each(|file| curves.picture.write(file))?;
                let _ = self.drawn.set(files);
                Ok(())
            }
            // Runs too short for one, as tests of a set-up are.
            Err(CurveError::Empty(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
