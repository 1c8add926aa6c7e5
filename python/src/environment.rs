//! An environment of Python's as a task. Spaces, seeds and states are seen to by `ddppo/_environment.py`; here numbers pass, as bytes of
//! doubles.

use std::sync::{Arc, Mutex};

use ddppo::env::{Environment, EnvironmentError, Step, Task as RustTask};
use ddppo::rng::Rng;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::in_words;

/// Bytes of a number.
const DOUBLE: usize = 8;

/// What a step says of an episode that could not be saved. Its step is no data, and the next episode begins.
const DROPPED: &str = "the environment cannot save its state, so the episode that was under way when the run was saved is dropped";

/// The first exception of the user's own code since the last look.
#[derive(Default)]
pub struct Failures(Mutex<Option<(String, PyErr)>>);

impl Failures {
    /// Keeps an exception, and tells what it says.
    fn note(&self, py: Python<'_>, doing: &str, error: PyErr) -> String {
        let words = format!("{doing} raised {}", in_words(py, &error));
        if let Ok(mut first) = self.0.lock() {
            first.get_or_insert((words.clone(), error));
        }
        words
    }

    /// The exception, told once.
    pub fn take(&self) -> Option<PyErr> {
        Some(self.0.lock().ok()?.take()?.1)
    }

    /// What raised the exception that is kept, and what it says.
    pub fn in_words(&self) -> Option<String> {
        Some(self.0.lock().ok()?.as_ref()?.0.clone())
    }
}

/// Who says whether an imagined observation ends an episode.
enum Ending {
    /// Nobody: models learn it.
    Unknown,
    /// None does.
    Never,
    /// A function of a batch.
    Function(Py<PyAny>),
}

/// The fixed description of a Python environment.
pub struct PythonTask {
    name: String,
    low: Vec<f64>,
    high: Vec<f64>,
    observation_dim: usize,
    time_limit: usize,
    /// Makes an environment; none where the run is only looked at.
    make: Option<Py<PyAny>>,
    ending: Ending,
    failures: Arc<Failures>,
}

/// A task, as Python holds it.
#[pyclass(frozen)]
pub struct Task(Arc<PythonTask>);

impl Task {
    /// The task.
    pub fn shared(&self) -> Arc<PythonTask> {
        Arc::clone(&self.0)
    }
}

#[pymethods]
impl Task {
    /// `make()` gives an environment of `_environment.py`; None is one that cannot be acted in. `terminated` is False for never, None for
    /// unknown, or a function of the bytes of a batch.
    #[new]
    #[pyo3(signature = (name, observation_dim, low, high, time_limit, make, terminated))]
    #[expect(clippy::too_many_arguments, reason = "one for each thing that a task is")]
    fn new(
        py: Python<'_>,
        name: String,
        observation_dim: usize,
        low: Vec<f64>,
        high: Vec<f64>,
        time_limit: usize,
        make: Option<Py<PyAny>>,
        terminated: Option<Py<PyAny>>,
    ) -> Self {
        let ending = match terminated {
            // Nothing is imagined where nothing can be acted in.
            None if make.is_none() => Ending::Never,
            None => Ending::Unknown,
            Some(function) if function.bind(py).is_callable() => Ending::Function(function),
            Some(_) => Ending::Never,
        };
        let failures = Arc::default();
        Self(Arc::new(PythonTask {
            name,
            low,
            high,
            observation_dim,
            time_limit,
            make,
            ending,
            failures,
        }))
    }
}

impl PythonTask {
    /// What the user's code raised.
    pub fn failures(&self) -> &Arc<Failures> {
        &self.failures
    }

    fn ask(&self, function: &Py<PyAny>, observations: &[f64], ended: &mut [bool]) {
        let answer = Python::attach(|py| {
            let answer = function.call1(py, (bytes(py, observations), ended.len()));
            let answer = answer.and_then(|answer| answer.extract::<Vec<u8>>(py));
            answer.map_err(|error| self.failures.note(py, "`terminated`", error))
        });
        match answer {
            Ok(answer) => ended.iter_mut().zip(answer).for_each(|(to, byte)| *to = byte != 0),
            // The run stops after this step.
            Err(_) => ended.fill(true),
        }
    }
}

impl RustTask for PythonTask {
    fn name(&self) -> &str {
        &self.name
    }

    fn observation_dim(&self) -> usize {
        self.observation_dim
    }

    fn action_dim(&self) -> usize {
        self.low.len()
    }

    fn action_low(&self) -> &[f64] {
        &self.low
    }

    fn action_high(&self) -> &[f64] {
        &self.high
    }

    fn time_limit(&self) -> usize {
        self.time_limit
    }

    fn terminated(&self, observation: &[f64]) -> bool {
        let mut ended = [false];
        self.terminated_rows(observation, &mut ended);
        ended[0]
    }

    fn terminated_rows(&self, observations: &[f64], ended: &mut [bool]) {
        match &self.ending {
            Ending::Function(function) => self.ask(function, observations, ended),
            Ending::Unknown | Ending::Never => ended.fill(false),
        }
        let rows = observations.chunks_exact(self.observation_dim);
        for (ended, row) in ended.iter_mut().zip(rows) {
            *ended |= !row.iter().all(|x| x.is_finite());
        }
    }

    fn knows_termination(&self) -> bool {
        !matches!(self.ending, Ending::Unknown)
    }

