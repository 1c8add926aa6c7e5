//! `ddppo train`, and what is common to all commands that train.

mod common;
mod footprint;
mod group;
mod planned;
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

use super::output::{UsageError, print, say};
use crate::cli::TrainArgs;

/// Where runs are trained.
pub struct Scene {
    task: Arc<dyn Task>,
    robot: Option<Robot>,
}

/// Starts a run of its own, or with `--device` those of a group.
pub fn run(args: &TrainArgs) -> anyhow::Result<ExitCode> {
    if args.device != DeviceChoice::Cpu {
        return group::train(args, &scene(args)?);
    }
    let Some(ready) = prepare(args)? else { return Ok(ExitCode::SUCCESS) };
    let root = ready.directory.root().to_owned();
    let code = train(ready, args.session)?;
    if args.film && code == ExitCode::SUCCESS {
        single::film(&root);
    }
    Ok(code)
}

/// The run that is asked for, ready to be trained on the processor; `None` where it is only to be spoken of.
fn prepare(args: &TrainArgs) -> anyhow::Result<Option<Ready>> {
    let problem = match args {
        TrainArgs { runs: Some(_), .. } => {
            "--runs needs --device gpu: on the processor, each run is started by itself, by --variant and --seed"
        }
        TrainArgs { seeds: Some(_), .. } => {
            "--seeds needs --device gpu: on the processor, each seed is a run of its own, by --seed"
        }
        TrainArgs { tf32: true, .. } => "--tf32 needs --device gpu",
        _ => "",
    };
    if !problem.is_empty() {
        return Err(UsageError(problem.to_owned()).into());
    }
    let scene = scene(args)?;
    let config = configured(args, &scene, &args.algo, args.variant.as_deref())?;
    warn(&scene);
    if args.dry_run {
        print(&footprint::alone(&config, &*scene.task))?;
        return Ok(None);
    }
    let Scene { task, robot } = scene;
    Ok(Some(common::start(args.out.as_deref(), args.resume, config, task, robot.as_ref())?))
}

fn scene(args: &TrainArgs) -> anyhow::Result<Scene> {
    let robot = match (&args.mjcf, &args.task_file) {
        (Some(mjcf), Some(task)) => Some(Robot::from_files(mjcf, task)?),
        _ => None,
    };
    let task = match &robot {
        Some(robot) => robot.task(),
        None => ddppo::env::task(&args.task)?,
    };
    Ok(Scene { task, robot })
}

/// What the task warns of.
fn warn(scene: &Scene) {
    for warning in scene.task.warnings() {
        say(&format!("warning: {warning}"));
    }
}

/// The configuration of a method or a variant of it for a task, with what the flags say.
fn configured(
    args: &TrainArgs,
    scene: &Scene,
    algo: &str,
    variant: Option<&str>,
) -> anyhow::Result<Config> {
    let method = methods::find(algo)?;
    let preset = match &scene.robot {
        Some(_) => method.for_robot(scene.task.name())?,
        None => method.preset(&args.task)?,
    };
    configure(args, method, &preset, variant)
}

/// The preset, the variant and `--set` on top, and the flags that are settings on top of that.
fn configure(
    args: &TrainArgs,
    method: &MethodInfo,
    preset: &Config,
    variant: Option<&str>,
) -> anyhow::Result<Config> {
    let base = match variant {
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
