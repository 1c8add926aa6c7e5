//! Run folders that were changed, cut or copied: used if they can be, refused with a sentence if not.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::program::{Place, small_run};
use crate::robots;

pub fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// A run of 300 steps, and the same one of 400.
pub fn place(name: &str) -> Place {
    let place = Place::new(name);
    place.succeed(&small_run("run", "300", &[]));
    place.succeed(&small_run("whole", "400", &[]));
    place
}

/// What the program says, which must end in this exit code without a panic.
pub fn says(place: &Place, code: i32, arguments: &[&str]) -> String {
    let output = place.run(arguments);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    assert!(!text.contains("panicked"), "{arguments:?}: {text}");
    text
}

pub const RESUME: [&str; 5] = ["resume", "run", "--steps", "400", "--quiet"];

#[test]
fn a_run_whose_checkpoints_are_lost_does_not_begin_anew() {
    let place = place("lost");
    let (run, kept) = (place.file("run"), place.file("kept"));
    copy(&run, &kept);
    let metrics = fs::read(run.join("metrics.jsonl")).unwrap();
    let checkpoints = run.join("checkpoints");
    let cases: [(&str, &dyn Fn()); 5] = [
        ("run/checkpoints has no checkpoint, though the run had saved", &|| {}),
        ("run/checkpoints has no checkpoint, though the run had saved", &|| {
            fs::create_dir(&checkpoints).unwrap();
        }),
        ("it is a link, and no link in a run's folder is followed", &|| {
            symlink("/nonexistent", &checkpoints).unwrap();
        }),
        ("it is a link, and no link in a run's folder is followed", &|| {
            symlink("../kept/checkpoints", &checkpoints).unwrap();
        }),
        ("cannot use run/checkpoints: not a directory", &|| fs::write(&checkpoints, "").unwrap()),
    ];
    for (expected, put) in cases {
        let _ = fs::remove_dir_all(&checkpoints);
        let _ = fs::remove_file(&checkpoints);
        put();
        let said = says(&place, 1, &RESUME);
        assert!(said.contains(expected), "{said}");
        assert_eq!(fs::read(run.join("metrics.jsonl")).unwrap(), metrics, "not a line is lost");
    }
    // The manifest is a record for people: without it the metrics still tell.
    fs::remove_file(&checkpoints).unwrap();
    fs::remove_file(run.join("manifest.json")).unwrap();
    let said = says(&place, 1, &RESUME);
    assert!(said.contains("its metrics reach to step 300"), "{said}");
    copy(&kept.join("checkpoints"), &checkpoints);
    place.succeed(&RESUME);
    assert!(place.state("run") == place.state("whole"));
}

#[test]
fn cut_metrics_send_a_run_back_to_the_checkpoint_that_fits() {
    let place = place("cut-metrics");
    let metrics = place.file("run/metrics.jsonl");
    let lines = fs::read_to_string(&metrics).unwrap();
    let cut = lines.trim_end().rsplit_once('\n').unwrap().0.to_owned() + "\n";
    for text in [cut.clone(), lines.trim_end().to_owned()] {
        fs::write(&metrics, text).unwrap();
        let output = place.run(&RESUME);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert!(said.contains("when the checkpoint of step 300 was saved: it was cut"), "{said}");
        assert!(said.contains("warning: the run goes on from step 2"), "{said}");
        assert_eq!(place.metrics("run"), place.metrics("whole"));
        assert!(place.state("run") == place.state("whole"));
        fs::remove_dir_all(place.file("run")).unwrap();
        place.succeed(&small_run("run", "300", &[]));
    }
    // A line from the middle, or a line too many: no checkpoint was saved with such a file.
    let hole = lines.split_once('\n').unwrap().1.to_owned();
    let more = format!("{}\n{lines}", lines.lines().next().unwrap());
    for text in [hole, more, String::new()] {
        fs::write(&metrics, &text).unwrap();
        let said = says(&place, 1, &RESUME);
        assert!(said.contains("no checkpoint in run/checkpoints can be used"), "{said}");
        assert_eq!(fs::read_to_string(&metrics).unwrap(), text);
    }
    fs::write(&metrics, lines).unwrap();
    place.succeed(&RESUME);
    assert!(place.state("run") == place.state("whole"));
}

