//! What runs scored, from their folders or from tables that `ddppo plot -o FILE.csv` wrote of them.

use std::path::{Path, PathBuf};

use super::runs::CurveError;
use crate::config::Config;
use crate::methods;
use crate::run::directory::metrics_path;
use crate::run::metrics;
use crate::run::storage::StorageError;

/// Why no scores can be read.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// Not the folder of a run, or its metrics cannot be used.
    #[error(transparent)]
    Run(#[from] CurveError),
    /// A table cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A table is not one that `ddppo plot` writes.
    #[error("{}, line {line}: {problem}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
}

/// A run, as far as it has got.
#[derive(Clone, Debug)]
pub struct ScoredRun {
    /// Its folder, or the table that it is in.
    pub source: PathBuf,
    /// Name of its task.
    pub task: String,
    /// Name of its method.
    pub method: String,
    /// Its seed.
    pub seed: u64,
    /// Its settings; a table does not have them.
    pub config: Option<Config>,
    /// (step, mean return) of its evaluations.
    pub returns: Vec<(u64, f64)>,
}

impl ScoredRun {
    /// The run in a folder; or, of a `.csv` that `ddppo plot` wrote, all its runs but those whose settings differ from the first's.
    ///
    /// # Errors
    /// When there is no run, or its metrics or the table cannot be used.
    pub fn read(path: &Path) -> Result<Vec<Self>, ScoreError> {
        if path.extension().is_some_and(|extension| extension == "csv") {
            let text = std::fs::read_to_string(path).map_err(StorageError::of("read", path))?;
            return from_table(&text, path);
        }
        let config = methods::config_of_run(path).map_err(CurveError::from)?;
        let lines = metrics::read(&metrics_path(path)).map_err(CurveError::from)?;
        let evaluations = lines.iter().filter(|line| line.kind == "evaluation");
        let returns = evaluations.filter_map(|line| Some((line.step, line.get("return_mean")?)));
        Ok(vec![Self {
            returns: returns.collect(),
            source: path.to_owned(),
            task: config.task().to_owned(),
            method: config.algorithm().to_owned(),
            seed: config.seed(),
            config: Some(config),
        }])
    }
}

fn from_table(text: &str, path: &Path) -> Result<Vec<ScoredRun>, ScoreError> {
    let wrong = |line: usize, problem: String| ScoreError::Table {
        path: path.to_owned(),
        line: line + 1,
        problem,
    };
    let mut lines = text.lines().enumerate();
    let head: Vec<&str> = lines.next().map_or("", |(_, line)| line).split(',').collect();
    let column = |name: &str| head.iter().position(|column| *column == name);
    let needed = |name: &str| {
        column(name)
            .ok_or_else(|| wrong(0, format!("a table of `ddppo plot` has a column `{name}`")))
    };
    let (task, method, seed) = (needed("task")?, needed("algorithm")?, needed("seed")?);
    let (step, value, settings) = (needed("step")?, needed("return_mean")?, column("settings"));
    let mut runs: Vec<ScoredRun> = Vec::new();
    for (number, line) in lines {
        let cells: Vec<&str> = line.split(',').collect();
        if cells.len() != head.len() {
            let problem = format!("{} cells under {} columns", cells.len(), head.len());
            return Err(wrong(number, problem));
        }
        if settings.is_some_and(|settings| !cells[settings].is_empty()) {
            continue;
        }
        let whole = |at: usize| {
            let what = format!("`{}` is `{}`, not a whole number", head[at], cells[at]);
            cells[at].parse::<u64>().map_err(|_| wrong(number, what))
        };
        let (seed, step) = (whole(seed)?, whole(step)?);
        let value: f64 = cells[value].parse().map_err(|_| {
            wrong(number, format!("`return_mean` is `{}`, not a number", cells[value]))
        })?;
        let (task, method) = (cells[task], cells[method]);
        let of = |run: &ScoredRun| run.task == task && run.method == method && run.seed == seed;
        let at = runs.iter().position(of).unwrap_or_else(|| {
            runs.push(ScoredRun {
                source: path.to_owned(),
                task: task.to_owned(),
                method: method.to_owned(),
                seed,
                config: None,
                returns: Vec::new(),
            });
            runs.len() - 1
        });
        runs[at].returns.push((step, value));
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_today_and_of_older_programs_are_read_without_their_variants() {
        let table = "task,algorithm,settings,seed,step,return_mean,return_std\n\
                     Hopper,ddppo,,0,1000,3.5,1.0\nHopper,ddppo,,1,1000,4.5,1.0\n\
                     Hopper,ddppo,gradient_loss.weight=0.0,0,1000,9.0,1.0\nHopper,ddppo,,0,2000,5.5,1.0\n";
        let runs = from_table(table, Path::new("t.csv")).unwrap();
        let seen: Vec<_> = runs.iter().map(|run| (run.seed, run.returns.clone())).collect();
        assert_eq!(seen, [(0, vec![(1000, 3.5), (2000, 5.5)]), (1, vec![(1000, 4.5)])]);
        let older = "task,algorithm,seed,step,return_mean,return_std\nHopper,sac,2,1000,-3,0\n";
        let runs = from_table(older, Path::new("t.csv")).unwrap();
        assert_eq!(
            (runs[0].method.as_str(), runs[0].seed, &runs[0].returns[..]),
            ("sac", 2, &[(1000, -3.0)][..])
        );
    }

    #[test]
    fn other_tables_are_named_with_their_fault() {
        for (table, expected) in [
            ("", "t.csv, line 1: a table of `ddppo plot` has a column `task`"),
            (
                "task,algorithm,seed,step,return_mean\nA,b,0",
                "t.csv, line 2: 3 cells under 5 columns",
            ),
            (
                "task,algorithm,seed,step,return_mean\nA,b,x,1,2",
                "`seed` is `x`, not a whole number",
            ),
            (
                "task,algorithm,seed,step,return_mean\nA,b,0,1,y",
                "`return_mean` is `y`, not a number",
            ),
        ] {
            let error = from_table(table, Path::new("t.csv")).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
