//! `ddppo figure estimators`.

use std::path::Path;
use std::process::ExitCode;

use ddppo::lab::estimators::study::{EstimatorStudy, StudyError, StudySize};
use ddppo::lab::estimators::trial::{EstimatorOutcome, EstimatorTrial};
use ddppo::lab::figures::estimators;

use ddppo::sweep::trials::{PlacedTrial, estimates, run_missing};
use ddppo::train::Trainer;

use super::super::output::{print, saved_run, say};
use super::written::{duration, say_plan, worker_pool, write};
use crate::cli::EstimatorsArgs;

/// Trains the run's model further with each loss, and compares the policy gradients that come of it.
pub fn run(args: &EstimatorsArgs) -> anyhow::Result<ExitCode> {
    let pool = worker_pool(args.threads)?;
    let saved = saved_run(&args.run, false)?;
    pool.install(move || study(&saved, args))
}

fn study(saved: &Trainer, args: &EstimatorsArgs) -> anyhow::Result<ExitCode> {
    let states = args.states as usize;
    let study = EstimatorStudy::new(saved, states)?;
    let trials = study.trials(StudySize {
        steps: u64::from(args.steps),
        seconds: f64::from(args.seconds),
        seeds: u64::from(args.seeds),
        states,
        members: args.members.map(usize::from),
        fresh: args.fresh,
    })?;
    let trials: Vec<PlacedTrial<EstimatorTrial>> =
        trials.into_iter().map(|trial| placed(&args.output, trial)).collect();
    if args.dry_run {
        let alike = |a: &EstimatorTrial, b: &EstimatorTrial| a.loss == b.loss;
        let estimate = |trial: &EstimatorTrial| study.estimate(trial);
        let seconds = estimates::<EstimatorOutcome, StudyError>(&trials, alike, estimate)?;
        say_plan(&trials, &seconds)?;
        return Ok(ExitCode::SUCCESS);
    }
    let done = |i: usize, place: &Path, outcome: &EstimatorOutcome| {
        let last = &outcome.by_steps[outcome.by_steps.len() - 1];
        let biases = last.biases.iter().map(|(h, bias)| format!("  H = {h}: {:.3}", bias.relative));
        say(&format!(
            "{}/{}  {}  bias{}  {}",
            i + 1,
            trials.len(),
            place.display(),
            biases.collect::<String>(),
            duration(last.seconds)
        ));
    };
    let run = |trial: &EstimatorTrial| study.run(trial);
    let outcomes = run_missing::<_, StudyError>(&trials, run, done)?;
    let (picture, csv) = (estimators::picture(&outcomes), estimators::csv(&outcomes));
    write(&args.output, "estimators", &picture, &csv)?;
    print(&format!("{} real paths\n", study.paths()))?;
    print(&estimators::summary(&outcomes))?;
    Ok(ExitCode::SUCCESS)
}

fn placed(folder: &Path, trial: EstimatorTrial) -> PlacedTrial<EstimatorTrial> {
    let loss = trial.loss.name().replace([' ', '\''], "-");
    let file = format!("{}-{loss}-seed{}.json", trial.task, trial.seed);
    PlacedTrial { place: folder.join("trials").join(file), trial }
}
