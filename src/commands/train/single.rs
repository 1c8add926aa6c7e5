//! A run that learns on the processor.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ddppo::config::Config;
use ddppo::lab::analysis::observer::{self, Analyses};
use ddppo::run::checkpoint::Evaluation;
use ddppo::run::directory::checkpoints_path;
use ddppo::run::text::thousands;
use ddppo::session::progress::{Progress, Style};
use ddppo::session::sink::Sink;
use ddppo::session::start::Ready;
use ddppo::session::{End, Session, SessionOutcome};

use super::common::{CurveAtEnd, listen};
use crate::cli::SessionArgs;
use crate::commands::output::{say, tell};

/// Trains a run until it is done or told to stop, and says how it ended.
pub fn train(ready: Ready, args: SessionArgs) -> anyhow::Result<ExitCode> {
    let stop = listen()?;
    let (root, config) = (ready.directory.root().to_owned(), ready.config.clone());
    observer::check(&config, &*ready.task)?;
    let progress = Progress::new(Style::suited(args.quiet), Box::new(std::io::stderr()));
    let curve = CurveAtEnd::default();
    let drawn = Arc::clone(&curve.drawn);
    let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(curve)];
    // Last, so that it hears of what the others cannot do. Without it the run goes on, unseen.
    match progress {
        Ok(progress) => sinks.push(Box::new(progress)),
        Err(error) => say(&format!("warning: progress cannot be shown: {error}")),
    }
    let session =
        Session { ready, threads: args.threads, sinks, observers: vec![Box::new(Analyses)] };
    let outcome = session.run(&stop)?;
    match outcome.end {
        End::Finished => {
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
    let SessionOutcome { step, evaluation, elapsed, .. } = outcome;
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
    format!(
        "trained {} for {} steps in {}: {result}\n{curve}  checkpoint  {}\n  try         ddppo evaluate {shown}\n",
        config.task(),
        thousands(*step),
        humantime::format_duration(Duration::from_secs(elapsed.as_secs())),
        checkpoints_path(root).join(step.to_string()).display(),
    )
}
