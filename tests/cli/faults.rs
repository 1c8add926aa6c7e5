//! Every file operation of the real program fails once, falls short, or is its last one: the same program goes on from
//! whatever that leaves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use crate::program::{Place, small_run};
use crate::robots;

/// The library that makes operations fail: `tests/support/faults.c` says what its variables are.
pub fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/faults.c");
        let name = format!("faults-{}.so", std::process::id());
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let made = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .status();
        assert!(made.expect("cc, which Rust links with").success());
        library
    })
}

/// Runs a command that meets one fault in the folder `victim`; `None` once it has no operation of that number.
fn faulty(place: &Place, arguments: &[&str], at: usize, how: &str) -> Option<Output> {
    let hit = place.file("hit");
    let _ = fs::remove_file(&hit);
    let mut command = place.command(arguments);
    command
        .env("LD_PRELOAD", library())
        .env("FAULT_PATH", "victim")
        .env("FAULT_AT", at.to_string())
        .env("FAULT_HOW", how)
        .env("FAULT_HIT", &hit);
    let output = command.output().unwrap();
    hit.exists().then_some(output)
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The robot has the name of a built-in one, which it must never become.
#[test]
fn a_start_that_is_killed_anywhere_never_becomes_another_run() {
    let place = robots::place("killed-start");
    let task = fs::read_to_string(place.file("arm.toml")).unwrap();
    let named = task.replace("name = \"Arm\"", "name = \"InvertedPendulum\"");
    fs::write(place.file("arm.toml"), named).unwrap();
    let start = robots::train("victim", "3", "arm.xml", "arm.toml");
    let (mut begun, mut refused, mut at) = (0, 0, 1);
    while let Some(output) = faulty(&place, &start, at, "kill") {
        assert!(output.status.code().is_none(), "operation {at}: {}", text(&output));
        let output = place.run(&["resume", "victim", "--quiet"]);
        if output.status.success() {
            begun += 1;
        } else {
            refused += 1;
            assert!(
                text(&output).contains("is not the folder of a run"),
                "{at}: {}",
                text(&output)
            );
            place.succeed(&start);
        }
        // The arm has one joint, the built-in pendulum on its cart two.
        let line = place.succeed(&["trace", "--policy", "victim", "--steps", "1"]);
        assert!(line.contains("\"qpos\":[") && !line.contains("\"qpos\":[0.0,0.0]"), "{line}");
        let first: serde_json::Value = serde_json::from_str(line.lines().next().unwrap()).unwrap();
        assert_eq!(first["qpos"].as_array().unwrap().len(), 1, "operation {at}");
        assert!(place.file("victim/checkpoints/3").exists(), "operation {at}");
        fs::remove_dir_all(place.file("victim")).unwrap();
        at += 1;
    }
    println!("{at} operations: {refused} times nothing had begun, {begun} times it went on");
    assert!(refused >= 10 && begun >= 10, "{refused} and {begun}");
}

/// EIO, ENOSPC, EACCES, EROFS, EDQUOT, ENOTEMPTY, ESTALE.
const ERRORS: [&str; 7] = ["5", "28", "13", "30", "122", "39", "116"];

#[test]
fn whatever_fails_once_the_run_goes_on_or_can_be_gone_on_with() {
    let place = Place::new("failing");
    place.succeed(&small_run("whole", "220", &[]));
    let start = small_run("victim", "220", &[]);
    let (mut survived, mut stopped, mut at) = (0, 0, 1);
    // Each error meets each operation in one run of seven; the number of operations is no multiple of seven.
    let shift: usize = std::env::var("DDPPO_FAULTS").map_or(0, |n| n.parse().unwrap());
    while let Some(output) = faulty(&place, &start, at, ERRORS[(at + shift) % ERRORS.len()]) {
        match output.status.code() {
            Some(0) => survived += 1,
            Some(1 | 2) => {
                stopped += 1;
                let said = text(&output);
                let errors = said.lines().filter(|line| line.starts_with("error: ")).count();
                assert!(errors == 1 && !said.contains("panicked"), "operation {at}: {said}");
            }
            other => panic!("operation {at}: {other:?}: {}", text(&output)),
        }
        if !output.status.success() {
            let output = place.run(&["resume", "victim", "--quiet"]);
            if !output.status.success() {
                assert!(
                    text(&output).contains("is not the folder of a run"),
                    "{at}: {}",
                    text(&output)
                );
                place.succeed(&start);
            }
        }
        assert_eq!(place.metrics("victim"), place.metrics("whole"), "operation {at}");
        assert!(place.state("victim") == place.state("whole"), "operation {at}");
        fs::remove_dir_all(place.file("victim")).unwrap();
        at += STRIDE;
    }
    println!("{at} operations: {survived} times the run went on, {stopped} times it stopped");
    assert!(survived >= 5 && stopped >= 10, "{survived} and {stopped}");
}

/// Of the operations of a whole run, every so many is made to fail: the whole way takes a minute.
const STRIDE: usize = 4;

#[test]
fn writes_that_fall_short_are_completed() {
    let place = Place::new("short");
    place.succeed(&small_run("whole", "110", &[]));
    let start = small_run("victim", "110", &[]);
    let mut at = 1;
    while let Some(output) = faulty(&place, &start, at, "short") {
        assert!(output.status.success(), "operation {at}: {}", text(&output));
        assert_eq!(place.metrics("victim"), place.metrics("whole"), "operation {at}");
        assert!(place.state("victim") == place.state("whole"), "operation {at}");
        fs::remove_dir_all(place.file("victim")).unwrap();
        at += 7;
    }
    assert!(at > 30, "{at}");
}

/// ENOSYS and ENOLCK: file systems that know no locks.
#[test]
fn without_locks_a_second_process_is_noticed_by_name() {
    let place = Place::new("no-locks");
    let without = |arguments: &[&str], error: &str| {
        let mut command = place.command(arguments);
        command.env("LD_PRELOAD", library()).env("FAULT_FLOCK", error);
        command
    };
    for (error, run) in [("38", "a"), ("37", "b"), ("95", "c")] {
        let output = without(&small_run(run, "60", &[]), error).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        assert!(
            text(&output).contains("warning: the file system has no locks"),
            "{}",
            text(&output)
        );
    }
    let mut running = place.start(without(&small_run("long", "1000000", &[]), "38"));
    place.wait_for(&mut running, "long/checkpoints/100");
    let output = without(&["resume", "long", "--quiet"], "38").output().unwrap();
    let holder = format!("in use by another ddppo (process {})", running.0.id());
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains(&holder), "{}", text(&output));
    // A dead process holds nothing.
    running.kill();
    let output = without(&["resume", "long", "--steps", "1", "--quiet"], "38").output().unwrap();
    assert!(text(&output).contains("lies behind the run"), "{}", text(&output));
}

/// ENOTEMPTY: network file systems keep removed files in their folder while somebody has them open.
#[test]
fn folders_that_cannot_be_removed_stay() {
    let place = Place::new("not-empty");
    place.succeed(&small_run("whole", "700", &[]));
    let mut command = place.command(&small_run("victim", "700", &[]));
    command.env("LD_PRELOAD", library()).env("FAULT_PATH", "victim").env("FAULT_RMDIR", "39");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(
        text(&output).contains("warning: old checkpoints stay: cannot remove"),
        "{}",
        text(&output)
    );
    assert!(place.state("victim") == place.state("whole"));
}

#[test]
fn a_clock_before_1970_stops_nothing() {
    let place = Place::new("clock");
    for (seconds, run) in [("-1000", "early"), ("999999999999", "late")] {
        let mut command = place.command(&small_run(run, "60", &[]));
        command.env("LD_PRELOAD", library()).env("FAULT_CLOCK", seconds);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let manifest = fs::read_to_string(place.file(run).join("manifest.json")).unwrap();
        assert!(manifest.contains("\"started\": \"unknown\""), "{manifest}");
    }
}
