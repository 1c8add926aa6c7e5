//! `ddppo train`, and what is common to all commands that train.

mod common;
mod group;
mod single;

pub use single::train;

use std::process::ExitCode;
use std::sync::Arc;

use ddppo::config::Config;
use ddppo::device::DeviceChoice;
use ddppo::env::Task;
use ddppo::env::robot::Robot;
use ddppo::methods::{self, MethodInfo};
use ddppo::session::start::Ready;

use super::output::{UsageError, say};
use crate::cli::TrainArgs;

/// What is to be trained, and on what.
struct Wanted {
    config: Config,
    task: Arc<dyn Task>,
    robot: Option<Robot>,
}

/// Starts a run of its own, or with `--device` those of a group.
pub fn run(args: &TrainArgs) -> anyhow::Result<ExitCode> {
    if args.device != DeviceChoice::Cpu {
        let Wanted { config, task, robot } = wanted(args)?;
        return group::train(args, &config, &task, robot.as_ref());
    }
    let ready = prepare(args)?;
    let root = ready.directory.root().to_owned();
    let code = train(ready, args.session)?;
    if args.film && code == ExitCode::SUCCESS {
        single::film(&root);
    }
    Ok(code)
}

/// The run that is asked for, ready to be trained on the processor.
pub fn prepare(args: &TrainArgs) -> anyhow::Result<Ready> {
    let problem = match args {
        TrainArgs { seeds: Some(_), .. } => {
            "--seeds needs --device gpu: on the processor, each seed is a run of its own, by --seed"
        }
        TrainArgs { tf32: true, .. } => "--tf32 needs --device gpu",
        _ => "",
    };
    if !problem.is_empty() {
        return Err(UsageError(problem.to_owned()).into());
    }
    let Wanted { config, task, robot } = wanted(args)?;
    Ok(common::start(args.out.as_deref(), args.resume, config, task, robot.as_ref())?)
}

fn wanted(args: &TrainArgs) -> anyhow::Result<Wanted> {
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
    for warning in task.warnings() {
        say(&format!("warning: {warning}"));
    }
    Ok(Wanted { config, task, robot })
}

/// The preset, `--variant` and `--set` on top, and the flags that are settings on top of that.
pub fn configure(args: &TrainArgs, method: &MethodInfo, preset: &Config) -> anyhow::Result<Config> {
    let base = match &args.variant {
        Some(variant) => &method.with_variant(preset, variant)?,
        None => preset,
    };
    let flags = [("seed", args.seed), ("steps", args.steps)];
    let flags = flags.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?)));
    let stop = args.until_return.map(|wanted| format!("evaluation.stop_at_return={wanted}"));
    let settings: Vec<String> = args.settings.iter().cloned().chain(flags).chain(stop).collect();
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