    fn make(&self) -> Result<Box<dyn Environment>, EnvironmentError> {
        let Some(make) = &self.make else { return Ok(Box::new(NotAtHand)) };
        let made = Python::attach(|py| {
            make.call0(py).map_err(|error| self.failures.note(py, "making the environment", error))
        });
        Ok(Box::new(PythonEnvironment {
            object: made.map_err(EnvironmentError::Physics)?,
            failures: Arc::clone(&self.failures),
            failed: None,
            cut: false,
            lost: false,
            warning: None,
        }))
    }
}

/// A running environment.
struct PythonEnvironment {
    object: Py<PyAny>,
    failures: Arc<Failures>,
    /// What a method raised that could not say so.
    failed: Option<String>,
    cut: bool,
    /// The state that the run was saved in is not to be had again.
    lost: bool,
    warning: Option<String>,
}

impl PythonEnvironment {
    fn begin(&self, py: Python<'_>, seed: u64, observation: &mut [f64]) -> PyResult<()> {
        let given = self.object.call_method1(py, "reset", (seed,))?;
        fill(observation, given.cast_bound::<PyBytes>(py)?.as_bytes());
        Ok(())
    }

    fn act(&mut self, py: Python<'_>, action: &[f64], observation: &mut [f64]) -> PyResult<Step> {
        let given = self.object.call_method1(py, "step", (bytes(py, action),))?;
        let (next, reward, terminated, cut): (Bound<'_, PyBytes>, f64, bool, bool) =
            given.extract(py)?;
        fill(observation, next.as_bytes());
        self.cut = cut;
        Ok(Step { reward, terminated })
    }
}

impl Environment for PythonEnvironment {
    fn reset(&mut self, rng: &mut Rng, observation: &mut [f64]) {
        // Seeds of 31 bits are taken by all generators that environments have.
        let seed = rng.next_u64() >> 33;
        (self.cut, self.lost) = (false, false);
        self.failed = Python::attach(|py| {
            let begun = self.begin(py, seed, observation);
            begun.err().map(|error| self.failures.note(py, "`reset`", error))
        });
    }

    fn step(&mut self, action: &[f64], observation: &mut [f64]) -> Result<Step, EnvironmentError> {
        if let Some(failed) = &self.failed {
            return Err(EnvironmentError::Physics(failed.clone()));
        }
        if std::mem::take(&mut self.lost) {
            observation.fill(0.0);
            self.warning = Some(DROPPED.to_owned());
            return Ok(Step { reward: 0.0, terminated: false });
        }
        Python::attach(|py| {
            let acted = self.act(py, action, observation);
            acted
                .map_err(|error| EnvironmentError::Physics(self.failures.note(py, "`step`", error)))
        })
    }

    fn is_cut(&self) -> bool {
        self.cut
    }

    /// None of the numbers where the environment cannot save its state.
    fn state(&self) -> Vec<f64> {
        Python::attach(|py| {
            let given = self.object.call_method0(py, "state");
            let given = given.and_then(|given| {
                let given = given.cast_bound::<PyBytes>(py)?;
                Ok(given.as_bytes().chunks_exact(DOUBLE).map(double).collect())
            });
            given.unwrap_or_else(|error| {
                self.failures.note(py, "`get_state`", error);
                Vec::new()
            })
        })
    }

    fn set_state(&mut self, state: &[f64]) -> Result<(), EnvironmentError> {
        (self.cut, self.lost) = (false, state.is_empty());
        if self.lost {
            return Ok(());
        }
        Python::attach(|py| {
            let restored = self.object.call_method1(py, "restore", (bytes(py, state),));
            restored.map(drop).map_err(|error| {
                EnvironmentError::Physics(self.failures.note(py, "`set_state`", error))
            })
        })
    }

    fn take_warning(&mut self) -> Option<String> {
        self.warning.take()
    }
}

impl Drop for PythonEnvironment {
    fn drop(&mut self) {
        // Nobody is left to tell what closing raises, or that Python has ended.
        let _ = Python::try_attach(|py| self.object.call_method0(py, "close").is_ok());
    }
}

/// Stands for an environment where a run's policy is only looked at.
struct NotAtHand;

impl Environment for NotAtHand {
    fn reset(&mut self, _: &mut Rng, observation: &mut [f64]) {
        observation.fill(0.0);
    }

    fn step(&mut self, _: &[f64], _: &mut [f64]) -> Result<Step, EnvironmentError> {
        Err(EnvironmentError::Description("the run's environment is not at hand".to_owned()))
    }

    fn state(&self) -> Vec<f64> {
        Vec::new()
    }

    fn set_state(&mut self, _: &[f64]) -> Result<(), EnvironmentError> {
        Ok(())
    }
}

/// Numbers as bytes.
pub fn bytes<'py>(py: Python<'py>, numbers: &[f64]) -> Bound<'py, PyBytes> {
    let length = numbers.len() * DOUBLE;
    // Nothing fails in copying, and an allocation that fails ends the process anyway.
    PyBytes::new_with(py, length, |bytes| {
        let places = bytes.chunks_exact_mut(DOUBLE);
        places.zip(numbers).for_each(|(to, number)| to.copy_from_slice(&number.to_ne_bytes()));
        Ok(())
    })
    .expect("memory for a few numbers")
}

/// Bytes as numbers.
pub fn double(bytes: &[u8]) -> f64 {
    f64::from_ne_bytes(bytes.try_into().expect("chunks of eight"))
}

fn fill(to: &mut [f64], from: &[u8]) {
    to.iter_mut().zip(from.chunks_exact(DOUBLE)).for_each(|(to, from)| *to = double(from));
}
