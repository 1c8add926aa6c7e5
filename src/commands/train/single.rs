//! A run that learns on the processor.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ddppo::config::Config;
use ddppo::lab::analysis::observer::{self, Analyses};
use ddppo::report::curve_at_end::CurveAtEnd;
use ddppo::report::film::Shot;
use ddppo::report::tensorboard::TensorBoard;
use ddppo::run::checkpoint::Evaluation;
use ddppo::run::directory::checkpoints_path;
use ddppo::run::text::thousands;
use ddppo::session::progress::{Progress, Style};
use ddppo::session::sink::Sink;
use ddppo::session::start::Ready;
use ddppo::session::{End, Session, SessionOutcome};

use super::common::listen;
use crate::cli::SessionArgs;
use crate::commands::output::{say, tell};
use crate::commands::record;

/// Films an episode of a run that is done and saved, whatever becomes of its film.
pub fn film(root: &Path) {
    let output = root.join("policy.gif");
    match record::film(root, false, &Shot::default(), &output, &mut |_, _| {}) {
        Ok(filmed) => tell(&record::in_words(&output, &filmed)),
        Err(error) => say(&format!("warning: the policy is not filmed: {error:#}")),
    }
}

/// Trains a run until it is done or told to stop, and says how it ended.
pub fn train(mut ready: Ready, args: SessionArgs) -> anyhow::Result<ExitCode> {
    if args.tensorboard && !ready.config.run().report.tensorboard {
        // Kept, so that the run goes on so when it is resumed.
        ready.config = ready.config.with_settings(&["report.tensorboard=true"])?;
        ready.directory.write_config(&ready.config)?;
    }
    let stop = listen()?;
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
        None => {
            "no score, since it was never evaluated, or the physics broke in the last evaluation"
                .to_owned()
        }
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
