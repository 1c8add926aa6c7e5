//! `ddppo tasks`.

use std::process::ExitCode;

use ddppo::config::{Algorithm, Config};

/// Lists the built-in tasks with what a user chooses by.
pub fn run() -> anyhow::Result<ExitCode> {
    let mut out =
        format!("{:<22}{:>12}{:>9}{:>14}\n", "task", "observation", "action", "preset steps");
    for name in ddppo::env::names() {
        let task = ddppo::env::task(name)?;
        let steps = Config::preset(Algorithm::Ddppo, name)?.steps;
        let (observation, action) = (task.observation_dim(), task.action_dim());
        out += &format!("{name:<22}{observation:>12}{action:>9}{:>14}\n", super::thousands(steps));
    }
    super::print(&out)?;
    Ok(ExitCode::SUCCESS)
}
