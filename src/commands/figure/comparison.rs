//! `ddppo figure 1`: all methods on all tasks. What is missing is trained or resumed, then all is drawn; or runs that there are.

use std::path::PathBuf;
use std::process::ExitCode;

use ddppo::config::Config;
use ddppo::lab::figures::run_figures::ALL;
use ddppo::methods::{self, MethodInfo};
use ddppo::report::comparison::Comparison;
use ddppo::report::published;
use ddppo::report::scored_run::{ScoreError, ScoredRun};
use ddppo::run::directory::metrics_path;
use ddppo::run::metrics;
use ddppo::run::text::thousands;
use ddppo::sweep::cells::Cell;
use serde_json::Value;

use super::super::output::{UsageError, print};
use super::runs::{done, train};
use super::written::{duration, write};
use crate::cli::ComparisonArgs;

/// Name of the files.
const NAME: &str = "figure1";

/// Trains what is missing and draws.
pub fn run(args: &ComparisonArgs) -> anyhow::Result<ExitCode> {
    let methods = chosen_methods(&args.methods)?;
    let tasks = chosen_tasks(&args.tasks)?;
    let none = matches!(&args.published[..], [only] if only == "none");
    let published = if none { Vec::new() } else { args.published.clone() };
    published::check(&published)?;
    let names = methods.iter().map(|info| info.name).collect();
    let runs = if args.runs.is_empty() {
        let planned = plan(&methods, &tasks, args)?;
        if args.dry_run {
            tell(&planned)?;
            return Ok(ExitCode::SUCCESS);
        }
        for run in &planned {
            let code = train(run, args.session)?;
            if code != ExitCode::SUCCESS {
                return Ok(code);
            }
        }
        read(planned.iter().map(|run| &run.folder))?
    } else {
        read(args.runs.iter())?
    };
    let comparison = Comparison::new(tasks, names, runs, published)
        .map_err(|mismatch| UsageError(mismatch.to_string()))?;
    write(&args.output, NAME, &comparison.picture(), &comparison.table())?;
    print(&comparison.summary())?;
    Ok(ExitCode::SUCCESS)
}

fn read<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Result<Vec<ScoredRun>, ScoreError> {
    let all = paths.map(|path| ScoredRun::read(path)).collect::<Result<Vec<_>, _>>()?;
    Ok(all.into_iter().flatten().collect())
}

fn chosen_methods(given: &[String]) -> anyhow::Result<Vec<&'static MethodInfo>> {
    if given.is_empty() {
        return Ok(methods::all().to_vec());
    }
    let mut chosen = Vec::new();
    for name in given {
        let info = methods::find(name)?;
        if chosen.iter().all(|other: &&MethodInfo| other.name != info.name) {
            chosen.push(info);
        }
    }
    Ok(chosen)
}

fn chosen_tasks(given: &[String]) -> anyhow::Result<Vec<String>> {
    let mut chosen: Vec<String> = Vec::new();
    let all = || ALL.iter().map(|&task| task.to_owned()).collect::<Vec<_>>();
    for task in if given.is_empty() { all() } else { given.to_vec() } {
        ddppo::env::task(&task)?;
        if !chosen.contains(&task) {
            chosen.push(task);
        }
    }
    Ok(chosen)
}

/// Every cell with every seed, seed by seed: with few of them done, each method has as many on each task.
fn plan(
    methods: &[&'static MethodInfo],
    tasks: &[String],
    args: &ComparisonArgs,
) -> anyhow::Result<Vec<Cell>> {
    let mut runs = Vec::new();
    for seed in 0..args.seeds {
        for task in tasks {
            for info in methods {
                let mut settings = vec![format!("seed={seed}")];
                settings.extend(args.steps.map(|steps| format!("steps={steps}")));
                let config = info.preset(task)?.with_settings(&settings)?;
                let name = format!("{task}-{}-seed{seed}", info.name);
                runs.push(Cell { folder: args.output.join("runs").join(name), config });
            }
        }
    }
    Ok(runs)
}

/// Wall-clock seconds a step of a run so far, by its own records; `None` where it has none.
fn seconds_a_step(run: &Cell) -> Option<f64> {
    let lines = metrics::read(&metrics_path(&run.folder)).ok()?;
    let times = lines.iter().filter_map(|line| line.values.get("time")?.as_object());
    let seconds: f64 = times.flat_map(|time| time.values()).filter_map(Value::as_f64).sum();
    let last = lines.last()?.step;
    (last > 0).then(|| seconds / last as f64)
}

/// Says what would be trained, and for about how long where a run of the method on the task shows it.
fn tell(runs: &[Cell]) -> anyhow::Result<()> {
    let speeds: Vec<(&Config, f64)> =
        runs.iter().filter_map(|run| Some((&run.config, seconds_a_step(run)?))).collect();
    let (mut total, mut unknown) = (0.0, 0);
    for run in runs {
        let finished = done(run)?.unwrap_or(0).min(run.config.steps());
        let like = |(config, _): &&(&Config, f64)| {
            (config.task(), config.algorithm()) == (run.config.task(), run.config.algorithm())
        };
        let left = (run.config.steps() - finished) as f64;
        let estimate = match speeds.iter().find(like) {
            _ if left == 0.0 => "finished".to_owned(),
            Some((_, speed)) => {
                total += left * speed;
                format!("about {}", duration(left * speed))
            }
            None => {
                unknown += 1;
                "not known yet".to_owned()
            }
        };
        print(&format!(
            "{estimate:<16}  {} of {} steps done  {}\n",
            thousands(finished),
            thousands(run.config.steps()),
            run.folder.display()
        ))?;
    }
    print(&format!(
        "about {} in all, by the speed of the runs in the folder, and {unknown} of {} runs of which none there shows how long they take\n",
        duration(total),
        runs.len()
    ))
}
