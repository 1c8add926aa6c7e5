//! The task that runs are trained on, and their configurations.

use std::sync::Arc;

use ddppo::config::Config;
use ddppo::env::Task;
use ddppo::env::robot::Robot;
use ddppo::methods::{self, MethodInfo};

use crate::cli::TrainArgs;
use crate::commands::output::{UsageError, say};

/// Where runs are trained.
pub struct Scene {
    pub task: Arc<dyn Task>,
    pub robot: Option<Robot>,
}

/// The task that is named, or the robot's.
pub fn scene(args: &TrainArgs) -> anyhow::Result<Scene> {
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

/// Says what the task warns of.
pub fn warn(scene: &Scene) {
    for warning in scene.task.warnings() {
        say(&format!("warning: {warning}"));
    }
}

/// The configuration of a method or a variant of it for a task, with what the flags say.
pub fn configured(
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
pub fn configure(
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
