//! `ddppo evaluate`.

use std::process::ExitCode;

use crate::cli::EvaluateArgs;
use ddppo::session::progress::thousands;

/// Plays episodes with a saved policy and prints their returns. The run is only read.
pub fn run(args: &EvaluateArgs) -> anyhow::Result<ExitCode> {
    let trainer = super::saved_run(&args.run, args.best)?;
    let episodes = trainer.evaluate(args.episodes as usize, args.seed)?;

    let mut out =
        format!("{}, policy after {} steps\n", trainer.task().name(), thousands(trainer.step()));
    for (i, episode) in episodes.iter().enumerate() {
        out += &format!(
            "episode {:>4}  return {:>10.2}  steps {:>5}\n",
            i + 1,
            episode.score,
            episode.length
        );
    }
    if let Some(at) = episodes.iter().position(|episode| !episode.score.is_finite()) {
        let message = "the return of episode {} is not finite: the policy or the environment gives numbers that are none";
        anyhow::bail!(message.replace("{}", &(at + 1).to_string()));
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
