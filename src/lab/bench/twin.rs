//! The twins (`benches/reference/`): the same pieces in another framework, asked for one at a time, so that both sides can
//! be timed in alternation.

use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use super::environment;
use super::environment::PythonEnvironment;
use super::error::BenchError;
use super::piece::Piece;
use super::twin_process::{TwinProcess, source_tree};

/// PyTorch's worker threads spin for some milliseconds after a piece; ours must not be timed beside them.
const AFTER_SPIN: Duration = Duration::from_millis(20);

/// Tasks whose sizes are in `benches/reference/sizes.py`.
const TASKS: [&str; 6] = [
    "InvertedPendulum",
    "Hopper",
    "Walker2d",
    "HalfCheetah",
    "AntTruncatedObs",
    "HumanoidTruncatedObs",
];

/// Refuses a task that the twins of this name do not know.
pub(crate) fn check_task(kind: &'static str, task: &str) -> Result<(), BenchError> {
    if TASKS.contains(&task) {
        return Ok(());
    }
    Err(BenchError::NoTwin { kind, task: task.to_owned(), known: TASKS.join(", ") })
}

/// A framework, and how it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TwinKind {
    /// PyTorch, one operation after the other.
    PyTorch,
    /// PyTorch through its compiler.
    TorchCompile,
    /// JAX under `jit`.
    Jax,
}

impl TwinKind {
    /// Name in the JSON output and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::PyTorch => "pytorch",
            Self::TorchCompile => "torch-compile",
            Self::Jax => "jax",
        }
    }

    /// Name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::PyTorch => "PyTorch",
            Self::TorchCompile => "torch.compile",
            Self::Jax => "JAX",
        }
    }

    fn environment(self) -> &'static PythonEnvironment {
        match self {
            Self::PyTorch | Self::TorchCompile => &environment::TORCH,
            Self::Jax => &environment::JAX,
        }
    }

    /// File in `benches/reference`, and the flags that make it this kind.
    fn script(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::PyTorch => ("pieces.py", &[]),
            Self::TorchCompile => ("pieces.py", &["--compile"]),
            Self::Jax => ("jax_pieces.py", &[]),
        }
    }
}

/// What a twin answers to a piece's name.
#[derive(Clone, Debug, Deserialize)]
pub struct TwinAnswer {
    /// Milliseconds of one run, median.
    pub ms_median: f64,
    /// 10⁹ operations a second at the median.
    pub gflops: f64,
    /// The same as a share of the framework's own sgemm peak.
    pub fraction_of_peak: f64,
}

/// How a twin is to run.
#[derive(Clone, Copy, Debug)]
pub struct TwinSettings<'a> {
    /// Which twin.
    pub kind: TwinKind,
    /// Task name, for its sizes.
    pub task: &'a str,
    /// CPU threads.
    pub threads: usize,
    /// Directions a row in R.
    pub directions: usize,
}

/// Sees to it that there is the C++ compiler that torch.compile would look for, before anything is installed.
fn find_compiler() -> Result<(), BenchError> {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "g++".to_owned());
    let found = Command::new(&compiler).arg("--version").output().is_ok();
    found.then_some(()).ok_or(BenchError::NoCompiler { compiler })
}

/// A twin; its process ends with this value.
pub struct Twin {
    process: TwinProcess,
}

impl Twin {
    /// Starts a twin, installing its framework first if need be; `tell` is given what is being waited for.
    ///
    /// # Errors
    /// When the source tree is gone, or installing or starting fails.
    pub fn start(settings: TwinSettings<'_>, tell: impl Fn(&str)) -> Result<Self, BenchError> {
        let TwinSettings { kind, task, .. } = settings;
        check_task(kind.name(), task)?;
        if kind == TwinKind::TorchCompile {
            find_compiler()?;
        }
        let (file, flags) = kind.script();
        let root = source_tree(kind.title(), file)?;
        let interpreter = kind.environment().install(&root, &tell)?;
        if kind != TwinKind::PyTorch {
            tell("a piece is compiled when it is first run, which can take a minute");
        }
        let (threads, directions) = (settings.threads.to_string(), settings.directions.to_string());
        let own = ["--stdin", "--task", task, "--threads", &threads, "--directions", &directions];
        let arguments: Vec<String> = flags.iter().copied().chain(own).map(str::to_owned).collect();
        let process = TwinProcess::start(kind.title(), &interpreter, (&root, file), &arguments)?;
        Ok(Self { process })
    }

    /// Has a piece timed over this many runs, and waits until the machine is quiet again.
    ///
    /// # Errors
    /// When the process ended, or answered something else.
    pub fn measure(&mut self, piece: Piece, runs: usize) -> Result<TwinAnswer, BenchError> {
        let answer = self.process.ask(&format!("{} {runs}", piece.name()))?;
        std::thread::sleep(AFTER_SPIN);
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_without_a_twin_is_refused() {
        for kind in [TwinKind::PyTorch, TwinKind::TorchCompile, TwinKind::Jax] {
            let settings = TwinSettings { kind, task: "PointMass", threads: 1, directions: 1 };
            let error = Twin::start(settings, |_| ()).err().unwrap();
            let start = format!("--against {} knows InvertedPendulum, ", kind.name());
            assert!(error.is_mistake() && error.to_string().starts_with(&start), "{error}");
        }
    }
}
