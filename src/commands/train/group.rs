//! `ddppo train --device`: one run or several, all learning on one device.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use ddppo::config::Config;
use ddppo::device::graph::ProductPrecision;
use ddppo::lab::analysis::observer::{self, Analyses};
use ddppo::report::curve_at_end::CurveAtEnd;
use ddppo::report::tensorboard::TensorBoard;
use ddppo::run::text::thousands;
use ddppo::session::group::GroupMember;
use ddppo::session::memory::check_group;
use ddppo::session::progress::{Progress, Style};
use ddppo::session::sink::Sink;
use ddppo::session::{End, GroupSession, SessionOutcome};

use super::common::{listen, start};
use super::planned::{PlannedRun, planned};
use super::scene::{Scene, warn};
use super::{footprint, single};
use crate::cli::TrainArgs;
use crate::commands::output::{print, say, tell};

/// Trains all runs until they are done or told to stop, and says how they ended.
pub fn train(args: &TrainArgs, scene: &Scene) -> anyhow::Result<ExitCode> {
    // Before a folder is made, or the device opened.
    let runs = planned(args, scene)?;
    let Scene { task, robot } = scene;
    for run in &runs {
        observer::check(&run.config, &**task)?;
    }
    warn(scene);
    let configs: Vec<Config> = runs.iter().map(|run| run.config.clone()).collect();
    if args.dry_run {
        print(&footprint::of_group(&configs, task)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(notice) = check_group(&configs, &**task)? {
        say(&format!("warning: {notice}"));
    }
    let device = args.device.open()?.context("the processor is no device")?;
    let mut members = Vec::new();
    let mut roots = Vec::new();
    for (i, PlannedRun { config, folder }) in runs.into_iter().enumerate() {
        let task = Arc::clone(task);
        let ready = start(folder.as_deref(), args.resume, config, task, robot.as_ref())?;
        roots.push(ready.directory.root().to_owned());
        let mut sinks: Vec<Box<dyn Sink>> = vec![Box::<CurveAtEnd>::default()];
        if ready.config.run().report.tensorboard {
            sinks.push(Box::new(TensorBoard::new(true)));
        }
        // The runs of a batch are at the same step: one is seen for all.
        let style = Style::suited(args.session.quiet || i > 0);
        match Progress::new(style, Box::new(std::io::stderr())) {
            Ok(progress) => sinks.push(Box::new(progress)),
            Err(error) => say(&format!("warning: progress cannot be shown: {error}")),
        }
        members.push(GroupMember { ready, sinks, observers: vec![Box::new(Analyses)] });
    }
    let stop = listen()?;
    if !args.session.quiet {
        say(&format!("on {} ({}):", device.platform, device.kind));
        say(footprint::of_group(&configs, task)?.trim_end());
    }
    let precision = match args.tf32 {
        true => ProductPrecision::Fast,
        false => ProductPrecision::Single,
    };
    let threads = args.session.threads;
    let outcomes = GroupSession { members, device, precision, threads }.run(&stop)?;
    let (mut code, mut failed) = (ExitCode::SUCCESS, false);
    for (folder, outcome) in roots.iter().zip(outcomes) {
        let root = folder.display();
        match outcome {
            Ok(SessionOutcome {
                end: end @ (End::Finished | End::Solved),
                step,
                evaluation,
                ..
            }) => {
                let score = evaluation.map_or("no score".to_owned(), |evaluation| {
                    format!("mean return {:.1}", evaluation.return_mean)
                });
                let solved = if end == End::Solved { "solved, " } else { "" };
                tell(&format!("{root}: {solved}trained for {} steps, {score}\n", thousands(step)));
                if args.film {
                    single::film(folder);
                }
            }
            Ok(SessionOutcome { end, step, .. }) => {
                say(&format!("{root}: saved at step {}", thousands(step)));
                // What went wrong with another is the more important to say.
                if let (End::Interrupted(signal), false) = (end, failed) {
                    code = ExitCode::from(signal.exit_code());
                }
            }
            Err(error) => {
                say(&format!("error: {root}: {:#}", anyhow::Error::from(error)));
                (code, failed) = (ExitCode::FAILURE, true);
            }
        }
    }
    Ok(code)
}
