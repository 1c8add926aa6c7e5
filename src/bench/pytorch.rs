//! The PyTorch twin (`benches/reference/`): installed once into the source tree's ignored `.python/`, then asked for one
//! piece at a time, so that both sides can be timed in alternation.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde::Deserialize;

use super::{BenchError, Piece};

/// PyTorch's worker threads spin for some milliseconds after a piece; ours must not be timed beside them.
const AFTER_SPIN: Duration = Duration::from_millis(20);

/// Tasks whose sizes are in `benches/reference/updates.py`.
const TASKS: [&str; 6] = [
    "InvertedPendulum",
    "Hopper",
    "Walker2d",
    "HalfCheetah",
    "AntTruncatedObs",
    "HumanoidTruncatedObs",
];

/// What the twin answers to a piece's name.
#[derive(Clone, Debug, Deserialize)]
pub struct Answer {
    /// Milliseconds of one run, median.
    pub ms_median: f64,
    /// 10⁹ operations a second at the median.
    pub gflops: f64,
    /// The same as a share of PyTorch's own sgemm peak.
    pub fraction_of_peak: f64,
}

/// How the twin is to run.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// Task name, for its sizes.
    pub task: &'a str,
    /// CPU threads.
    pub threads: usize,
    /// Directions a row in R.
    pub directions: usize,
    /// Measured runs an answer.
    pub runs: usize,
}

/// The twin's process; it ends with this value.
pub struct PyTorch {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl PyTorch {
    /// Starts the twin, installing PyTorch first if need be (4 GB, once); `tell` is given what is being waited for.
    ///
    /// # Errors
    /// When the source tree is gone, or installing or starting fails.
    pub fn start(settings: Settings<'_>, tell: impl Fn(&str)) -> Result<Self, BenchError> {
        if !TASKS.contains(&settings.task) {
            let (task, known) = (settings.task.to_owned(), TASKS.join(", "));
            return Err(BenchError::NotInPyTorch { task, known });
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let script = root.join("benches/reference/pieces.py");
        if !script.is_file() {
            return Err(BenchError::PyTorch(format!(
                "PyTorch is compared with from the source tree, which is no longer in {}",
                root.display()
            )));
        }
        let interpreter = install(root, tell)?;
        let mut child = Command::new(&interpreter)
            .arg(&script)
            .args(["--stdin", "--task", settings.task])
            .args(["--threads", &settings.threads.to_string()])
            .args(["--directions", &settings.directions.to_string()])
            .args(["--repeat", &settings.runs.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|reason| BenchError::File { path: interpreter, reason })?;
        let (Some(requests), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(BenchError::PyTorch("PyTorch's process has no pipes".to_owned()));
        };
        Ok(Self { child, requests, answers: BufReader::new(answers) })
    }

    /// Has a piece timed, and waits until the machine is quiet again.
    ///
    /// # Errors
    /// When the process ended, or answered something else.
    pub fn measure(&mut self, piece: Piece) -> Result<Answer, BenchError> {
        let mut line = String::new();
        writeln!(self.requests, "{}", piece.name())
            .and_then(|()| self.requests.flush())
            .and_then(|()| self.answers.read_line(&mut line))
            .map_err(|reason| BenchError::PyTorch(format!("PyTorch cannot be asked: {reason}")))?;
        if line.is_empty() {
            let message = "PyTorch's process ended early; what it said is above".to_owned();
            return Err(BenchError::PyTorch(message));
        }
        let answer = serde_json::from_str(&line).map_err(|reason| {
            BenchError::PyTorch(format!("PyTorch answered `{}`: {reason}", line.trim()))
        })?;
        std::thread::sleep(AFTER_SPIN);
        Ok(answer)
    }
}

impl Drop for PyTorch {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is collected.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The interpreter of `.python/torch`, which is made if it is not there. A lock keeps two from making it at the same
/// time, and a mark written last tells a finished environment from an interrupted one. `--no-deps`: see the
/// requirements file.
fn install(root: &Path, tell: impl Fn(&str)) -> Result<PathBuf, BenchError> {
    let file = |path: &Path| {
        let path = path.to_owned();
        move |reason| BenchError::File { path, reason }
    };
    let requirements = root.join("benches/reference/requirements.txt");
    let pinned = fs::read(&requirements).map_err(file(&requirements))?;
    let base = root.join(".python");
    fs::create_dir_all(&base).map_err(file(&base))?;
    let home = base.join("torch");
    let (interpreter, mark) = (home.join("bin/python"), home.join("installed.txt"));
    let lock_path = base.join("torch.lock");
    let lock = File::create(&lock_path).map_err(file(&lock_path))?;
    lock.lock().map_err(file(&lock_path))?;
    if fs::read(&mark).is_ok_and(|installed| installed == pinned) {
        return Ok(interpreter);
    }
    tell("installing PyTorch into .python/torch (4 GB, once)");
    if home.exists() {
        fs::remove_dir_all(&home).map_err(file(&home))?;
    }
    let mut venv = Command::new("python3");
    run(venv.args(["-m", "venv"]).arg(&home), "making a Python environment needs python3-venv")?;
    let mut pip = Command::new(&interpreter);
    let quiet = ["--quiet", "--disable-pip-version-check", "--no-deps", "--requirement"];
    pip.args(["-m", "pip", "install"]).args(quiet).arg(&requirements);
    run(&mut pip, "pip could not install PyTorch: is there a network?")?;
    fs::write(&mark, pinned).map_err(file(&mark))?;
    Ok(interpreter)
}

fn run(command: &mut Command, advice: &str) -> Result<(), BenchError> {
    let problem = match command.output() {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => String::from_utf8_lossy(&output.stderr)
            .trim()
            .lines()
            .last()
            .unwrap_or("it said nothing")
            .to_owned(),
        Err(error) => error.to_string(),
    };
    Err(BenchError::PyTorch(format!("{advice} ({problem})")))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn an_environment_is_made_once_and_anew_when_the_requirements_change() {
        let root = std::env::temp_dir().join(format!("ddppo-pytorch-test-{}", std::process::id()));
        let requirements = root.join("benches/reference/requirements.txt");
        fs::create_dir_all(requirements.parent().unwrap()).unwrap();
        let made = Cell::new(0);
        let tell = |_: &str| made.set(made.get() + 1);
        // Nothing to install, so that no network is needed.
        for _ in 0..2 {
            fs::write(&requirements, "# nothing\n").unwrap();
            let interpreter = install(&root, tell).unwrap();
            assert!(Command::new(interpreter).arg("--version").status().unwrap().success());
            assert_eq!(made.get(), 1);
        }
        fs::write(&requirements, "a line that pip refuses\n").unwrap();
        let error = install(&root, tell).unwrap_err().to_string();
        assert!(error.starts_with("pip could not install PyTorch"), "{error}");
        assert_eq!(made.get(), 2);
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn a_task_without_a_twin_is_refused() {
        let settings = Settings { task: "PointMass", threads: 1, directions: 1, runs: 1 };
        let error = PyTorch::start(settings, |_| ()).err().unwrap();
        assert!(error.is_mistake() && error.to_string().contains("HalfCheetah"), "{error}");
    }
}
