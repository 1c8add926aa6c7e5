//! Whole runs through the command line: what they leave behind, and that nothing that interrupts them changes their result.

use std::fs;

use crate::program::{Place, small_run, small_run_on};

const STEPS: &str = "600";

#[test]
fn a_run_leaves_everything_that_it_promises() {
    let place = Place::new("whole");
    let printed = place.succeed(&small_run("run", STEPS, &["--seed", "3", "--threads", "2"]));
    for promised in ["run/curve.svg", "run/curve.png", "run/checkpoints/600", "ddppo evaluate run"]
    {
        assert!(printed.contains(promised), "{printed}");
    }
    for file in [
        "config.toml",
        "manifest.json",
        "metrics.jsonl",
        "curve.svg",
        "curve.png",
        "checkpoints/600/state.safetensors",
    ] {
        assert!(fs::metadata(place.file("run").join(file)).unwrap().len() > 0, "{file}");
    }
    assert!(fs::read(place.file("run/curve.png")).unwrap().starts_with(b"\x89PNG"));
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(place.file("run/manifest.json")).unwrap()).unwrap();
    let session = &manifest["sessions"][0];
    assert_eq!((&manifest["task"], &manifest["seed"]), (&"PointMass".into(), &3.into()));
    assert_eq!(
        (&session["threads"], &session["last_step"], &session["outcome"]),
        (&2.into(), &600.into(), &"finished".into())
    );
    assert_eq!(session["mujoco_version"], "3.17.0");
    for key in ["version", "git_revision", "cpu", "started", "ended"] {
        assert!(session[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {session}");
    }

    let played = place.succeed(&["evaluate", "run", "--episodes", "2", "--seed", "5"]);
    assert!(
        played.contains("PointMass, policy after 600 steps") && played.contains("over 2 episodes"),
        "{played}"
    );
    assert_eq!(
        place.succeed(&["evaluate", "run", "--episodes", "2", "--seed", "5"]),
        played,
        "equal seeds, equal episodes"
    );
    assert_eq!(place.succeed(&["plot", "run", "-o", "curve.svg"]), "curve.svg\n");
    assert_eq!(
        fs::read(place.file("curve.svg")).unwrap(),
        fs::read(place.file("run/curve.svg")).unwrap()
    );
}

#[test]
fn runs_are_numbered_and_never_overwritten() {
    let place = Place::new("numbered");
    let arguments = small_run("x", "60", &["--seed", "1"]);
    let arguments: Vec<&str> =
        arguments.into_iter().filter(|argument| !["--out", "x"].contains(argument)).collect();
    for n in 1..=2 {
        place.succeed(&arguments);
        assert!(place.file(&format!("runs/PointMass-seed1-{n}/config.toml")).exists());
    }
}

#[test]
fn equal_seeds_are_equal_runs_at_any_number_of_threads() {
    let place = Place::new("equal");
    place.succeed(&small_run("a", "300", &["--threads", "1"]));
    place.succeed(&small_run("b", "300", &["--threads", "2"]));
    place.succeed(&small_run("c", "300", &["--threads", "2", "--seed", "1"]));
    assert_eq!(place.metrics("a"), place.metrics("b"));
    assert!(place.checkpoint("a", 300) == place.checkpoint("b", 300));
    assert_ne!(place.metrics("a"), place.metrics("c"));
    assert!(!place.metrics("a").is_empty());
}

#[test]
fn longer_runs_are_the_same_as_if_planned_so() {
    let place = Place::new("longer");
    place.succeed(&small_run("long", STEPS, &[]));
    place.succeed(&small_run("short", "250", &[]));
    place.succeed(&["resume", "short", "--steps", STEPS, "--quiet"]);
    assert_eq!(place.metrics("short"), place.metrics("long"));
    assert!(place.state("short") == place.state("long"));
    place.succeed(&["resume", "short", "--quiet"]);
    assert_eq!(
        place.metrics("short"),
        place.metrics("long"),
        "resuming a finished run changes nothing"
    );
}

/// Analyses may be turned on and off between the sessions of a run, and a killed run writes them again.
#[test]
fn analyses_outlive_a_kill_and_make_no_other_run() {
    let place = Place::new("watched");
    let watch = ["--set", "analysis.every_steps=40", "--set", "analysis.states=5"];
    place.succeed(&small_run("plain", STEPS, &[]));
    place.succeed(&small_run("whole", STEPS, &watch));
    let is_analysis = |line: &String| line.contains(r#""kind":"analysis""#);
    let (analyses, rest): (Vec<_>, Vec<_>) =
        place.metrics("whole").into_iter().partition(is_analysis);
    // The models are trained at step 100 for the first time.
    assert_eq!(analyses.len(), 13, "{analyses:?}");
    assert_eq!(rest, place.metrics("plain"));
    assert!(place.state("whole") == place.state("plain"));

    let mut child = place.spawn(&small_run("killed", STEPS, &watch));
    place.wait_for(&mut child, "killed/checkpoints/200");
    child.kill();
    place.succeed(&["resume", "killed", "--quiet"]);
    assert_eq!(place.metrics("killed"), place.metrics("whole"));

    place.succeed(&small_run("later", "300", &[]));
    let path = place.file("later/config.toml");
    let text = fs::read_to_string(&path).unwrap();
    let on = "[analysis]\nevery_steps = 40\nstates = 5\n";
    fs::write(&path, text.replace("[analysis]\nevery_steps = 0\nstates = 200\n", on)).unwrap();
    place.succeed(&["resume", "later", "--steps", STEPS, "--quiet"]);
    let later = place.metrics("later");
    let found: Vec<String> = later.iter().filter(|line| is_analysis(line)).cloned().collect();
    assert_eq!(found, analyses[5..], "from step 320 on");
    assert!(place.state("later") == place.state("plain"));
}

#[test]
fn a_damaged_checkpoint_is_passed_over() {
    let place = Place::new("passed-over");
    place.succeed(&small_run("run", "300", &[]));
    let (metrics, checkpoint) = (place.metrics("run"), place.checkpoint("run", 300));
    fs::write(place.file("run/checkpoints/300/state.safetensors"), b"").unwrap();
    let output = place.run(&["resume", "run", "--quiet"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success()
            && text.contains("warning: a newer checkpoint is damaged and passed over"),
        "{text}"
    );
    assert_eq!(place.metrics("run"), metrics);
    assert!(place.checkpoint("run", 300) == checkpoint);
}

#[test]
fn one_process_at_a_time() {
    let place = Place::new("two");
    let mut child = place.spawn(&small_run("run", "1000000", &[]));
    place.wait_for(&mut child, "run/checkpoints/100");
    let message = place.fail(2, &["resume", "run"]);
    assert!(
        message.contains(&format!("run is in use by another ddppo (process {})", child.0.id())),
        "{message}"
    );
    child.kill();
    // The lock file is still there, with the number of a dead process, and locks nobody out.
    let holder = || {
        fs::read_to_string(place.file("run/run.lock"))
            .unwrap()
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(holder(), child.0.id().to_string());
    let mut child = place.spawn(&["resume", "run", "--quiet"]);
    while holder() != child.0.id().to_string() {
        assert!(child.0.try_wait().unwrap().is_none(), "{}", child.end().1);
    }
}

#[test]
fn a_folder_that_vanishes_stops_the_run_with_a_sentence() {
    let place = Place::new("vanished");
    let mut child = place.spawn(&small_run("run", "1000000", &[]));
    place.wait_for(&mut child, "run/checkpoints/100");
    fs::rename(place.file("run"), place.file("moved")).unwrap();
    let (status, text) = child.end();
    assert_eq!(status.code(), Some(1), "{text}");
    // The manifest may have been about to be written, too.
    assert!(text.lines().last().unwrap().starts_with("error: stopped at step "), "{text}");
    assert!(text.ends_with(": no such file or directory\n"), "{text}");
    // What was saved before is whole.
    assert!(place.succeed(&["evaluate", "moved", "--episodes", "1"]).contains("mean return"));
}

#[test]
fn the_numbers_behind_a_curve_are_a_table() {
    let place = Place::new("table");
    place.succeed(&small_run("run", "100", &[]));
    place.succeed(&["plot", "run", "-o", "curve.csv"]);
    let table = fs::read_to_string(place.file("curve.csv")).unwrap();
    let mut lines = table.lines();
    assert_eq!(lines.next(), Some("task,algorithm,settings,seed,step,return_mean,return_std"));
    let evaluations = fs::read_to_string(place.file("run/metrics.jsonl")).unwrap();
    let evaluations = evaluations.lines().filter(|line| line.contains(r#""kind":"evaluation""#));
    assert!(evaluations.clone().count() > 0);
    for (line, evaluation) in lines.by_ref().zip(evaluations) {
        let numbers: Vec<&str> = line.split(',').skip(4).collect();
        assert!(evaluation.starts_with(&format!(r#"{{"step":{},"#, numbers[0])), "{line}");
        assert!(
            evaluation.contains(&format!(r#""return_mean":{},"#, numbers[1])),
            "{line}\n{evaluation}"
        );
    }
    assert_eq!(lines.next(), None);
}

/// Guards are off unless asked for, and a run that one stops goes on where it was when they are off again.
#[test]
fn a_guard_stops_a_run_and_names_the_last_finite_metrics() {
    let place = Place::new("guard");
    place.succeed(&small_run("run", "300", &["--seed", "2"]));
    place.succeed(&small_run("free", "340", &["--seed", "2"]));
    let file = place.file("run/config.toml");
    let config = fs::read_to_string(&file).unwrap();
    assert!(config.contains("max_loss = inf"), "{config}");
    fs::write(&file, config.replace("max_loss = inf", "max_loss = 1e-9")).unwrap();
    let message = place.fail(1, &["resume", "run", "--steps", "340", "--quiet"]);
    for part in [
        "step 301",
        "loss is ",
        "`guards.max_loss`",
        "the last finite metrics, of step",
        "policy_loss",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    fs::write(&file, config).unwrap();
    place.succeed(&["resume", "run", "--steps", "340", "--quiet"]);
    assert!(place.state("run") == place.state("free"), "the guard left a trace");
    assert_eq!(place.metrics("run"), place.metrics("free"));
}

#[test]
fn a_film_is_drawn_at_the_end_and_a_solved_run_says_so() {
    let place = Place::new("solved-film");
    let goal = ["--until-return", "-1e9", "--film", "--set", "evaluation.stop_evaluations=1"];
    let said = place.succeed(&small_run_on("InvertedPendulum", "run", "4000", &goal));
    assert!(
        said.starts_with("solved: the last 1 evaluations reach -1000000000 in the mean"),
        "{said}"
    );
    assert!(said.contains("run/policy.gif: "), "{said}");
    assert!(fs::read(place.file("run/policy.gif")).unwrap().starts_with(b"GIF89a"));
    assert!(place.file("run/curve.svg").exists());
}
