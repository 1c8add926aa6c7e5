//! A run's policy, to act with.

use std::path::PathBuf;
use std::sync::Mutex;

use ddppo::policy::{Actor, Policy as Network};
use ddppo::rng::Rng;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::environment::{Task, bytes, double};
use crate::run::look;

/// A policy as it was saved.
#[pyclass(frozen)]
pub struct Policy {
    inner: Mutex<Acting>,
    /// Steps that it was trained for.
    #[pyo3(get)]
    step: u64,
    #[pyo3(get)]
    observation_dim: usize,
    /// Lowest and highest actions.
    #[pyo3(get)]
    low: Vec<f64>,
    #[pyo3(get)]
    high: Vec<f64>,
}

struct Acting {
    network: Network<f32>,
    actor: Actor,
    draws: Rng,
}

#[pymethods]
impl Policy {
    /// That of the run in `root`, and what the user should know of it, a sentence each.
    #[staticmethod]
    fn load(
        py: Python<'_>,
        root: PathBuf,
        best: bool,
        task: Option<PyRef<'_, Task>>,
    ) -> PyResult<(Self, Vec<String>)> {
        let (run, warnings) = look(py, root, best, task)?;
        let network = run.method().policy().clone();
        let actor = Actor::new(&network);
        let policy = Self {
            step: run.step(),
            observation_dim: network.observation_dim(),
            low: run.task().action_low().to_vec(),
            high: run.task().action_high().to_vec(),
            inner: Mutex::new(Acting { network, actor, draws: Rng::new(0, "acting") }),
        };
        Ok((policy, warnings))
    }

    /// Begins the stream of random numbers anew.
    fn seed(&self, seed: u64) {
        self.acting().draws = Rng::new(seed, "acting");
    }

    /// Actions, as bytes of `[rows, action_dim]` doubles, for the bytes of `[rows, observation_dim]` doubles.
    fn act<'py>(
        &self,
        py: Python<'py>,
        observations: &[u8],
        deterministic: bool,
    ) -> Bound<'py, PyBytes> {
        let actions = py.detach(|| {
            let acting = &mut *self.acting();
            let mut row = Vec::with_capacity(self.observation_dim);
            let mut actions = Vec::new();
            for observation in observations.chunks_exact(8 * self.observation_dim) {
                row.clear();
                row.extend(observation.chunks_exact(8).map(double));
                actions.extend_from_slice(if deterministic {
                    acting.actor.best(&acting.network, &row)
                } else {
                    acting.actor.explore(&acting.network, &row, &mut acting.draws)
                });
            }
            actions
        });
        bytes(py, &actions)
    }
}

impl Policy {
    fn acting(&self) -> std::sync::MutexGuard<'_, Acting> {
        // A thread that panicked has left numbers that the next action writes over.
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
