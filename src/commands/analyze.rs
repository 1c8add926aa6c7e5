//! `ddppo analyze`.

use std::process::ExitCode;

use ddppo::lab::analysis::analyse;
use ddppo::lab::figures::analysis_table::table;
use ddppo::lab::figures::gradient_errors::gradient_errors;

use super::output::{UsageError, print, saved_run};
use crate::cli::AnalyzeArgs;

/// Compares a run's models with the environment.
pub fn run(args: &AnalyzeArgs) -> anyhow::Result<ExitCode> {
    let run = saved_run(&args.run, args.best)?;
    let task = run.task();
    let analysis = analyse(&run, args.states as usize, args.seed)?;
    if let Some(file) = &args.output {
        let Some(group) = &analysis.errors.regular else {
            let message =
                "every state has a contact event, so there is nothing to draw: try more --states";
            return Err(UsageError(message.to_owned()).into());
        };
        gradient_errors(task.name(), group, &analysis.multi_step).write(file)?;
    }
    print(&if args.json {
        serde_json::to_string_pretty(&analysis)? + "\n"
    } else {
        table(&analysis, task)
    })?;
    Ok(ExitCode::SUCCESS)
}
