//! `ddppo figure 2` and `ddppo figure directions`: models learned from a random policy's data.

use std::path::Path;
use std::process::ExitCode;

use ddppo::config::{Config, ConfigError};
use ddppo::lab::figures::model_trials;
use ddppo::lab::model_trial::{ModelTrial, TrialError, TrialOutcome};
use ddppo::methods::ddppo::{DdppoConfig, INFO};
use ddppo::model::GradientLossConfig;
use ddppo::sweep::trials::{PlacedTrial, estimates, run_missing};

use super::super::output::{UsageError, print, say};
use super::written::{duration, say_plan, worker_pool, write};
use crate::cli::{DirectionsArgs, ModelsArgs, TrialArgs};

/// Fig. 2: for each task and seed, the same model without and with R.
pub fn with_and_without(args: &ModelsArgs) -> anyhow::Result<ExitCode> {
    let mut arms = Vec::new();
    for task in &args.tasks {
        let config = configure(task, &args.trials, args.directions.map(usize::from))?;
        require_loss(&config)?;
        arms.extend([without_loss(&config)?, config]);
    }
    make(&over_seeds(&arms, &args.trials)?, &args.trials, &args.output, "figure2")
}

/// Which m costs nothing: the paper's m = n first, then fewer, then no R at all.
pub fn directions(args: &DirectionsArgs) -> anyhow::Result<ExitCode> {
    let mut arms = Vec::new();
    for task in &args.tasks {
        let all = loss(&configure(task, &args.trials, None)?).neighbours;
        let mut values: Vec<usize> = if args.directions.is_empty() {
            [1, 2, 5, all].into_iter().filter(|&m| m <= all).collect()
        } else {
            args.directions.iter().map(|&m| usize::from(m)).chain([all]).collect()
        };
        values.sort_unstable();
        values.dedup();
        for &m in values.iter().rev() {
            let config = configure(task, &args.trials, Some(m))?;
            require_loss(&config)?;
            arms.push(config);
        }
        arms.push(without_loss(&arms[arms.len() - 1])?);
    }
    make(&over_seeds(&arms, &args.trials)?, &args.trials, &args.output, "directions")
}

/// The preset with the flags on top.
fn configure(task: &str, args: &TrialArgs, directions: Option<usize>) -> anyhow::Result<Config> {
    let preset = INFO.preset(task)?;
    let DdppoConfig { gradient_loss, model, .. } = preset.view();
    let neighbours = args.neighbours.map_or(gradient_loss.neighbours, usize::from);
    // A preset's m and elites may be more than the n and members asked for.
    let directions = directions.unwrap_or(gradient_loss.directions_per_row.min(neighbours));
    let members = usize::from(args.members);
    let mut settings = vec![
        format!("gradient_loss.neighbours={neighbours}"),
        format!("gradient_loss.directions_per_row={directions}"),
        format!("model.members={members}"),
        format!("model.elites={}", model.ensemble.elites.min(members)),
    ];
    settings.extend(args.weight.map(|weight| format!("gradient_loss.weight={weight:?}")));
    settings.extend(args.settings.iter().cloned());
    let config = preset.with_settings(&settings)?;
    if config.task() != task || config.seed() != preset.seed() {
        let message =
            "`task` and `seed` are not for --set here: tasks are arguments, and seeds go from 0 on";
        return Err(UsageError(message.to_owned()).into());
    }
    let neighbours = loss(&config).neighbours;
    if neighbours >= args.steps as usize {
        let message = format!(
            "{neighbours} neighbours of each transition need more than {neighbours} transitions, but --steps is {}",
            args.steps
        );
        return Err(UsageError(message).into());
    }
    Ok(config)
}

fn require_loss(config: &Config) -> anyhow::Result<()> {
    if loss(config).weight == 0.0 {
        let message = "`gradient_loss.weight` is 0, but must be above 0: the model without gradient loss is compared with one that has it";
        return Err(UsageError(message.to_owned()).into());
    }
    Ok(())
}

fn loss(config: &Config) -> GradientLossConfig {
    config.view::<DdppoConfig>().gradient_loss
}

fn without_loss(config: &Config) -> Result<Config, ConfigError> {
    // m is of no effect without R: one value, so that trials are found again whatever m the others have.
    config.with_settings(&["gradient_loss.weight=0", "gradient_loss.directions_per_row=1"])
}

/// Seed by seed, so that one that was stopped has whole comparisons.
fn over_seeds(arms: &[Config], args: &TrialArgs) -> Result<Vec<ModelTrial>, ConfigError> {
    let (steps, epochs, states) =
        (args.steps as usize, u64::from(args.epochs), args.states as usize);
    (0..u64::from(args.seeds))
        .flat_map(|seed| arms.iter().map(move |arm| arm.with_settings(&[format!("seed={seed}")])))
        .map(|config| Ok(ModelTrial::new(&config?, steps, epochs, states)))
        .collect()
}

/// Runs the trials that are missing and draws all.
fn make(
    trials: &[ModelTrial],
    args: &TrialArgs,
    folder: &Path,
    name: &str,
) -> anyhow::Result<ExitCode> {
    let pool = worker_pool(args.threads)?;
    let placed: Vec<PlacedTrial<ModelTrial>> =
        trials.iter().map(|trial| placed(folder, trial)).collect();
    if args.dry_run {
        let alike = |a: &ModelTrial, b: &ModelTrial| {
            ModelTrial { seed: 0, ..a.clone() } == ModelTrial { seed: 0, ..b.clone() }
        };
        let estimate = |trial: &ModelTrial| trial.estimate(&*ddppo::env::task(&trial.task)?);
        let seconds =
            pool.install(|| estimates::<TrialOutcome, TrialError>(&placed, alike, estimate))?;
        say_plan(&placed, &seconds)?;
        return Ok(ExitCode::SUCCESS);
    }
    let run = |trial: &ModelTrial| trial.run(&*ddppo::env::task(&trial.task)?, &mut |_| {});
    let done = |i: usize, place: &Path, outcome: &TrialOutcome| {
        let last = outcome.last();
        say(&format!(
            "{}/{}  {}  gradient error {:.3e}  prediction error {:.3e}  {}",
            i + 1,
            trials.len(),
            place.display(),
            last.error.mean_gradient(),
            last.error.mean_prediction(),
            duration(outcome.seconds)
        ));
    };
    let outcomes = pool.install(|| run_missing::<_, TrialError>(&placed, run, done))?;
    write(folder, name, &model_trials::picture(&outcomes), &model_trials::csv(&outcomes))?;
    print(&model_trials::summary(&outcomes))?;
    Ok(ExitCode::SUCCESS)
}

fn placed(folder: &Path, trial: &ModelTrial) -> PlacedTrial<ModelTrial> {
    let loss = &trial.gradient_loss;
    let arm = if loss.weight == 0.0 {
        "without".to_owned()
    } else {
        format!("m{}", loss.directions_per_row)
    };
    let file = format!("{}-{arm}-seed{}.json", trial.task, trial.seed);
    PlacedTrial { place: folder.join("trials").join(file), trial: trial.clone() }
}
