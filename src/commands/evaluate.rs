//! `ddppo evaluate`.

use std::process::ExitCode;

use super::output::{print, saved_run};
use crate::cli::EvaluateArgs;
use ddppo::run::text::thousands;
use ddppo::train::evaluation::Scores;

/// Plays episodes with a saved policy and prints their returns. The run is only read.
pub fn run(args: &EvaluateArgs) -> anyhow::Result<ExitCode> {
    let trainer = saved_run(&args.run, args.best)?;
    let episodes = trainer.evaluate(args.episodes as usize, args.seed)?;

    let mut out =
        format!("{}, policy after {} steps\n", trainer.task().name(), thousands(trainer.step()));
    for (i, episode) in episodes.iter().enumerate() {
        let unstable = if episode.broke { "  the physics became unstable: no score" } else { "" };
        out += &format!(
            "episode {:>4}  return {:>10.2}  steps {:>5}{unstable}\n",
            i + 1,
            episode.score,
            episode.length
        );
    }
    if let Some(at) =
        episodes.iter().position(|episode| !episode.broke && !episode.score.is_finite())
    {
        let message = "the return of episode {} is not finite: the policy or the environment gives numbers that are none";
        anyhow::bail!(message.replace("{}", &(at + 1).to_string()));
    }
    let scores = Scores::of(&episodes);
    let scored = episodes.len() - scores.unstable;
    if scores.unstable > 0 {
        out += &format!("{} unstable, left out of the mean\n", counted(scores.unstable));
    }
    out += &if scored > 0 {
        let (mean, deviation) = (scores.mean, scores.deviation);
        format!("mean return {mean:.2} ± {deviation:.2} over {}\n", counted(scored))
    } else {
        "no mean return: no episode was stable\n".to_owned()
    };
    print(&out)?;
    Ok(ExitCode::SUCCESS)
}

fn counted(episodes: usize) -> String {
    format!("{episodes} {}", if episodes == 1 { "episode" } else { "episodes" })
}
