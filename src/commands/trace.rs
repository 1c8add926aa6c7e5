//! `ddppo trace`.

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use ddppo::session::saved as saved_run;

use super::output::{UsageError, saved_run};
use crate::cli::TraceArgs;

/// Writes what an environment did as JSON lines.
pub fn run(args: &TraceArgs) -> anyhow::Result<ExitCode> {
    let run = args.policy.as_ref().map(|run| saved_run(run, false)).transpose()?;
    let named;
    let (task, mut behaviour) = match (&run, &args.task) {
        (Some(run), task) => {
            let own = run.task().name();
            if let Some(task) = task.as_deref().filter(|task| *task != own) {
                let message = format!("the policy was trained on {own} and cannot act in {task}");
                return Err(UsageError(message).into());
            }
            (run.task(), saved_run::trained(run))
        }
        (None, task) => {
            // The parser has made sure that one of the two is there.
            named = ddppo::env::task(task.as_deref().unwrap_or_default())?;
            (&*named, saved_run::random(&*named))
        }
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    ddppo::env::trace(task, args.steps as usize, args.seed, &mut behaviour, &mut out)?;
    out.flush().map_err(ddppo::env::TraceError::from)?;
    Ok(ExitCode::SUCCESS)
}
