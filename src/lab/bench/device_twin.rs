//! The twin of a group's programs in JAX (`benches/reference/jax_group.py`).

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::environment::JAX;
use super::error::BenchError;
use super::twin::check_task;
use super::twin_process::{TwinProcess, source_tree};

const TITLE: &str = "JAX";
const SCRIPT: &str = "jax_group.py";

/// How a group's twin is to run.
#[derive(Clone, Copy, Debug)]
pub struct GroupTwinSettings<'a> {
    /// Task name, for its sizes.
    pub task: &'a str,
    /// The device's platform: JAX is to run on the same.
    pub platform: &'a str,
    /// CPU threads, where that is its platform.
    pub threads: usize,
    /// Products in TF32.
    pub tf32: bool,
}

/// What JAX runs on.
#[derive(Clone, Debug, Deserialize)]
pub struct TwinDevice {
    /// The device's name.
    pub device: String,
    /// JAX's version.
    pub version: String,
}

#[derive(Deserialize)]
struct GroupTwinAnswer {
    ms: f64,
}

/// JAX on a device.
pub struct GroupTwin {
    process: TwinProcess,
    /// What it runs on.
    pub on: TwinDevice,
}

impl GroupTwin {
    /// Starts it. On the processor its JAX is ours, installed if need be; on a card it is that of the `python3` of the path, as the plugin is.
    ///
    /// # Errors
    /// When the source tree is gone, or installing or starting fails.
    pub fn start(settings: GroupTwinSettings<'_>, tell: impl Fn(&str)) -> Result<Self, BenchError> {
        let GroupTwinSettings { task, platform, .. } = settings;
        check_task("jax", task)?;
        let root = source_tree(TITLE, SCRIPT)?;
        let on_cpu = platform == "cpu";
        let interpreter = if on_cpu {
            JAX.install(&root, &tell)?
        } else {
            python_with_jax(Path::new("python3"))?
        };
        tell("JAX compiles a piece for each number of runs, which can take a minute");
        let threads = settings.threads.to_string();
        let platform = if on_cpu { "cpu" } else { "gpu" };
        let own = ["--task", task, "--platform", platform, "--threads", &threads];
        let tf32 = settings.tf32.then_some("--tf32");
        let all = own.into_iter().chain(tf32);
        let arguments: Vec<String> = all.map(str::to_owned).collect();
        let mut process = TwinProcess::start(TITLE, &interpreter, (&root, SCRIPT), &arguments)?;
        let on = process.hear()?;
        Ok(Self { process, on })
    }

    /// Has a piece of so many runs made so often; milliseconds of one. A compiled call makes `per_call` updates where the piece is an update.
    ///
    /// # Errors
    /// When the process ended, or answered something else.
    pub fn measure(
        &mut self,
        piece: &str,
        runs: usize,
        times: usize,
        per_call: usize,
    ) -> Result<f64, BenchError> {
        let answer: GroupTwinAnswer =
            self.process.ask(&format!("{piece} {runs} {times} {per_call}"))?;
        Ok(answer.ms)
    }
}

/// An interpreter that has JAX.
fn python_with_jax(interpreter: &Path) -> Result<PathBuf, BenchError> {
    let asked = std::process::Command::new(interpreter).args(["-c", "import jax"]).output();
    match asked {
        Ok(output) if output.status.success() => Ok(interpreter.to_owned()),
        _ => Err(BenchError::Twin(
            "--against jax on a card needs a `python3` on the path that can `import jax`: `pip install 'jax[cuda13]'` brings it, \
             and the plugin with it"
                .to_owned(),
        )),
    }
}
