//! The Python environments of the twins, each made once in the source tree's ignored `.python/`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::BenchError;

/// A framework to install.
#[derive(Debug)]
pub(crate) struct PythonEnvironment {
    /// Name for people.
    title: &'static str,
    /// Folder in `.python`.
    folder: &'static str,
    /// What is pinned, a file in `benches/reference`.
    requirements: &'static str,
    /// Disk space.
    size: &'static str,
}

/// PyTorch, with CUDA libraries that it links.
pub(crate) const TORCH: PythonEnvironment = PythonEnvironment {
    title: "PyTorch",
    folder: "torch",
    requirements: "requirements.txt",
    size: "4 GB",
};

/// JAX for the CPU alone.
pub(crate) const JAX: PythonEnvironment = PythonEnvironment {
    title: "JAX",
    folder: "jax-bench",
    requirements: "requirements-jax.txt",
    size: "0.6 GB",
};

impl PythonEnvironment {
    /// The interpreter, whose environment is made if it is not there; `tell` is given what is being waited for. A lock
    /// keeps two from making it at the same time, and a mark written last tells a finished environment from an
    /// interrupted one. `--no-deps`: the requirements files name whatever is needed, and for PyTorch no more than that.
    ///
    /// # Errors
    /// When a file operation, `python3 -m venv` or `pip` fails.
    pub(crate) fn install(&self, root: &Path, tell: impl Fn(&str)) -> Result<PathBuf, BenchError> {
        let Self { title, folder, requirements, size } = self;
        let file = |path: &Path| {
            let path = path.to_owned();
            move |reason| BenchError::File { path, reason }
        };
        let requirements = root.join("benches/reference").join(requirements);
        let pinned = fs::read(&requirements).map_err(file(&requirements))?;
        let base = root.join(".python");
        fs::create_dir_all(&base).map_err(file(&base))?;
        let home = base.join(folder);
        let (interpreter, mark) = (home.join("bin/python"), home.join("installed.txt"));
        let lock_path = base.join(format!("{folder}.lock"));
        let lock = File::create(&lock_path).map_err(file(&lock_path))?;
        lock.lock().map_err(file(&lock_path))?;
        if fs::read(&mark).is_ok_and(|installed| installed == pinned) {
            return Ok(interpreter);
        }
        tell(&format!("installing {title} into .python/{folder} ({size}, once)"));
        if home.exists() {
            fs::remove_dir_all(&home).map_err(file(&home))?;
        }
        let mut venv = Command::new("python3");
        run(
            venv.args(["-m", "venv"]).arg(&home),
            "making a Python environment needs python3-venv",
        )?;
        let mut pip = Command::new(&interpreter);
        let quiet = ["--quiet", "--disable-pip-version-check", "--no-deps", "--requirement"];
        pip.args(["-m", "pip", "install"]).args(quiet).arg(&requirements);
        run(&mut pip, &format!("pip could not install {title}: is there a network?"))?;
        fs::write(&mark, pinned).map_err(file(&mark))?;
        Ok(interpreter)
    }
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
    Err(BenchError::Twin(format!("{advice} ({problem})")))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn an_environment_is_made_once_and_anew_when_the_requirements_change() {
        let root = std::env::temp_dir().join(format!("ddppo-twin-test-{}", std::process::id()));
        fs::create_dir_all(root.join("benches/reference")).unwrap();
        let requirements = |environment: &PythonEnvironment, text| {
            fs::write(root.join("benches/reference").join(environment.requirements), text).unwrap();
        };
        let made = Cell::new(0);
        let tell = |_: &str| made.set(made.get() + 1);
        // Nothing to install, so that no network is needed; the second beside the first, not in its place.
        for (count, environment) in [(1, &TORCH), (2, &JAX)] {
            for _ in 0..2 {
                requirements(environment, "# nothing\n");
                let interpreter = environment.install(&root, tell).unwrap();
                assert!(Command::new(interpreter).arg("--version").status().unwrap().success());
                assert_eq!(made.get(), count);
            }
        }
        requirements(&JAX, "a line that pip refuses\n");
        let error = JAX.install(&root, tell).unwrap_err().to_string();
        assert!(error.starts_with("pip could not install JAX"), "{error}");
        assert_eq!(made.get(), 3);
        TORCH.install(&root, tell).unwrap();
        assert_eq!(made.get(), 3);
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn the_requirements_files_exist() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for PythonEnvironment { requirements, .. } in [TORCH, JAX] {
            assert!(root.join("benches/reference").join(requirements).is_file(), "{requirements}");
        }
    }
}
