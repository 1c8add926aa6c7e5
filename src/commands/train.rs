//! `ddppo train`.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use ddppo::config::Config;
use ddppo::env::robot::Robot;
use ddppo::methods::{self, MethodInfo};
use ddppo::run::RunDirectory;

use super::UsageError;
use crate::cli::{SessionArgs, TrainArgs};
use ddppo::session::run::{self as session, Session, Start};

/// Starts a run of its own.
pub fn run(args: &TrainArgs) -> anyhow::Result<ExitCode> {
    let robot = match (&args.mjcf, &args.task_file) {
        (Some(mjcf), Some(task)) => Some(Robot::from_files(mjcf, task)?),
        _ => None,
    };
    let task = match &robot {
        Some(robot) => robot.task(),
        None => ddppo::env::task(&args.task)?,
    };
    let method = methods::find(&args.algo)?;
    let preset = match &robot {
        Some(_) => method.for_robot(task.name())?,
        None => method.preset(&args.task)?,
    };
    let config = configure(args, method, &preset)?;
    let directory = match &args.out {
        Some(root) => RunDirectory::create(root, &config)?,
        None => RunDirectory::create_numbered(Path::new("runs"), &config)?,
    };
    if let Some(robot) = &robot {
        robot.keep(directory.root())?;
    }
    for warning in task.warnings() {
        let _ = writeln!(std::io::stderr(), "warning: {warning}");
    }
    let store = session::store(directory.root(), &config);
    let SessionArgs { threads, quiet } = args.session;
    Session { directory, config, task, store, threads, quiet }.run(Start::New)
}

/// The preset, `--variant` and `--set` on top, and the flags that are settings on top of that.
fn configure(args: &TrainArgs, method: &MethodInfo, preset: &Config) -> anyhow::Result<Config> {
    let base = match &args.variant {
        Some(variant) => &method.with_variant(preset, variant)?,
        None => preset,
    };
    let flags = [("seed", args.seed), ("steps", args.steps)];
    let flags = flags.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?)));
    let settings: Vec<String> = args.settings.iter().cloned().chain(flags).collect();
    let config = base.with_settings(&settings)?;
    if config.task() != preset.task() {
        let right = match &args.task_file {
            Some(file) => format!("named in {}", file.display()),
            None => format!("chosen by `ddppo train {}`", config.task()),
        };
        return Err(UsageError(format!("the task is {right}, not by `--set task=…`")).into());
    }
    Ok(config)
}
