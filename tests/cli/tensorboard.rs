//! Event files hold what `metrics.jsonl` holds, whatever has happened to the run, and can never stop it. TensorBoard's own reader is asked.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::faults::library;
use crate::program::{Place, small_run, small_run_by, small_run_on};
use crate::python::python;

/// What TensorBoard finds in a run; it must be what the run has measured.
fn read(place: &Place, run: &str) -> Value {
    let output = Command::new(python("tests/python/requirements-export.txt"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/check_events.py"))
        .arg(place.file(run))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{run}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn event_files(run: &Path) -> Vec<PathBuf> {
    let is_ours = |path: &PathBuf| path.to_string_lossy().contains("tfevents");
    fs::read_dir(run).unwrap().map(|entry| entry.unwrap().path()).filter(is_ours).collect()
}

#[test]
fn all_metrics_of_all_methods_are_found() {
    let place = Place::new("events");
    for info in ddppo::methods::all() {
        let mut arguments = small_run_by(info.name, info.name, "300");
        arguments.push("--tensorboard");
        place.succeed(&arguments);
        let seen = read(&place, info.name);
        assert_eq!((&seen["files"], &seen["restarts"]), (&1.into(), &0.into()), "{seen}");
        // A point mass cannot be drawn.
        assert_eq!(seen["films"], Value::Array(Vec::new()), "{seen}");
    }
    place.succeed(&small_run("plain", "300", &[]));
    assert!(event_files(&place.file("plain")).is_empty(), "not unless asked for");
    assert_eq!(place.metrics("plain"), place.metrics("ddppo"), "it changes nothing else");
}

#[test]
fn a_resumed_run_has_each_step_once() {
    let place = Place::new("events-resumed");
    let run = place.file("run");
    // Killed behind a checkpoint, so that steps are done twice.
    let mut child = place.spawn(&small_run("run", "100000", &["--tensorboard"]));
    place.wait_for(&mut child, "run/checkpoints/200");
    child.kill();
    let before = event_files(&run);
    assert_eq!(before.len(), 1);
    // As a crash of the machine would leave it.
    let mut file = OpenOptions::new().append(true).open(&before[0]).unwrap();
    file.write_all(&[3, 0, 0, 0, 0, 0, 0, 0, 1]).unwrap();
    let newest = *place.steps("run").last().unwrap();
    let (steps, more) = ((newest + 150).to_string(), (newest + 300).to_string());
    place.succeed(&["resume", "run", "--quiet", "--steps", &steps]);
    let first = read(&place, "run");
    assert_eq!((&first["files"], &first["restarts"]), (&1.into(), &1.into()), "{first}");
    assert_ne!(event_files(&run), before, "a reader goes on in a file of another name");

    // What was measured before keeps the hour at which it was.
    place.succeed(&["resume", "run", "--quiet", "--steps", &more]);
    let second = read(&place, "run");
    for (step, time) in first["wall_times"].as_object().unwrap() {
        assert_eq!(second["wall_times"][step], *time, "{step}");
    }
    // Nothing is left to do: nothing changes.
    place.succeed(&["resume", "run", "--quiet"]);
    assert_eq!(read(&place, "run")["wall_times"], second["wall_times"]);
}

#[test]
fn it_may_be_turned_on_late_and_lost_in_between() {
    let place = Place::new("events-late");
    place.succeed(&small_run("run", "200", &[]));
    place.succeed(&["resume", "run", "--quiet", "--steps", "300", "--tensorboard"]);
    assert!(
        fs::read_to_string(place.file("run/config.toml")).unwrap().contains("tensorboard = true")
    );
    assert_eq!(read(&place, "run")["restarts"], 0, "there was no file before");
    for file in event_files(&place.file("run")) {
        fs::remove_file(file).unwrap();
    }
    place.succeed(&["resume", "run", "--quiet", "--steps", "400"]);
    read(&place, "run");
    // Other programs' files are left alone, and so is what is no file.
    let foreign = place.file("run/events.out.tfevents.1700000000.host");
    fs::write(&foreign, "mine").unwrap();
    let link = place.file("run/events.out.tfevents.9999999999.ddppo");
    std::os::unix::fs::symlink(&foreign, &link).unwrap();
    place.succeed(&["resume", "run", "--quiet", "--steps", "500"]);
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "mine");
    fs::remove_file(link).unwrap();
    fs::remove_file(foreign).unwrap();
    read(&place, "run");
}

#[test]
fn a_run_that_can_be_drawn_ends_with_a_film() {
    let place = Place::new("events-film");
    let mut arguments = small_run_on("Hopper", "run", "60", &["--tensorboard"]);
    arguments.extend(["--set", "evaluation.every_steps=60"]);
    place.succeed(&arguments);
    let films = read(&place, "run")["films"].clone();
    let [film] = &films.as_array().unwrap()[..] else { panic!("{films}") };
    assert_eq!(film[0], 60, "{film}");
    assert!(film[1].as_u64().is_some_and(|pictures| pictures > 1), "{film}");
    // It is there once, and stays when the run goes on.
    place.succeed(&["resume", "run", "--quiet"]);
    assert_eq!(read(&place, "run")["films"], films);
    place.succeed(&["resume", "run", "--quiet", "--steps", "90"]);
    let films = read(&place, "run")["films"].clone();
    assert_eq!((&films[0], &films[1][0], films.as_array().unwrap().len()), (film, &90.into(), 2));
}

#[test]
fn no_event_file_can_stop_a_run() {
    let place = Place::new("events-faults");
    place.succeed(&small_run("whole", "300", &[]));
    let warning = "warning: the event file for TensorBoard fails and is left out: ";
    // The n-th operation on that file fails: its rename, its opening, a write.
    for at in [1, 2, 4, 9] {
        let run = format!("run{at}");
        let mut command = place.command(&small_run(&run, "300", &["--tensorboard"]));
        let hit = place.file("hit");
        let _ = fs::remove_file(&hit);
        command
            .env("LD_PRELOAD", library())
            .env("FAULT_PATH", "tfevents")
            .env("FAULT_AT", at.to_string())
            .env("FAULT_HOW", libc::ENOSPC.to_string())
            .env("FAULT_HIT", &hit);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && hit.exists(), "{at}: {said}");
        assert!(said.starts_with(warning) && said.lines().count() == 1, "{at}: {said}");
        assert_eq!(place.metrics(&run), place.metrics("whole"));
        // The next session makes it whole again.
        place.succeed(&["resume", &run, "--quiet", "--steps", "310"]);
        read(&place, &run);
    }
    // A file of a terabyte that calls itself one of ours.
    let huge = place.file("run1/events.out.tfevents.0000000001.ddppo");
    File::create(&huge).unwrap().set_len(1 << 40).unwrap();
    let output = place.run(&["resume", "run1", "--quiet", "--steps", "320"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.starts_with(warning), "{said}");
}