/// File managers and network file systems put files of their own into folders.
#[test]
fn names_that_are_not_ours_stay() {
    let place = place("foreign");
    let names = [
        "checkpoints/.DS_Store",
        "checkpoints/.nfs000012",
        "checkpoints/notes.txt",
        "checkpoints/+100",
        "checkpoints/0100",
        "checkpoints/rows/.DS_Store",
        "checkpoints/rows/notes.safetensors",
    ];
    for name in names {
        fs::write(place.file("run").join(name), "mine").unwrap();
    }
    fs::create_dir(place.file("run/checkpoints/.Trash")).unwrap();
    place.succeed(&["resume", "run", "--steps", "900", "--quiet"]);
    for name in names {
        assert_eq!(fs::read(place.file("run").join(name)).unwrap(), b"mine", "{name}");
    }
    assert!(place.file("run/checkpoints/.Trash").is_dir());
    assert!(place.steps("run").len() <= 4, "{:?}", place.steps("run"));
}

#[test]
fn a_folder_in_which_a_start_was_killed_is_free() {
    let place = Place::new("never-begun");
    for leftovers in
        [&["run.lock"][..], &["run.lock", ".tmp-config.toml"], &[".tmp-config.toml", "run.lock"]]
    {
        fs::create_dir(place.file("run")).unwrap();
        for name in leftovers {
            fs::write(place.file("run").join(name), "").unwrap();
        }
        let message = place.fail(2, &["resume", "run"]);
        assert!(message.contains("run is not the folder of a run"), "{message}");
        place.succeed(&small_run("run", "60", &[]));
        fs::remove_dir_all(place.file("run")).unwrap();
    }
    // Somebody's own folder is not, whatever its files are called.
    for name in ["robot", "notes", ".tmp-config.toml"] {
        fs::create_dir_all(place.file("mine").join(name)).unwrap();
        let message = place.fail(2, &small_run("mine", "60", &[]));
        assert!(message.contains("mine exists and is not an empty folder"), "{message}");
        assert!(place.file("mine").join(name).is_dir());
        fs::remove_dir_all(place.file("mine")).unwrap();
    }
}

#[test]
fn a_robot_that_is_not_whole_does_not_become_a_built_in_one() {
    let place = robots::place("half-robot");
    let task = fs::read_to_string(place.file("arm.toml")).unwrap();
    fs::write(place.file("arm.toml"), task.replace("\"Arm\"", "\"InvertedPendulum\"")).unwrap();
    place.succeed(&robots::train("run", "60", "arm.xml", "arm.toml"));
    fs::remove_file(place.file("run/robot/origin.toml")).unwrap();
    for arguments in [&["resume", "run"][..], &["evaluate", "run"]] {
        let message = place.fail(2, arguments);
        assert!(message.contains("the robot in run/robot is not whole"), "{message}");
    }
}

#[test]
fn what_is_said_of_the_newest_checkpoint_is_true() {
    let place = place("said");
    fs::write(place.file("run/checkpoints/300/state.safetensors"), "").unwrap();
    let config = fs::read_to_string(place.file("run/config.toml")).unwrap();
    let guarded = config.replace("max_loss = inf", "max_loss = 1e-9");
    assert_ne!(config, guarded);
    fs::write(place.file("run/config.toml"), guarded).unwrap();
    let said = says(&place, 1, &RESUME);
    assert!(!said.contains("the checkpoint of step 300 is"), "{said}");
    let whole = *place.steps("run").iter().rev().nth(1).unwrap();
    assert!(said.contains(&format!("the checkpoint of step {whole} is whole")), "{said}");
}

