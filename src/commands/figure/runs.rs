//! Figures made of training runs: what is missing is trained or resumed, then all is drawn from the runs' metrics.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use ddppo::config::{Config, ConfigError, differences};
use ddppo::lab::bench::{Bench, Effort, Piece};
use ddppo::methods::config_of_run;
use ddppo::methods::ddppo::DdppoConfig;
use ddppo::report::aggregate::Aggregate;
use ddppo::report::chart::{Panel, draw};
use ddppo::report::curves::mean_curve;
use ddppo::run::directory::metrics_path;
use ddppo::run::metrics;

use super::super::{UsageError, print, resume};
use super::grid::{Curve, PanelPlan, RunFigure};
use super::{duration, write};
use crate::cli::{ResumeArgs, RunFigureArgs, SessionArgs};
use ddppo::session::progress::thousands;
use ddppo::session::start::{Place, begin, store};

/// Epochs of a model training that the estimate supposes: nobody knows them before.
const EPOCHS: f64 = 30.0;
/// How the pieces are timed for it.
const QUICK: Effort = Effort { runs: 5, limit: Duration::from_secs(1) };

/// (step, value) of a metric, seed by seed.
type Seeds = Vec<Vec<(u64, f64)>>;

/// One training run of a figure.
struct Planned {
    folder: PathBuf,
    config: Config,
}

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
    let runs: Vec<Planned> = (0..u64::from(args.seeds))
        .flat_map(|seed| arms.iter().map(move |arm| (seed, arm)))
        .map(|(seed, (name, config))| {
            let config = config.with_settings(&[format!("seed={seed}")])?;
            Ok(Planned { folder: folder(&output, name, seed), config })
        })
        .collect::<Result<_, ConfigError>>()?;
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

/// The different configurations, each with a name of its own: a run that stands in two panels is trained once.
fn arms(panels: &[PanelPlan]) -> Vec<(String, Config)> {
    let mut arms: Vec<(String, Config)> = Vec::new();
    for curve in panels.iter().flat_map(|panel| &panel.curves) {
        if arms.iter().any(|(_, config)| *config == curve.config) {
            continue;
        }
        let word: String = curve
            .label
            .chars()
            .map(|c| if c.is_alphanumeric() || c == '.' { c } else { '-' })
            .collect();
        arms.push((
            format!("{}-{}", curve.config.task(), word.replace("--", "")),
            curve.config.clone(),
        ));
    }
    arms
}

fn folder(output: &Path, name: &str, seed: u64) -> PathBuf {
    output.join("runs").join(format!("{name}-seed{seed}"))
}

