//! What each subcommand does.

mod analyze;
mod analyze_table;
mod bench;
mod evaluate;
mod figure;
mod plot;
mod probe;
mod record;
mod resume;
mod tasks;
mod theory;
mod trace;
mod train;

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ddppo::config::ConfigError;
use ddppo::env::EnvironmentError;
use ddppo::env::robot::RobotError;
use ddppo::lab::analysis::Unsuitable;
use ddppo::lab::bench::BenchError;
use ddppo::lab::model_trial::TrialError;
use ddppo::report::PictureError;
use ddppo::report::curves::CurveError;
use ddppo::report::film::FilmError;
use ddppo::run::directory::DirectoryError;
use ddppo::run::text::harmless;
use ddppo::session::{self, SessionError};
use ddppo::train::Trainer;

use crate::cli::{Cli, Command};

/// A mistake of the user that no other error type stands for.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Runs the command.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Train(args) => train::run(&args),
        Command::Resume(args) => resume::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Plot(args) => plot::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Tasks => tasks::run(),
        Command::Trace(args) => trace::run(&args),
        Command::Record(args) => record::run(&args),
        Command::Probe(args) => probe::run(&args),
        Command::Analyze(args) => analyze::run(&args),
        Command::Figure(args) => figure::run(&args),
        Command::Theory(args) => theory::run(&args),
    }
}

/// 2 for the user's mistakes, as clap has it; 1 for all else.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(if error.chain().any(is_mistake) { 2 } else { 1 })
}

/// Whether another command line or configuration would have helped.
fn is_mistake(error: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref() {
        return match error {
            CurveError::Directory(error) => is_mistake(error),
            CurveError::Metrics(_) => false,
            CurveError::Empty(_) | CurveError::Published(_) => true,
        };
    }
    if let Some(error) = error.downcast_ref() {
        return match error {
            DirectoryError::Config(error) => is_mistake(error),
            DirectoryError::Storage(_) => false,
            _ => true,
        };
    }
    if let Some(error) = error.downcast_ref() {
        return match error {
            RobotError::Environment(error) => is_mistake(error),
            RobotError::Storage(_) => false,
            RobotError::Changed { .. } | RobotError::Origin { .. } | RobotError::Outside { .. } => {
                true
            }
        };
    }
    if let Some(error) = error.downcast_ref() {
        return match error {
            SessionError::Directory(error) => is_mistake(error),
            SessionError::Robot(error) => is_mistake(error),
            SessionError::ConfigurationChanged { .. }
            | SessionError::OtherRun { .. }
            | SessionError::Behind { .. }
            | SessionError::RobotNotWhole { .. }
            | SessionError::Memory { .. } => true,
            _ => false,
        };
    }
    if let Some(error) = error.downcast_ref() {
        return match error {
            FilmError::Environment(error) => is_mistake(error),
            FilmError::Format(_) | FilmError::Encoder(_) => true,
            FilmError::Write(..) => false,
        };
    }
    if let Some(error) = error.downcast_ref() {
        return match error {
            TrialError::Environment(error) => is_mistake(error),
            TrialError::Storage(_) => false,
            TrialError::NoState { .. }
            | TrialError::NonFinite { .. }
            | TrialError::NoTrial { .. } => true,
        };
    }
    if let Some(error) = error.downcast_ref() {
        return !matches!(
            error,
            EnvironmentError::Physics(_)
                | EnvironmentError::State { .. }
                | EnvironmentError::Action { .. }
        );
    }
    error.is::<UsageError>()
        || error.is::<Unsuitable>()
        || error.downcast_ref().is_some_and(BenchError::is_mistake)
        || matches!(error.downcast_ref(), Some(PictureError::Extension(_)))
        || error.downcast_ref().is_some_and(|error| !matches!(error, ConfigError::File { .. }))
}

/// Whoever read our output has closed it, as `head` does: no error.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the output")]
pub struct Unread;

/// Whether an error says only that nobody reads the output.
pub fn is_unread(error: &anyhow::Error) -> bool {
    // The trace writes its lines itself. A file that cannot be written is a `StorageError`, whatever the reason.
    let broken = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe)
    };
    error.is::<Unread>() || error.is::<ddppo::env::TraceError>() && error.chain().any(broken)
}

/// Prints to standard output what the command is for; an error when it cannot be written, where `println!` would panic.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(harmless(text).as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Unread.into()),
        Err(error) => Err(anyhow::Error::from(error).context("standard output cannot be written")),
        Ok(()) => Ok(()),
    }
}

/// How long the end of the program waits for whoever reads what it says.
const PATIENCE: Duration = Duration::from_secs(1);

/// Says a line on standard error, whether somebody reads it or not.
pub fn say(text: &str) {
    let text = harmless(text) + "\n";
    on_the_side(move || {
        let _ = std::io::stderr().write_all(text.as_bytes());
    });
}

/// Prints to standard output what is nice to know, whether somebody reads it or not.
fn tell(text: &str) {
    let text = harmless(text);
    on_the_side(move || {
        let _ = std::io::stdout().write_all(text.as_bytes());
        let _ = std::io::stdout().flush();
    });
}

/// Does it on a thread of its own and waits a moment only: a full pipe that nobody empties holds a writer for ever.
fn on_the_side(write: impl FnOnce() + Send + 'static) {
    let (done, written) = std::sync::mpsc::sync_channel::<()>(0);
    let thread = std::thread::Builder::new().spawn(move || {
        write();
        drop(done);
    });
    if thread.is_ok() {
        let _ = written.recv_timeout(PATIENCE);
    }
}

/// The run in `root` as it was saved last, or with the policy that was scored best.
fn saved_run(root: &Path, best: bool) -> Result<Trainer, SessionError> {
    session::saved::load(root, best, &mut |warning| say(&format!("warning: {warning}")))
}
