//! Test-only Python: the independent implementations that tests compare with (Gymnasium, JAX).
//!
//! Include it from a test with `#[path = "support/python.rs"] mod python;`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The interpreter of a ready virtual environment that holds what `requirements` pins.
///
/// `requirements` is a requirements file, its path relative to the repository root. The environment is made once, in
/// the ignored `.python/<hash of the file>`, and kept: a lock serialises concurrent tests, and a mark written last tells
/// a finished environment from an interrupted one, which is made anew.
///
/// # Panics
/// With one sentence that says what to do, when the environment cannot be made: a test that needs it has then failed,
/// not been skipped.
pub fn python(requirements: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = root.join(requirements);
    let text =
        fs::read(&file).unwrap_or_else(|error| panic!("{requirements} cannot be read: {error}"));
    let base = root.join(".python");
    fs::create_dir_all(&base)
        .unwrap_or_else(|error| panic!("{} cannot be made: {error}", base.display()));
    let home = base.join(format!("{:016x}", fnv1a(&text)));
    let (interpreter, mark) = (home.join("bin/python"), home.join("ready"));

    // Held until the function returns, and given back by the system if the process dies.
    let lock = File::create(home.with_extension("lock")).expect("the folder was just made");
    lock.lock().unwrap_or_else(|error| panic!("{} cannot be locked: {error}", base.display()));
    if mark.exists() {
        return interpreter;
    }
    if home.exists() {
        fs::remove_dir_all(&home)
            .unwrap_or_else(|error| panic!("{} cannot be removed: {error}", home.display()));
    }
    eprintln!("making the Python environment for {requirements} (once, needs the network)");
    run(
        Command::new("python3").args(["-m", "venv"]).arg(&home),
        "a test needs python3 with its venv module: install them (Debian: apt-get install python3-venv)",
    );
    run(
        Command::new(&interpreter)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--requirement",
            ])
            .arg(&file),
        &format!("pip could not install {requirements}: check the network and run the tests again"),
    );
    fs::write(&mark, "")
        .unwrap_or_else(|error| panic!("{} cannot be written: {error}", mark.display()));
    interpreter
}

fn run(command: &mut Command, advice: &str) {
    match command.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!("{advice} ({})", last_line(&output.stderr)),
        Err(error) => panic!("{advice} ({error})"),
    }
}

fn last_line(stderr: &[u8]) -> String {
    String::from_utf8_lossy(stderr).trim().lines().last().unwrap_or("no message").to_owned()
}

/// FNV-1a, 64 bits: names the environment after the content of its requirements.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
    })
}
