//! `ddppo record`.

use std::path::Path;
use std::process::ExitCode;

use ddppo::env::EnvironmentError;
use ddppo::report::film::Shot;

use ddppo::session::saved as saved_run;

use super::UsageError;
use crate::cli::RecordArgs;

/// Films an episode.
pub fn run(args: &RecordArgs) -> anyhow::Result<ExitCode> {
    let shot = Shot { seed: args.seed, seconds: args.seconds, ..Shot::default() };
    let folder = Path::new(&args.subject);
    let filmed = if is_run(folder) {
        let run = super::saved_run(folder, args.best)?;
        ddppo::report::film::record(run.task(), shot, &mut saved_run::trained(&run), &args.output)?
    } else {
        let task =
            ddppo::env::task(&args.subject).map_err(|error| unknown(&args.subject, error))?;
        if args.best {
            let message = format!("--best needs a run, and {} is a task", args.subject);
            return Err(UsageError(message).into());
        }
        ddppo::report::film::record(&*task, shot, &mut saved_run::random(&*task), &args.output)?
    };
    super::print(&format!(
        "{}: {} frames of {} steps, return {:.1}\n",
        args.output.display(),
        filmed.frames,
        filmed.steps,
        filmed.total_reward
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// A folder, or something that could only be one: no task has a slash in its name.
fn is_run(path: &Path) -> bool {
    path.is_dir() || path.components().count() > 1
}

fn unknown(subject: &str, error: EnvironmentError) -> anyhow::Error {
    match error {
        EnvironmentError::UnknownTask { hint, known, .. } => UsageError(format!(
            "`{subject}` is neither the folder of a run nor a task{hint}; the tasks are {known}"
        ))
        .into(),
        error => error.into(),
    }
}
