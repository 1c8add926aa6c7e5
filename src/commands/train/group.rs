//! `ddppo train --device`: one run or several, all learning on one device.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use ddppo::config::Config;
use ddppo::device::DeviceLearner;
use ddppo::device::graph::ProductPrecision;
use ddppo::env::Task;
use ddppo::env::robot::Robot;
use ddppo::lab::analysis::observer::{self, Analyses};
use ddppo::report::curve_at_end::CurveAtEnd;
use ddppo::report::tensorboard::TensorBoard;
use ddppo::run::text::thousands;
use ddppo::session::group::GroupMember;
use ddppo::session::progress::{Progress, Style};
use ddppo::session::sink::Sink;
use ddppo::session::{End, GroupSession, SessionOutcome};

use super::common::{listen, start};
use super::single;
use crate::cli::{SeedList, TrainArgs};
use crate::commands::output::{say, tell};

/// Trains all runs until they are done or told to stop, and says how they ended.
pub fn train(
    args: &TrainArgs,
    config: &Config,
    task: &Arc<dyn Task>,
    robot: Option<&Robot>,
) -> anyhow::Result<ExitCode> {
    // Before a folder is made, or the device opened.
    DeviceLearner::check(config)?;
    observer::check(config, &**task)?;
    let device = args.device.open()?.context("the processor is no device")?;
    let own = [config.seed()];
    let seeds = args.seeds.as_ref().map_or(&own[..], |SeedList(seeds)| seeds);
    let mut members = Vec::new();
    let mut roots = Vec::new();
    for (i, seed) in seeds.iter().enumerate() {
        let mut settings = vec![format!("seed={seed}")];
        if args.session.tensorboard {
            settings.push("report.tensorboard=true".to_owned());
        }
        let config = config.with_settings(&settings)?;
        let out = args.out.as_ref().map(|out| match args.seeds {
            Some(_) => out.join(format!("seed{seed}")),
            None => out.clone(),
        });
        let ready = start(out.as_deref(), args.resume, config, Arc::clone(task), robot)?;
        roots.push(ready.directory.root().to_owned());
        let mut sinks: Vec<Box<dyn Sink>> = vec![Box::<CurveAtEnd>::default()];
        if ready.config.run().report.tensorboard {
            sinks.push(Box::new(TensorBoard::new(true)));
        }
        // All runs are at the same step: one is seen for all.
        let style = Style::suited(args.session.quiet || i > 0);
        match Progress::new(style, Box::new(std::io::stderr())) {
            Ok(progress) => sinks.push(Box::new(progress)),
            Err(error) => say(&format!("warning: progress cannot be shown: {error}")),
        }
        members.push(GroupMember { ready, sinks, observers: vec![Box::new(Analyses)] });
    }
    let stop = listen()?;
    if !args.session.quiet {
        let count = match members.len() {
            1 => "one run".to_owned(),
            n => format!("{n} runs"),
        };
        say(&format!("{count} on {} ({})", device.platform, device.kind));
    }
    let precision = match args.tf32 {
        true => ProductPrecision::Fast,
        false => ProductPrecision::Single,
    };
    let threads = args.session.threads;
    let outcomes = GroupSession { members, device, precision, threads }.run(&stop)?;
    let mut code = ExitCode::SUCCESS;
    for (folder, outcome) in roots.iter().zip(outcomes) {
        let root = folder.display();
        match outcome {
            Ok(SessionOutcome {
                end: end @ (End::Finished | End::Solved),
                step,
                evaluation,
                ..
            }) => {
                let score = evaluation.map_or("never evaluated".to_owned(), |evaluation| {
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
                if let End::Interrupted(signal) = end {
                    code = ExitCode::from(signal.exit_code());
                }
            }
            Err(error) => {
                say(&format!("error: {root}: {:#}", anyhow::Error::from(error)));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}
