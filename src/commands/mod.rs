//! What each subcommand does.

mod analyze;
mod bench;
mod bench_device;
mod evaluate;
mod export;
mod figure;
mod interface;
mod output;
mod plot;
mod probe;
mod record;
mod resume;
mod tasks;
mod theory;
mod trace;
pub mod train;

use std::process::ExitCode;

use ddppo::config::ConfigError;
use ddppo::device::DeviceChoice;
use ddppo::device::pjrt::DeviceError;
use ddppo::env::EnvironmentError;
use ddppo::env::robot::RobotError;
use ddppo::export::ExportError;
use ddppo::lab::analysis::{AnalysisError, Unsuitable};
use ddppo::lab::bench::BenchError;
use ddppo::lab::estimators::study::StudyError;
use ddppo::lab::kept::KeptError;
use ddppo::lab::model_trial::TrialError;
use ddppo::report::PictureError;
use ddppo::report::film::FilmError;
use ddppo::report::published::UnknownMethod;
use ddppo::report::runs::CurveError;
use ddppo::report::scored_run::ScoreError;
use ddppo::run::checkpoint::CheckpointError;
use ddppo::run::directory::DirectoryError;
use ddppo::session::SessionError;
use ddppo::train::{LockstepError, TrainError};

pub use self::output::{UsageError, is_unread, say};

use crate::cli::{Cli, Command};

/// Runs the command.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Train(args) => train::run(&args),
        Command::Resume(args) => resume::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Plot(args) => plot::run(&args),
        Command::Bench(args) if args.device != DeviceChoice::Cpu => bench_device::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Tasks => tasks::run(),
        Command::Trace(args) => trace::run(&args),
        Command::Record(args) => record::run(&args),
        Command::Probe(args) => probe::run(&args),
        Command::Analyze(args) => analyze::run(&args),
        Command::Figure(args) => figure::run(&args),
        Command::Theory(args) => theory::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Schema(args) => interface::schema(&args),
        Command::Completions(args) => interface::completions(&args),
        Command::Man(args) => interface::manual(&args),
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
            CurveError::Robot(error) => is_mistake(error),
            CurveError::Metrics(_) => false,
            CurveError::Empty(_) | CurveError::NoMetric { .. } | CurveError::Published(_) => true,
        };
    }
    if let Some(error) = error.downcast_ref() {
        return match error {
            ScoreError::Run(error) => is_mistake(error),
            ScoreError::Storage(_) => false,
            ScoreError::Table { .. } => true,
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
            SessionError::Checkpoint(error) => matches!(error, CheckpointError::NoStep { .. }),
            SessionError::ConfigurationChanged { .. }
            | SessionError::OtherRun { .. }
            | SessionError::OtherRobot { .. }
            | SessionError::Behind { .. }
            | SessionError::RobotNotWhole { .. }
            | SessionError::OtherProgram { .. }
            | SessionError::Memory { .. } => true,
            SessionError::Lockstep(LockstepError::Different(_)) => true,
            SessionError::Lockstep(LockstepError::Device(error)) => is_mistake(error),
            _ => false,
        };
    }
    if let Some(error) = error.downcast_ref() {
        return !matches!(error, DeviceError::Refused { .. });
    }
    if let Some(error) = error.downcast_ref() {
        return match error {
            FilmError::Environment(error) => is_mistake(error),
            FilmError::Format(_) | FilmError::Encoder(_) => true,
            FilmError::Write(..) | FilmError::Picture(_) => false,
        };
    }
    if let Some(error) = error.downcast_ref() {
        return match error {
            AnalysisError::Environment(error) => is_mistake(error),
            AnalysisError::Unsuitable(_) => true,
        };
    }
    if let Some(error) = error.downcast_ref() {
        return match error {
            TrialError::Environment(error) => is_mistake(error),
            TrialError::Kept(error) => is_mistake(error),
            TrialError::NoState { .. } | TrialError::NonFinite { .. } => true,
        };
    }
    if let Some(error) = error.downcast_ref() {
        return match error {
            StudyError::Environment(error) => is_mistake(error),
            StudyError::Kept(error) => is_mistake(error),
            StudyError::NonFinite { .. } => false,
            StudyError::Unsuitable(_)
            | StudyError::NoPath { .. }
            | StudyError::Members { .. }
            | StudyError::Transitions { .. } => true,
        };
    }
    if let Some(error) = error.downcast_ref() {
        return !matches!(error, KeptError::Storage(_));
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
        || matches!(error.downcast_ref(), Some(TrainError::Config(_)))
        || error.is::<Unsuitable>()
        || error.downcast_ref().is_some_and(BenchError::is_mistake)
        || error.is::<UnknownMethod>()
        || matches!(error.downcast_ref(), Some(PictureError::Extension(_)))
        || matches!(error.downcast_ref(), Some(ExportError::Format(_)))
        || error.downcast_ref().is_some_and(|error| !matches!(error, ConfigError::File { .. }))
}
