//! Small things that people type, and how a run is asked for.

use std::fs;
use std::process::Command;

use crate::program::{Place, small_run, small_run_on};

#[test]
fn tasks_are_found_by_other_names() {
    let place = Place::new("names");
    for (word, name) in [
        ("hopper", "Hopper"),
        ("Hopper-v4", "Hopper"),
        ("half-cheetah", "HalfCheetah"),
        ("ant", "AntTruncatedObs"),
    ] {
        place.succeed(&small_run_on(word, "run", "2", &[]));
        let config = fs::read_to_string(place.file("run/config.toml")).unwrap();
        assert!(config.contains(&format!("task = \"{name}\"")), "{word}: {config}");
        fs::remove_dir_all(place.file("run")).unwrap();
    }
    assert_eq!(place.succeed(&["trace", "walker2d-v3", "--steps", "1"]).lines().count(), 2);
    place.succeed(&["record", "hopper", "-o", "x.gif", "--seconds", "0.1"]);
    let message = place.fail(2, &["train", "Hopper-v4x"]);
    assert!(message.contains("there is no task `Hopper-v4x`"), "{message}");
}

#[test]
fn numbers_are_read_as_they_are_meant() {
    let place = Place::new("numbers");
    for (steps, folder) in [("1e2", "a"), ("1_00", "b"), ("0.1e3", "c")] {
        place.succeed(&small_run(folder, steps, &[]));
        assert!(place.file(folder).join("checkpoints/100").exists(), "{steps}");
    }
    assert_eq!(place.succeed(&["evaluate", "a", "--episodes", "2e0"]).lines().count(), 4);
    let refused: &[(&[&str], &str)] = &[
        (&["train", "--seed", "-1"], "a seed is a whole number from 0 to 9223372036854775807"),
        (&["evaluate", "a", "--seed", "-1"], "a seed is a whole number from 0"),
        (&["train", "--seed", "1.5"], "a seed is a whole number from 0"),
        (&["train", "--steps", "-5"], "whole number from 1 to 1000000000"),
        (&["train", "--steps", "0"], "whole number from 1 to 1000000000"),
        (&["train", "--steps", "1.5"], "whole number from 1 to 1000000000"),
        (&["train", "--steps", "many"], "whole number from 1 to 1000000000"),
        (&["train", "--threads", "0"], "whole number from 1 to 1024"),
        (&["evaluate", "a", "--episodes", "-3"], "whole number from 1 to 1000000"),
        (&["record", "hopper", "-o", "x.gif", "--seconds", "-1"], "a number of seconds from 0.04"),
    ];
    for (arguments, expected) in refused {
        let output = place.run(arguments);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(expected), "{arguments:?}: {text}");
    }
}

#[test]
fn one_line_starts_a_run_and_goes_on_with_it() {
    let place = Place::new("start-or-resume");
    place.succeed(&small_run("whole", "400", &[]));
    let line = |steps| small_run("run", steps, &["--resume"]);
    let mut child = place.spawn(&line("400"));
    place.wait_for(&mut child, "run/checkpoints/100");
    child.kill();
    place.succeed(&line("400"));
    assert_eq!(place.metrics("run"), place.metrics("whole"));
    assert!(place.state("run") == place.state("whole"));
    // Done is done, and a shorter wish makes no shorter run.
    place.succeed(&line("400"));
    place.succeed(&line("200"));
    assert!(place.state("run") == place.state("whole"));
    let message = place.fail(2, &small_run("run", "400", &["--resume", "--seed", "5"]));
    assert!(
        message.contains("run holds a run with other settings: `seed` was 0 and is 5"),
        "{message}"
    );
    let message = place.fail(2, &small_run("run", "400", &[]));
    assert!(message.contains("already holds a run"), "{message}");
    let output = place.run(&["train", "--resume"]);
    assert_eq!(output.status.code(), Some(2), "a folder is needed");
}

#[test]
fn far_too_much_memory_is_refused_before_the_run_begins() {
    let place = Place::new("memory");
    let line = format!("ulimit -v 4000000; exec {} \"$@\"", env!("CARGO_BIN_EXE_ddppo"));
    // A little more than the limit, and far more.
    for settings in [&["policy.hidden=16384"][..], &["policy.hidden=16384", "critic.hidden=16384"]]
    {
        let mut command = Command::new("sh");
        command.args(["-c", &line, "sh"]).current_dir(&place.path);
        let flags: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
        command.args(small_run("run", "100", &flags));
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        let most = settings.last().unwrap().split('=').next().unwrap();
        assert!(
            text.starts_with("error: the run needs about ")
                && text.contains(&format!("`{most}` takes the most")),
            "{text}"
        );
        assert!(!place.file("run").exists());
    }
}
