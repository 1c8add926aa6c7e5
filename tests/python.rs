//! The Python package: made into a wheel from this source, installed into a fresh environment away from it, and put through
//! `python/tests/test_package.py`. All that comes from PyPI is pinned by hash.

#[path = "support/python.rs"]
mod python;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Runs it; its output is shown where it fails.
fn run(command: &mut Command, what: &str) {
    let output = command.output().unwrap_or_else(|error| panic!("{what}: {error}"));
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{what}:\n{}\n{}",
        shown(&output.stdout),
        shown(&output.stderr)
    );
}

/// The wheel, made with what this build has already compiled.
fn wheel(folder: &Path) -> PathBuf {
    let builder = python::python("python/tests/requirements-build.txt");
    let target =
        Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it lies in the target folder");
    let mut command = Command::new(builder.with_file_name("maturin"));
    command.args(["build", "--release", "--quiet", "--out"]).arg(folder);
    // As many pieces as the other packages have: it is compiled in half the time, and gives the same bits.
    command.args(["--config", "profile.release.package.ddppo.codegen-units=16"]);
    command.current_dir(Path::new(ROOT).join("python")).env("CARGO_TARGET_DIR", target);
    run(&mut command, "the wheel cannot be made");
    let mut wheels = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    wheels
        .find(|path| path.extension().is_some_and(|e| e == "whl"))
        .expect("maturin has made a wheel")
}

#[test]
fn the_package_keeps_its_promises_away_from_the_source() {
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("python-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let wheel = wheel(&folder);

    let home = folder.join("fresh");
    run(Command::new("python3").args(["-m", "venv"]).arg(&home), "no virtual environment");
    let interpreter = home.join("bin/python");
    let install = |arguments: &[&str], what: &Path| {
        let mut pip = Command::new(&interpreter);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        run(pip.args(arguments).arg(what), "pip cannot install the package");
    };
    let pinned = Path::new(ROOT).join("python/tests/requirements.txt");
    install(&["--require-hashes", "--requirement"], &pinned);
    install(&["--no-index"], &wheel);

    // Copied, so that nothing of the source is near.
    let tests = folder.join("tests");
    fs::create_dir(&tests).unwrap();
    for name in ["test_package.py", "session.py", "worlds.py"] {
        fs::copy(Path::new(ROOT).join("python/tests").join(name), tests.join(name)).unwrap();
    }
    let mut suite = Command::new(&interpreter);
    suite.args(["-I", "test_package.py"]).current_dir(&tests);
    run(suite.env("DDPPO_PROGRAM", env!("CARGO_BIN_EXE_ddppo")), "the package's tests fail");
    fs::remove_dir_all(&folder).unwrap();
}

/// Name and version of each package of a lock file.
fn locked(file: &str) -> BTreeMap<String, Vec<String>> {
    let lock: toml::Table =
        fs::read_to_string(Path::new(ROOT).join(file)).unwrap().parse().unwrap();
    let mut packages: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in lock["package"].as_array().unwrap() {
        let text = |key: &str| package[key].as_str().unwrap().to_owned();
        packages.entry(text("name")).or_default().push(text("version"));
    }
    packages
}

#[test]
fn it_is_built_from_the_versions_that_the_program_is_built_from() {
    let (program, package) = (locked("Cargo.lock"), locked("python/Cargo.lock"));
    let mut shared = 0;
    for (name, versions) in &package {
        if let Some(own) = program.get(name) {
            shared += 1;
            assert!(
                versions.iter().all(|version| own.contains(version)),
                "python/Cargo.lock has {name} {versions:?}, Cargo.lock {own:?}: `cargo update --manifest-path python/Cargo.toml \
                 --precise …` makes them equal"
            );
        }
    }
    assert!(shared > 50, "{shared} packages are shared");
    let [own, package] = ["Cargo.toml", "python/Cargo.toml"].map(|file| {
        let manifest: toml::Table =
            fs::read_to_string(Path::new(ROOT).join(file)).unwrap().parse().unwrap();
        manifest["package"]["version"].as_str().unwrap().to_owned()
    });
    assert_eq!(own, package, "the version of the package is the program's");
}
