//! `ddppo evaluate`.

use std::process::ExitCode;

use ddppo::run::text::thousands;
use ddppo::train::Trainer;
use ddppo::train::evaluation::{Acting, Played, Scores};
use serde_json::{Value, json};

use super::output::{chosen_run, print};
use crate::cli::EvaluateArgs;

/// Plays episodes with a saved policy and prints their returns. The run is only read.
pub fn run(args: &EvaluateArgs) -> anyhow::Result<ExitCode> {
    let trainer = chosen_run(&args.run, args.checkpoint)?;
    let acting = if args.stochastic { Acting::Exploring } else { Acting::Best };
    let episodes = trainer.evaluate_acting(acting, args.episodes as usize, args.seed)?;
    if let Some(at) =
        episodes.iter().position(|episode| !episode.broke && !episode.score.is_finite())
    {
        let message = "the return of episode {} is not finite: the policy or the environment gives numbers that are none";
        anyhow::bail!(message.replace("{}", &(at + 1).to_string()));
    }
    print(&if args.json {
        json(args, &trainer, &episodes)?
    } else {
        table(args, &trainer, &episodes)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn table(args: &EvaluateArgs, run: &Trainer, episodes: &[Played]) -> String {
    let noise = if args.stochastic { ", with its noise" } else { "" };
    let mut out =
        format!("{}, policy after {} steps{noise}\n", run.task().name(), thousands(run.step()));
    for (i, episode) in episodes.iter().enumerate() {
        let unstable = if episode.broke { "  the physics became unstable: no score" } else { "" };
        out += &format!(
            "episode {:>4}  return {:>10.2}  steps {:>5}{unstable}\n",
            i + 1,
            episode.score,
            episode.length
        );
    }
    let scores = Scores::of(episodes);
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
    out
}

/// One object, its numbers named as in docs/metrics.md; `null` where no episode has a return.
fn json(args: &EvaluateArgs, run: &Trainer, episodes: &[Played]) -> anyhow::Result<String> {
    let scores = Scores::of(episodes);
    let played: Vec<Value> = episodes
        .iter()
        .map(|episode| {
            let score = (!episode.broke).then_some(episode.score);
            json!({ "return": score, "steps": episode.length, "unstable": episode.broke })
        })
        .collect();
    let object = json!({
        "task": run.task().name(),
        "algorithm": run.config().algorithm(),
        "step": run.step(),
        "seed": args.seed,
        "stochastic": args.stochastic,
        // NaN becomes null.
        "return_mean": scores.mean,
        "return_std": scores.deviation,
        "length_mean": scores.length,
        "unstable": scores.unstable,
        "episodes": played,
    });
    Ok(serde_json::to_string_pretty(&object)? + "\n")
}

fn counted(episodes: usize) -> String {
    format!("{episodes} {}", if episodes == 1 { "episode" } else { "episodes" })
}
