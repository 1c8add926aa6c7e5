//! `ddppo evaluate`.

use std::process::ExitCode;

use anyhow::Context;
use ddppo::run::directory::read_config;
use ddppo::train::Trainer;

use super::thousands;
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
    let trainer = Trainer::restore(config, task, loaded.snapshot)
        .with_context(|| format!("{} cannot be used", loaded.path.display()))?;
    let episodes = trainer.evaluate(args.episodes as usize, args.seed)?;

    let mut out = format!("{name}, policy after {} steps\n", thousands(loaded.info.step));
    for (i, episode) in episodes.iter().enumerate() {
        out += &format!(
            "episode {:>4}  return {:>10.2}  steps {:>5}\n",
            i + 1,
            episode.score,
            episode.length
        );
    }
    let n = episodes.len() as f64;
    let mean = episodes.iter().map(|episode| episode.score).sum::<f64>() / n;
    let variance = episodes.iter().map(|episode| (episode.score - mean).powi(2)).sum::<f64>() / n;
    let noun = if episodes.len() == 1 { "episode" } else { "episodes" };
    out +=
        &format!("mean return {mean:.2} ± {:.2} over {} {noun}\n", variance.sqrt(), episodes.len());
    super::print(&out)?;
    Ok(ExitCode::SUCCESS)
}
