//! `ddppo export`.

use std::process::ExitCode;

use ddppo::export;
use ddppo::run::text::thousands;

use super::output::{chosen_run, print};
use crate::cli::ExportArgs;

/// Writes a run's policy for other programs.
pub fn run(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    // Before the run is loaded, which may take a while.
    export::check_name(&args.output)?;
    let run = chosen_run(&args.run, args.checkpoint)?;
    let policy = export::export(&run, &args.output)?;
    print(&format!(
        "{}: policy of {} by {} after {} steps, {} to {}, {} parameters\n",
        args.output.display(),
        policy.about.task,
        policy.about.method,
        thousands(policy.about.step),
        counted(policy.observation_dim(), "observation"),
        counted(policy.action_dim(), "action"),
        thousands(policy.parameters() as u64),
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
