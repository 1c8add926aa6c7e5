//! `ddppo train`, and what is common to all commands that train.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ddppo::config::Config;
use ddppo::env::robot::Robot;
use ddppo::lab::analysis::observer::{self, Analyses};
use ddppo::methods::{self, MethodInfo};
use ddppo::report::curve_at_end::CurveAtEnd;
use ddppo::report::film::Shot;
use ddppo::report::tensorboard::TensorBoard;
use ddppo::run::checkpoint::Evaluation;
use ddppo::run::directory::checkpoints_path;
use ddppo::run::text::thousands;
use ddppo::session::progress::{Progress, Style};
use ddppo::session::signals::StopRequest;
use ddppo::session::sink::Sink;
use ddppo::session::start::{Place, Ready, begin, begin_or_resume};
use ddppo::session::{End, Session, SessionOutcome};

use super::output::{UsageError, say, tell};
use crate::cli::{SessionArgs, TrainArgs};

/// Where runs go that are given no folder.
pub const RUNS: &str = "runs";

/// Starts a run of its own.
pub fn run(args: &TrainArgs) -> anyhow::Result<ExitCode> {
    let ready = prepare(args)?;
    let root = ready.directory.root().to_owned();
    let code = train(ready, args.session)?;
    if args.film && code == ExitCode::SUCCESS {
        let output = root.join("policy.gif");
        // The run is done and saved, whatever becomes of its film.
        match super::record::film(&root, false, &Shot::default(), &output, &mut |_, _| {}) {
            Ok(filmed) => tell(&super::record::in_words(&output, &filmed)),
            Err(error) => say(&format!("warning: the policy is not filmed: {error:#}")),
        }
    }
    Ok(code)
}

/// The run that is asked for, ready to be trained.
pub fn prepare(args: &TrainArgs) -> anyhow::Result<Ready> {
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
    let robot = robot.as_ref();
    Ok(match &args.out {
        Some(root) if args.resume => begin_or_resume(root, config, task, robot)?,
        Some(root) => begin(Place::Folder(root), config, task, robot)?,
        None => begin(Place::Numbered(Path::new(RUNS)), config, task, robot)?,
    })
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

/// Trains a run until it is done or told to stop, and says how it ended.
pub fn train(mut ready: Ready, args: SessionArgs) -> anyhow::Result<ExitCode> {
    if args.tensorboard && !ready.config.run().report.tensorboard {
        // Kept, so that the run goes on so when it is resumed.
        ready.config = ready.config.with_settings(&["report.tensorboard=true"])?;
        ready.directory.write_config(&ready.config)?;
    }
    let stop = StopRequest::listen(|| {
        say(
            "\nstopping after this step, which is saved; Ctrl-C once more stops at once, without saving",
        );
    });
    let stop = stop.context("signals cannot be listened to")?;
    let (root, config) = (ready.directory.root().to_owned(), ready.config.clone());
    observer::check(&config, &*ready.task)?;
    let progress = Progress::new(Style::suited(args.quiet), Box::new(std::io::stderr()));
    let curve = CurveAtEnd::default();
    let drawn = Arc::clone(&curve.drawn);
    let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(curve)];
    if config.run().report.tensorboard {
        sinks.push(Box::new(TensorBoard::new(true)));
    }
    // Last, so that it hears of what the others cannot do. Without it the run goes on, unseen.
    match progress {
        Ok(progress) => sinks.push(Box::new(progress)),
        Err(error) => say(&format!("warning: progress cannot be shown: {error}")),
    }
    let session =
        Session { ready, threads: args.threads, sinks, observers: vec![Box::new(Analyses)] };
    let outcome = session.run(&stop)?;
    match outcome.end {
        End::Finished | End::Solved => {
            tell(&conclusion(&root, &config, &outcome, drawn.get()));
            Ok(ExitCode::SUCCESS)
        }
        End::Interrupted(signal) => {
            goes_on(&root, &outcome);
            Ok(ExitCode::from(signal.exit_code()))
        }
        End::Stopped => {
            goes_on(&root, &outcome);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn goes_on(root: &Path, outcome: &SessionOutcome) {
    let step = thousands(outcome.step);
    say(&format!("saved at step {step}; go on with `ddppo resume {}`", root.display()));
}

/// What was trained, and where everything is.
fn conclusion(
    root: &Path,
    config: &Config,
    outcome: &SessionOutcome,
    curve: Option<&[PathBuf; 2]>,
) -> String {
    let SessionOutcome { end, step, evaluation, elapsed } = outcome;
    let result = match evaluation {
        Some(Evaluation { return_mean, step }) => {
            format!("mean return {return_mean:.1} at step {}", thousands(*step))
        }
        None => "never evaluated".to_owned(),
    };
    let curve = curve.map_or(String::new(), |[svg, png]| {
        format!("  curve       {}\n              {}\n", svg.display(), png.display())
    });
    let shown = root.display();
    let solved = match end {
        End::Solved => format!(
            "solved: the last {} evaluations reach {} in the mean; go on with `ddppo resume {shown} --until-return inf`\n",
            config.run().evaluation.stop_evaluations,
            config.run().evaluation.stop_at_return,
        ),
        _ => String::new(),
    };
    format!(
        "{solved}trained {} for {} steps in {}: {result}\n{curve}  checkpoint  {}\n  try         ddppo evaluate {shown}\n",
        config.task(),
        thousands(*step),
        humantime::format_duration(Duration::from_secs(elapsed.as_secs())),
        checkpoints_path(root).join(step.to_string()).display(),
    )
}
