//! `ddppo tasks`.

use std::process::ExitCode;

use super::output::print;
use ddppo::env::Task;

/// Lists the built-in tasks with what a user chooses by.
pub fn run() -> anyhow::Result<ExitCode> {
    let mut out = format!(
        "{:<22}{:>11}{:>8}{:>8}{:>11}{:>14}  reward of a step\n",
        "task", "observation", "action", "limits", "time limit", "preset steps"
    );
    for name in ddppo::env::names() {
        let task = ddppo::env::task(name)?;
        out += &format!(
            "{name:<22}{:>11}{:>8}{:>8}{:>11}{:>14}  {}\n",
            task.observation_dim(),
            task.action_dim(),
            limits(&*task),
            ddppo::run::text::thousands(task.time_limit() as u64),
            ddppo::run::text::thousands(ddppo::methods::preset("ddppo", name)?.steps()),
            task.reward_summary(),
        );
    }
    print(&out)?;
    Ok(ExitCode::SUCCESS)
}

/// The range of the actions: "±1", or the widest one where they differ.
fn limits(task: &dyn Task) -> String {
    let low = task.action_low().iter().copied().fold(f64::INFINITY, f64::min);
    let high = task.action_high().iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if low == -high { format!("±{high}") } else { format!("{low}…{high}") }
}