/// Steps that the run in the folder has saved; `None` where there is none. A run with other settings is an error.
fn done(run: &Planned) -> anyhow::Result<Option<u64>> {
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

fn train(run: &Planned, session: SessionArgs) -> anyhow::Result<ExitCode> {
    match done(run)? {
        Some(step) if step >= run.config.steps() => Ok(ExitCode::SUCCESS),
        Some(_) => resume::run(&ResumeArgs {
            run: run.folder.clone(),
            steps: Some(run.config.steps()),
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
fn plan(runs: &[Planned], session: SessionArgs) -> anyhow::Result<()> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(session.threads.map_or(0, usize::from))
        .build()
        .context("the worker threads cannot be started")?;
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

/// Seconds of a run's pieces.
struct Cost {
    environment_step: f64,
    updates: f64,
    model_step: f64,
    rollout: f64,
    evaluation: f64,
}

impl Cost {
    /// R is timed even where a run has none: an estimate from above.
    fn measure(config: &Config) -> anyhow::Result<Self> {
        let DdppoConfig { training, gradient_loss, .. } = config.view();
        let weight = gradient_loss.weight.max(1.0);
        let with_loss = config.with_settings(&[format!("gradient_loss.weight={weight:?}")])?;
        let directions = gradient_loss.directions_per_row;
        let task = ddppo::env::task(config.task())?;
        let mut bench = Bench::new(&with_loss, task, Some(directions))?;
        let mut seconds = |piece| anyhow::Ok(bench.measure(piece, QUICK)?.ms_median / 1e3);
        Ok(Self {
            environment_step: seconds(Piece::EnvironmentStep)?,
            updates: training.policy_updates_per_step as f64 * seconds(Piece::PolicyUpdate)?
                + training.critic_updates_per_step as f64 * seconds(Piece::CriticUpdate)?,
            model_step: seconds(Piece::GradientModelStep)?,
            rollout: seconds(Piece::Rollout100k)?,
            evaluation: seconds(Piece::Evaluation)?,
        })
    }

    /// Of the steps from `finished` on.
    fn seconds(&self, config: &Config, finished: u64) -> f64 {
        let DdppoConfig { run, training, model, .. } = config.view();
        let experience = training.experience;
        let steps = run.steps.saturating_sub(finished) as f64;
        let learning = run.steps.saturating_sub(finished.max(experience.warmup_steps)) as f64;
        let trainings = learning / training.cadence.model_every_steps as f64;
        // The mean over the remaining steps of the transitions that an epoch walks through.
        let transitions =
            0.5 * (run.steps + finished) as f64 * (1.0 - model.ensemble.holdout_fraction);
        let minibatches = EPOCHS * transitions / experience.batch_size as f64;
        steps * self.environment_step
            + learning * self.updates
            + trainings * (minibatches * self.model_step + self.rollout)
            + steps / run.evaluation.every_steps as f64 * self.evaluation
    }
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

fn panel(plan: &PanelPlan, curves: &[Seeds]) -> Panel {
    let series = plan.curves.iter().zip(curves).map(|(curve, seeds)| {
        let mut series = mean_curve(seeds);
        series.label.clone_from(&curve.label);
        // With many curves, single runs would hide the means.
        series.members.clear();
        series
    });
    Panel {
        title: plan.title.clone(),
        subtitle: "mean and one standard deviation over seeds".to_owned(),
        x_label: "environment steps".to_owned(),
        y_label: plan.y_label.to_owned(),
        series: series.collect(),
    }
}

fn csv(panels: &[PanelPlan], curves: &[Vec<Seeds>]) -> String {
    let mut out = "panel,curve,metric,seed,step,value\n".to_owned();
    for (panel, curves) in panels.iter().zip(curves) {
        for (curve, seeds) in panel.curves.iter().zip(curves) {
            for (seed, points) in seeds.iter().enumerate() {
                for (step, value) in points {
                    out += &format!(
                        "{},{},{},{seed},{step},{value:?}\n",
                        panel.title,
                        curve.label.replace(',', ""),
                        curve.metric
                    );
                }
            }
        }
    }
    out
}

/// The last values over seeds, as Markdown.
fn summary(panels: &[PanelPlan], curves: &[Vec<Seeds>]) -> String {
    let mut out = String::new();
    for (panel, curves) in panels.iter().zip(curves) {
        out += &format!(
            "\n{}, at the last step\n\n| curve | seeds | mean ± deviation | IQM [95 %] |\n|---|---|---|---|\n",
            panel.title
        );
        for (curve, seeds) in panel.curves.iter().zip(curves) {
            let last: Vec<f64> =
                seeds.iter().filter_map(|points| points.last().map(|&(_, value)| value)).collect();
            if last.is_empty() {
                out += &format!("| {} | 0 | – | – |\n", curve.label);
                continue;
            }
            let a = Aggregate::of(&last);
            out += &format!(
                "| {} | {} | {:.4} ± {:.4} | {:.4} [{:.4}, {:.4}] |\n",
                curve.label,
                a.count,
                a.mean,
                a.deviation,
                a.interquartile_mean,
                a.interval.0,
                a.interval.1
            );
        }
    }
    out
}
