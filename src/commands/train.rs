//! `ddppo train`.

use std::path::Path;
use std::process::ExitCode;

use ddppo::config::{Algorithm, Config};
use ddppo::run::RunDirectory;

use super::UsageError;
use super::session::{self, Session, Start};
use crate::cli::{SessionArgs, TrainArgs};

/// Starts a run of its own.
pub fn run(args: &TrainArgs) -> anyhow::Result<ExitCode> {
    let task = ddppo::env::task(&args.task)?;
    let config = configure(args)?;
    let directory = match &args.out {
        Some(root) => RunDirectory::create(root, &config)?,
        None => RunDirectory::create_numbered(Path::new("runs"), &config)?,
    };
    let store = session::store(directory.root(), &config);
    let SessionArgs { threads, quiet } = args.session;
    Session { directory, config, task, store, threads, quiet }.run(Start::New)
}

/// The preset, `--set` on top, and the flags that are settings on top of that.
fn configure(args: &TrainArgs) -> anyhow::Result<Config> {
    let preset = Config::preset(Algorithm::Ddppo, &args.task)?;
    let flags = [("seed", args.seed), ("steps", args.steps)];
    let flags = flags.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?)));
    let settings: Vec<String> = args.settings.iter().cloned().chain(flags).collect();
    let config = preset.with_settings(&settings)?;
    if config.task != args.task {
        let message =
            format!("the task is chosen by `ddppo train {}`, not by `--set task=…`", config.task);
        return Err(UsageError(message).into());
    }
    Ok(config)
}
