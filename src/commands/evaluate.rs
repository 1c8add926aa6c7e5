//! `ddppo evaluate`.

use std::process::ExitCode;

use anyhow::Context;
use ddppo::run::directory::read_config;
use ddppo::train::Trainer;

use crate::cli::EvaluateArgs;

/// Plays episodes with a saved policy and prints their returns. The run is only read.
pub fn run(args: &EvaluateArgs) -> anyhow::Result<ExitCode> {
    let config = read_config(&args.run)?;
    let task = ddppo::env::task(&config.task)?;
    let mut store = super::session::store(&args.run, &config);
    let loaded = if args.best { store.load_best() } else { store.load_newest() }?;
    for damage in &loaded.passed_over {
        eprintln!("warning: a checkpoint is damaged and passed over: {damage}");
    }
    let name = config.task.clone();
    let mut trainer = Trainer::restore(config, task, loaded.snapshot)
        .with_context(|| format!("{} cannot be used", loaded.path.display()))?;
    let returns = trainer.evaluate(args.episodes as usize, args.seed)?;

    let mut out = format!("{name}, policy after {} steps\n", super::thousands(loaded.info.step));
    for (i, value) in returns.iter().enumerate() {
        out += &format!("episode {:>4}  return {value:>10.2}\n", i + 1);
    }
    let n = returns.len() as f64;
    let mean = returns.iter().sum::<f64>() / n;
    let deviation = (returns.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt();
    let episodes = if returns.len() == 1 { "episode" } else { "episodes" };
    out += &format!("mean return {mean:.2} ± {deviation:.2} over {} {episodes}\n", returns.len());
    super::print(&out)?;
    Ok(ExitCode::SUCCESS)
}