#[test]
fn a_folder_whose_name_is_no_text_is_one() {
    let place = Place::new("bytes");
    let name = OsStr::from_bytes(b"r\xff\xfe");
    let mut arguments: Vec<&OsStr> =
        small_run("x", "100", &[]).into_iter().map(OsStr::new).collect();
    let at = arguments.iter().position(|argument| *argument == "x").unwrap();
    arguments[at] = name;
    let mut command = place.command(&[]);
    assert!(command.args(&arguments).output().unwrap().status.success());
    for more in [&["evaluate", "--episodes", "1"][..], &["resume", "--quiet"], &["plot"]] {
        let output = place.command(more).arg(name).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn copies_of_a_run_count_once() {
    let place = place("copies");
    copy(&place.file("run"), &place.file("copy"));
    let count = |runs: &[&str]| {
        let arguments = [&["plot"], runs, &["-o", "x.svg"]].concat();
        let said = says(&place, 0, &arguments);
        (said, fs::read_to_string(place.file("x.svg")).unwrap())
    };
    let (said, alone) = count(&["run"]);
    assert!(said.is_empty() && alone.contains("seed 0"), "{said}");
    let (said, twice) = count(&["run", "run"]);
    assert!(said.contains("warning: run is named twice"), "{said}");
    assert_eq!(alone, twice);
    let (said, _) = count(&["run", "./run/../run"]);
    assert!(said.contains("is named twice"), "{said}");
    let (said, copied) = count(&["run", "copy"]);
    assert!(said.contains("copy is the same run as run"), "{said}");
    assert_eq!(alone, copied);
    // The same run, longer: it counts once, with all that it has.
    let (said, both) = count(&["run", "whole"]);
    assert!(said.contains("whole is the same run as run"), "{said}");
    assert_eq!(both, count(&["whole"]).1);
    place.succeed(&small_run("other", "300", &["--seed", "1"]));
    let (said, seeds) = count(&["run", "other"]);
    assert!(said.is_empty() && seeds.contains("2 seeds"), "{said}");
}

/// Two robots of one name are two tasks, and neither is the built-in one whose name it has.
#[test]
fn robots_of_one_name_are_told_apart() {
    let place = robots::place("one-name");
    let task = fs::read_to_string(place.file("arm.toml")).unwrap();
    let task = task.replace("\"Arm\"", "\"Hopper\"");
    fs::write(place.file("arm.toml"), &task).unwrap();
    fs::write(place.file("other.toml"), task.replace("weight = 1.0", "weight = 9.0")).unwrap();
    for (run, file, seed) in
        [("a", "arm.toml", "0"), ("b", "other.toml", "0"), ("c", "arm.toml", "1")]
    {
        let mut arguments = robots::train(run, "100", "arm.xml", file);
        arguments.extend(["--seed", seed]);
        place.succeed(&arguments);
    }
    place.succeed(&["plot", "a", "b", "c", "--published", "-o", "x.svg"]);
    let svg = fs::read_to_string(place.file("x.svg")).unwrap();
    assert!(svg.contains("Hopper (another robot, 2)") && svg.contains("2 seeds"), "{svg}");
    assert!(!svg.contains("published"), "an own robot has no published curves");
    place.succeed(&["plot", "a", "b", "c", "-o", "x.csv"]);
    let table = fs::read_to_string(place.file("x.csv")).unwrap();
    let robots: Vec<&str> =
        table.lines().skip(1).filter_map(|line| line.split(',').nth(2)).collect();
    assert_eq!((robots[0], robots.len()), (robots[2], 3), "{table}");
    assert!(robots[0].starts_with("robot=") && robots[0] != robots[1], "{table}");
}

/// The best checkpoint is the policy that was scored, whatever the interval of checkpoints.
#[test]
fn the_best_policy_is_the_one_that_was_scored() {
    let place = Place::new("best");
    let more = [
        "--set",
        "evaluation.every_steps=70",
        "--set",
        "checkpoint.every_steps=30",
        "--set",
        "checkpoint.keep=1",
    ];
    place.succeed(&small_run("run", "500", &more));
    let scores: Vec<(u64, f64)> = fs::read_to_string(place.file("run/metrics.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|line| line["kind"] == "evaluation")
        .map(|line| (line["step"].as_u64().unwrap(), line["return_mean"].as_f64().unwrap()))
        .collect();
    assert_eq!(scores.len(), 7);
    let best = scores.iter().copied().reduce(|a, b| if b.1 > a.1 { b } else { a }).unwrap();
    let said = place.succeed(&["evaluate", "run", "--best", "--episodes", "1"]);
    assert!(said.contains(&format!("policy after {} steps", best.0)), "{said}, {scores:?}");
    assert!(place.steps("run").contains(&best.0), "{:?}", place.steps("run"));
    assert_eq!(place.steps("run").len(), 2, "the newest and the best");
}
