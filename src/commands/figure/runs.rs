//! Figures made of training runs: what is missing is trained or resumed, then all is drawn from the runs' metrics.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use ddppo::config::{Config, differences};
use ddppo::lab::bench::cost::{Cost, EPOCHS};
use ddppo::lab::figures::run_curves::{Seeds, csv, panel, summary};
use ddppo::lab::figures::run_figures::{Curve, RunFigure};
use ddppo::methods::config_of_run;
use ddppo::report::chart::{Panel, draw};
use ddppo::run::directory::metrics_path;
use ddppo::run::metrics;
use ddppo::sweep::cells::{Cell, arms, cells, folder};

use super::super::output::{UsageError, print};
use super::super::resume;
use super::written::{duration, worker_pool, write};
use crate::cli::{ResumeArgs, RunFigureArgs, SessionArgs};
use ddppo::run::text::thousands;
use ddppo::session::start::{Place, begin, store};

/// Trains what is missing and draws.
pub fn run(figure: RunFigure, args: &RunFigureArgs) -> anyhow::Result<ExitCode> {
    let mut settings = args.settings.clone();
    settings.extend(args.steps.map(|steps| format!("steps={steps}")));
    let tasks: Vec<&str> = match args.tasks.as_slice() {
        [] => figure.tasks().to_vec(),
        given => given.iter().map(String::as_str).collect(),
    };
    let mut panels = Vec::new();
    for task in tasks {
        panels.extend(figure.panels(task, &settings)?);
    }
    let output = args.output.clone().unwrap_or_else(|| Path::new("figures").join(figure.name()));
    let arms = arms(&panels);
    let runs = cells(&output, &arms, u64::from(args.seeds))?;
    if args.dry_run {
        plan(&runs, args.session)?;
        return Ok(ExitCode::SUCCESS);
    }
    for run in &runs {
        let code = train(run, args.session)?;
        if code != ExitCode::SUCCESS {
            return Ok(code);
        }
    }
    let curves: Vec<Vec<Seeds>> = panels
        .iter()
        .map(|panel| {
            let of_curve = |curve: &Curve| read(&output, &arms, curve, args.seeds);
            panel.curves.iter().map(of_curve).collect::<anyhow::Result<_>>()
        })
        .collect::<anyhow::Result<_>>()?;
    let drawn: Vec<Panel> =
        panels.iter().zip(&curves).map(|(plan, curves)| panel(plan, curves)).collect();
    write(&output, figure.name(), &draw(&drawn), &csv(&panels, &curves))?;
    print(&summary(&panels, &curves))?;
    Ok(ExitCode::SUCCESS)
}

/// Steps that the run in the folder has saved; `None` where there is none. A run with other settings is an error.
pub(super) fn done(run: &Cell) -> anyhow::Result<Option<u64>> {
    if !run.folder.join("config.toml").exists() {
        return Ok(None);
    }
    let found = config_of_run(&run.folder)?;
    if let Some((key, there, here)) = differences(&found.identity(), &run.config.identity()).first()
    {
        let message = format!(
            "{} holds a run with other settings (`{key}` is {there}, not {here}): choose another folder with -o",
            run.folder.display()
        );
        return Err(UsageError(message).into());
    }
    Ok(Some(store(&run.folder, &found).steps()?.last().copied().unwrap_or(0)))
}

pub(super) fn train(run: &Cell, session: SessionArgs) -> anyhow::Result<ExitCode> {
    match done(run)? {
        Some(step) if step >= run.config.steps() => Ok(ExitCode::SUCCESS),
        Some(_) => resume::run(&ResumeArgs {
            run: run.folder.clone(),
            steps: Some(run.config.steps()),
            until_return: Some(run.config.run().evaluation.stop_at_return),
            session,
        }),
        None => {
            let task = ddppo::env::task(run.config.task())?;
            let ready = begin(Place::Folder(&run.folder), run.config.clone(), task, None)?;
            super::super::train::train(ready, session)
        }
    }
}

/// Says what would be trained and for about how long.
fn plan(runs: &[Cell], session: SessionArgs) -> anyhow::Result<()> {
    let pool = worker_pool(session.threads)?;
    let mut costs: Vec<(String, Cost)> = Vec::new();
    let mut total = 0.0;
    for run in runs {
        let task = run.config.task();
        let finished = done(run)?.unwrap_or(0);
        if finished < run.config.steps() && !costs.iter().any(|(known, _)| known == task) {
            costs.push((task.to_owned(), pool.install(|| Cost::measure(&run.config))?));
        }
        let cost = costs.iter().find(|(known, _)| known == task).map(|(_, cost)| cost);
        let seconds = cost.map_or(0.0, |cost| cost.seconds(&run.config, finished));
        total += seconds;
        print(&format!(
            "{:<16}  {} of {} steps done  {}\n",
            if finished < run.config.steps() {
                format!("about {}", duration(seconds))
            } else {
                "finished".to_owned()
            },
            thousands(finished.min(run.config.steps())),
            thousands(run.config.steps()),
            run.folder.display()
        ))?;
    }
    print(&format!(
        "about {} in all, by pieces of each task's first run timed here just now and {EPOCHS} epochs a model training\n",
        duration(total)
    ))
}

/// A curve's metric over steps, seed by seed.
fn read(
    output: &Path,
    arms: &[(String, Config)],
    curve: &Curve,
    seeds: u16,
) -> anyhow::Result<Seeds> {
    let (name, _) = arms
        .iter()
        .find(|(_, config)| *config == curve.config)
        .context("a curve has no run: this is a bug")?;
    (0..u64::from(seeds))
        .map(|seed| {
            let lines = metrics::read(&metrics_path(&folder(output, name, seed)))?;
            let of_kind = lines.iter().filter(|line| line.kind == curve.kind);
            Ok(of_kind.filter_map(|line| Some((line.step, line.get(curve.metric)?))).collect())
        })
        .collect()
}
