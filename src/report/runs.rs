//! Runs as curves are drawn from them: read, each once, and sorted by what they share.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::metric::{Metric, Score, hint, words};
use super::published::UnknownMethod;
use crate::config::Config;
use crate::env::robot::RobotError;
use crate::methods;
use crate::run::directory::{DirectoryError, metrics_path};
use crate::run::metrics::{self, MetricsError};
use crate::run::text::one_line;

/// Why no curve can be drawn.
#[derive(Debug, thiserror::Error)]
pub enum CurveError {
    /// Not the folder of a run.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// Its metrics cannot be used.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// Which robot it has cannot be read.
    #[error(transparent)]
    Robot(#[from] RobotError),
    /// Nothing was measured yet.
    #[error("{0} has no evaluation yet: there is nothing to draw")]
    Empty(String),
    /// No run has measured it.
    #[error("there is no metric `{metric}` in {place}{hint}")]
    NoMetric {
        /// The run, or how many there are.
        place: String,
        /// What was asked for.
        metric: String,
        /// What would be right.
        hint: String,
    },
    /// Nothing was published of a method.
    #[error(transparent)]
    Published(#[from] UnknownMethod),
}

/// A run with what it has measured of one metric, mostly its evaluations.
pub(super) struct Run {
    pub root: PathBuf,
    pub config: Config,
    /// What tells its robot from others of that name; `None` for a built-in task.
    pub robot: Option<String>,
    pub scores: Vec<Score>,
}

/// The run in a folder, and the names of all that it has measured.
fn read(root: &Path, metric: &Metric) -> Result<(Run, BTreeSet<String>), CurveError> {
    let config = methods::config_of_run(root)?;
    let lines = metrics::read(&metrics_path(root))?;
    let scores = metric.values(&lines);
    let robot = crate::env::robot::identity(root)?;
    Ok((Run { root: root.to_owned(), config, robot, scores }, words(&lines)))
}

impl Run {
    /// The task, and which robot it is where several have its name.
    fn robot_and_task(&self) -> (&str, Option<&str>) {
        (self.config.task(), self.robot.as_deref())
    }

    /// Whether one of the two is a copy of the other, made when that was as far or at another time: equal seeds and
    /// settings give equal runs, so that a second one says nothing new.
    fn is_copy_of(&self, other: &Self) -> bool {
        let shared = self.scores.len().min(other.scores.len());
        let bits = |scores: &[Score]| -> Vec<(u64, u64, u64)> {
            let bits = |&(step, mean, spread): &Score| (step, mean.to_bits(), spread.to_bits());
            scores[..shared].iter().map(bits).collect()
        };
        self.robot_and_task() == other.robot_and_task()
            && self.config.identity() == other.config.identity()
            && bits(&self.scores) == bits(&other.scores)
    }
}

/// Reads runs, each once: of copies the longest. What is left out is said in the notes.
pub(super) fn read_all(
    roots: &[PathBuf],
    metric: &Metric,
) -> Result<(Vec<Run>, Vec<String>), CurveError> {
    let mut runs: Vec<Run> = Vec::new();
    let (mut notes, mut known) = (Vec::new(), BTreeSet::new());
    for root in roots {
        let (run, words) = read(root, metric)?;
        known.extend(words);
        if run.scores.is_empty() {
            let shown = root.display();
            notes.push(match *metric == Metric::returns() {
                true => format!("{shown} has no evaluation yet and is left out"),
                false => format!("{shown} has measured no {} and is left out", metric.word()),
            });
            continue;
        }
        let Some(known) = runs.iter_mut().find(|known| run.is_copy_of(known)) else {
            runs.push(run);
            continue;
        };
        let same =
            |a: &Path, b: &Path| std::fs::canonicalize(a).ok() == std::fs::canonicalize(b).ok();
        let (first, second) = (known.root.display().to_string(), run.root.display().to_string());
        notes.push(if same(&known.root, &run.root) {
            format!("{second} is named twice and counted once")
        } else {
            format!("{second} is the same run as {first}, and the two are counted as one")
        });
        if run.scores.len() > known.scores.len() {
            *known = run;
        }
    }
    if let (true, true, [first, ..]) = (runs.is_empty(), *metric == Metric::returns(), roots) {
        return Err(CurveError::Empty(first.display().to_string()));
    }
    if runs.is_empty() {
        let place = match roots {
            [root] => root.display().to_string(),
            all => format!("any of the {} runs", all.len()),
        };
        let metric = metric.word();
        return Err(CurveError::NoMetric { place, hint: hint(&metric, &known), metric });
    }
    Ok((runs, notes))
}

/// What runs of one curve share: everything but the seed.
pub(super) fn kind(config: &Config) -> toml::Table {
    let mut table = config.identity();
    table.remove("seed");
    table
}

/// The runs of one task, curve by curve.
pub(super) struct TaskCurves {
    /// The task's name, with a number where other robots have it too.
    pub title: String,
    pub curves: Vec<Vec<Run>>,
}

/// Sorts runs by task and by settings, in their order.
pub(super) fn tasks(runs: Vec<Run>) -> Vec<TaskCurves> {
    let mut tasks: Vec<TaskCurves> = Vec::new();
    for run in runs {
        let of = |task: &TaskCurves| task.curves[0][0].robot_and_task() == run.robot_and_task();
        let Some(task) = tasks.iter_mut().find(|task| of(task)) else {
            let others = tasks.iter().filter(|w| w.curves[0][0].config.task() == run.config.task());
            let more = match others.count() {
                0 => String::new(),
                n => format!(" (another robot, {})", n + 1),
            };
            let title = one_line(run.config.task()) + &more;
            tasks.push(TaskCurves { title, curves: vec![vec![run]] });
            continue;
        };
        match task.curves.iter_mut().find(|curve| kind(&curve[0].config) == kind(&run.config)) {
            Some(curve) => curve.push(run),
            None => task.curves.push(vec![run]),
        }
    }
    tasks
}
