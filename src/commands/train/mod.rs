//! `ddppo train`, and what is common to all commands that train.

mod common;
mod footprint;
mod group;
mod planned;
pub mod scene;
mod single;

pub use single::train;

use std::process::ExitCode;

use ddppo::config::Config;
use ddppo::device::DeviceChoice;
use ddppo::lab::analysis::observer;
use ddppo::session::start::Ready;

use self::scene::{Scene, configured, scene, warn};
use super::output::{UsageError, print};
use crate::cli::TrainArgs;

/// Starts a run of its own, or with `--device` those of a group.
pub fn run(args: &TrainArgs) -> anyhow::Result<ExitCode> {
    if args.device != DeviceChoice::Cpu {
        return group::train(args, &scene(args)?);
    }
    if args.dry_run {
        let (scene, config) = alone(args)?;
        print(&footprint::alone(&config, &*scene.task))?;
        return Ok(ExitCode::SUCCESS);
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
    let (Scene { task, robot }, config) = alone(args)?;
    // Before a folder is made.
    observer::check(&config, &*task)?;
    Ok(common::start(args.out.as_deref(), args.resume, config, task, robot.as_ref())?)
}

/// What a run by itself is of, the flags that need a device refused.
fn alone(args: &TrainArgs) -> anyhow::Result<(Scene, Config)> {
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
    Ok((scene, config))
}
