//! `ddppo resume`.

use std::process::ExitCode;

use anyhow::Context;
use ddppo::config::{Config, differences};
use ddppo::env::robot::task_of_run;
use ddppo::methods::config_of_run;
use ddppo::run::RunDirectory;
use ddppo::run::checkpoint::{CheckpointError, Loaded};

use super::UsageError;
use crate::cli::{ResumeArgs, SessionArgs};
use ddppo::session::run::{self as session, Session, Start};

/// Continues a run from its newest whole checkpoint; a run that was stopped before its first one starts again.
pub fn run(args: &ResumeArgs) -> anyhow::Result<ExitCode> {
    let directory = RunDirectory::open(&args.run)?;
    let mut config = config_of_run(&args.run)?;
    let task = task_of_run(directory.root(), config.task())?;
    let mut store = session::store(directory.root(), &config);
    let start = match store.load_newest() {
        Ok(loaded) => Start::From(Box::new(loaded)),
        Err(CheckpointError::None { .. }) => Start::New,
        Err(error) => return Err(error.into()),
    };
    if let Start::From(loaded) = &start {
        report(loaded);
        compare(loaded, &config)?;
        if let Some(steps) = args.steps.filter(|&steps| steps < loaded.info.step) {
            let done = loaded.info.step;
            let message =
                format!("--steps {steps} lies behind the run, which has done {done} steps already");
            return Err(UsageError(message).into());
        }
    }
    if let Some(steps) = args.steps {
        config = config.with_settings(&[format!("steps={steps}")])?;
        directory.write_config(&config)?;
    }
    let SessionArgs { threads, quiet } = args.session;
    Session { directory, config, task, store, threads, quiet }.run(start)
}

/// Says what the user should know of the state that was found.
fn report(loaded: &Loaded) {
    for damage in &loaded.passed_over {
        eprintln!("warning: a newer checkpoint is damaged and passed over: {damage}");
    }
    let version = env!("CARGO_PKG_VERSION");
    if loaded.version != version {
        eprintln!(
            "warning: {} was saved by ddppo {}; this is {version}, and may go on differently",
            loaded.path.display(),
            loaded.version
        );
    }
}

/// The run goes on as it began: only its length, checkpoints, guards and analyses may be changed.
fn compare(loaded: &Loaded, config: &Config) -> anyhow::Result<()> {
    let saved = config
        .parse_identity(&loaded.info.config)
        .with_context(|| format!("{} holds no readable configuration", loaded.path.display()))?;
    let differences = differences(&saved, &config.identity());
    let Some((key, before, now)) = differences.first() else { return Ok(()) };
    let more = match differences.len() {
        1 => String::new(),
        n => format!(" (and {} more settings differ)", n - 1),
    };
    let message = format!(
        "config.toml has changed since {} was saved: `{key}` was {before} and is {now}{more}; \
         change it back, or start a run of its own with `ddppo train`",
        loaded.path.display()
    );
    Err(UsageError(message).into())
}
