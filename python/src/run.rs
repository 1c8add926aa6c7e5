//! What is asked of a run that has been saved.

use std::path::PathBuf;
use std::sync::Arc;

use ddppo::methods::config_of_run;
use ddppo::report::curves;
use ddppo::run::storage::StorageError;
use ddppo::session::saved;
use ddppo::train::Trainer;
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::environment::Task;
use crate::error::exception;

/// The run in `root`, in `task` or in the program's own, and what the user should know of it.
pub fn look(
    py: Python<'_>,
    root: PathBuf,
    best: bool,
    task: Option<PyRef<'_, Task>>,
) -> PyResult<(Trainer, Vec<String>)> {
    let task = task.map(|task| task.shared());
    let own = task.clone();
    let mut warnings = Vec::new();
    let run = py.detach(|| {
        let warn = &mut |warning| warnings.push(warning);
        match own {
            Some(task) => saved::load_in(&root, best, |_, _| Ok(task), warn),
            None => saved::load(&root, best, warn),
        }
    });
    let cause = || task.and_then(|task| task.failures().take());
    Ok((run.map_err(|error| exception(py, &error.into(), cause()))?, warnings))
}

/// Sum of rewards, steps, and whether the physics broke.
type Episode = (f64, usize, bool);

/// Plays episodes: the sum of rewards, the steps, and whether the physics broke, of each.
#[pyfunction]
pub fn evaluate(
    py: Python<'_>,
    root: PathBuf,
    best: bool,
    episodes: usize,
    seed: u64,
    task: Option<PyRef<'_, Task>>,
) -> PyResult<(Vec<Episode>, Vec<String>)> {
    let failures = task.as_ref().map(|task| Arc::clone(task.shared().failures()));
    let (run, warnings) = look(py, root, best, task)?;
    // The trainer's environment is closed without the GIL's holder waiting for it.
    let played = py.detach(move || run.evaluate(episodes, seed));
    let cause = || failures.and_then(|failures| failures.take());
    let played = played.map_err(|error| exception(py, &error.into(), cause()))?;
    let played = played.iter().map(|played| (played.score, played.length, played.broke));
    Ok((played.collect(), warnings))
}

/// Draws learning curves into files (`.svg`, `.png`; `.csv` for the numbers); returns what the user should know of them.
#[pyfunction]
pub fn plot(
    py: Python<'_>,
    roots: Vec<PathBuf>,
    files: Vec<PathBuf>,
    published: Vec<String>,
) -> PyResult<Vec<String>> {
    let drawn = py.detach(|| -> anyhow::Result<Vec<String>> {
        let is_table = |file: &&PathBuf| file.extension().is_some_and(|e| e == "csv");
        let (tables, pictures): (Vec<&PathBuf>, Vec<&PathBuf>) = files.iter().partition(is_table);
        let mut notes = Vec::new();
        if !pictures.is_empty() {
            let curves = curves::learning_curves(&roots, &published)?;
            pictures.iter().try_for_each(|file| curves.picture.write(file))?;
            notes = curves.notes;
        }
        if !tables.is_empty() {
            let (table, told) = curves::learning_table(&roots)?;
            for file in tables {
                std::fs::write(file, &table).map_err(StorageError::of("write", file))?;
            }
            notes = told;
        }
        Ok(notes)
    });
    drawn.map_err(|error| exception(py, &error, None))
}

/// The settings of the run in `root`, section by section.
#[pyfunction]
pub fn configuration(py: Python<'_>, root: PathBuf) -> PyResult<Py<PyAny>> {
    let config = config_of_run(&root).map_err(|error| exception(py, &error.into(), None))?;
    let table: toml::Table =
        config.to_toml().parse().expect("a configuration writes itself as TOML");
    python(py, &toml::Value::Table(table))
}

fn python(py: Python<'_>, value: &toml::Value) -> PyResult<Py<PyAny>> {
    match value {
        toml::Value::String(text) => text.into_py_any(py),
        toml::Value::Integer(number) => number.into_py_any(py),
        toml::Value::Float(number) => number.into_py_any(py),
        toml::Value::Boolean(flag) => flag.into_py_any(py),
        toml::Value::Datetime(time) => time.to_string().into_py_any(py),
        toml::Value::Array(values) => {
            let values: PyResult<Vec<_>> = values.iter().map(|value| python(py, value)).collect();
            PyList::new(py, values?)?.into_py_any(py)
        }
        toml::Value::Table(table) => {
            let dict = PyDict::new(py);
            for (key, value) in table {
                dict.set_item(key, python(py, value)?)?;
            }
            dict.into_py_any(py)
        }
    }
}

/// Names of the program's own tasks.
#[pyfunction]
pub fn task_names() -> Vec<&'static str> {
    ddppo::env::names()
}
