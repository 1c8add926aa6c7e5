//! Whatever a user mistypes ends in one sentence that names it and says what would be right, with exit code 2.

use std::fs;
use std::process::{Command, Stdio};

use crate::program::{Place, small_run};

#[test]
fn mistakes_are_named() {
    let place = Place::new("mistakes");
    fs::create_dir(place.file("full")).unwrap();
    fs::write(place.file("full/notes.txt"), "mine").unwrap();
    fs::write(place.file("file"), "").unwrap();
    fs::create_dir(place.file("broken")).unwrap();
    fs::write(place.file("broken/config.toml"), "task = ").unwrap();
    let table: &[(&[&str], &str)] = &[
        (&["train", "Hoper"], "there is no task `Hoper` (did you mean `Hopper`?); the tasks are "),
        (&["train", ""], "there is no task ``"),
        (
            &["train", "--algo", "sacc"],
            "there is no method `sacc` (did you mean `sac`?); the methods are ddppo, sac, mbpo, maac, \
             steve, svg, mage, ddppo-plus",
        ),
        (&["train", "--set", "algorithm=sac"], "must be chosen by `--algo`"),
        (
            &["train", "--algo", "sac", "--set", "model.hidden=100"],
            "there is no setting `model.hidden`",
        ),
        (
            &["train", "--algo", "maac", "--set", "policy.gradient_source=gradient_model"],
            "must be `sampled_step` or `prediction_model`: MAAC has one model",
        ),
        (
            &["train", "--set", "polcy.horizon=2"],
            "there is no setting `polcy.horizon` (did you mean `policy.horizon`?)",
        ),
        (
            &["train", "--set", "policy.horizon"],
            "`--set policy.horizon` is not of the form KEY=VALUE",
        ),
        (&["train", "--set", "policy.horizon=many"], "`policy.horizon` must be a whole number"),
        (
            &["train", "--set", "policy.horizon=0"],
            "`policy.horizon` is 0, but must be from 1 to 1000",
        ),
        (&["train", "--set", "model.elites=8"], "must be at most `model.members` (7)"),
        (&["train", "--set", "task=Hopper"], "the task is chosen by `ddppo train Hopper`"),
        (&["train", "--out", "full"], "full exists and is not an empty folder"),
        (&["train", "--out", "file"], "file exists and is not an empty folder"),
        (
            &["train", "--out", "broken"],
            "broken already holds a run: continue it with `ddppo resume broken`",
        ),
        (&["resume", "nowhere"], "nowhere is not the folder of a run: it has no config.toml"),
        (&["resume", "file"], "file is not the folder of a run"),
        (&["resume", "broken"], "broken/config.toml, line 1: "),
        (&["evaluate", "full"], "full is not the folder of a run"),
        (&["plot", "full", "broken"], "full is not the folder of a run"),
        (&["plot", "broken"], "broken/config.toml, line 1: "),
        (
            &["plot", "broken", "--published=MPBO"],
            "there are no published returns of `MPBO` (did you mean `MBPO`?); there are those of ",
        ),
        (
            &["bench", "--against", "jax", "--pieces", "evaluation"],
            "there is no piece `evaluation`; the pieces are critic_update, policy_update, \
             gradient_model_step, model_forward_10k",
        ),
        (
            &["bench", "--against", "torch-compile", "--task", "PointMass"],
            "--against torch-compile knows InvertedPendulum, Hopper, Walker2d, HalfCheetah, \
             AntTruncatedObs, HumanoidTruncatedObs, not PointMass",
        ),
        (
            &["bench", "--against-pytorch", "--task", "PointMass"],
            "--against pytorch knows InvertedPendulum, ",
        ),
    ];
    for (arguments, expected) in table {
        let message = place.fail(2, arguments);
        assert!(message.contains(expected), "{arguments:?}: {message}");
    }
    assert!(!place.file("runs").exists(), "a refused run leaves no folder");
}

#[test]
fn a_missing_compiler_is_named_before_anything_is_installed() {
    let place = Place::new("compiler");
    let arguments = ["bench", "--against", "torch-compile", "--pieces", "critic_update"];
    let output = place.command(&arguments).env("CXX", "no-such-compiler").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "error: --against torch-compile needs a C++ compiler, and there is no `no-such-compiler`: install it, or name yours in CXX\n"
    );
}

#[test]
fn mistakes_that_the_parser_finds_have_the_same_exit_code() {
    let place = Place::new("parser");
    let table: &[&[&str]] = &[
        &[],
        &["trian"],
        &["train", "--seed", "-1"],
        &["train", "--seed", "x"],
        &["train", "--seed", "9223372036854775808"],
        &["train", "--steps", "0"],
        &["train", "--threads", "0"],
        &["train", "Hopper", "Walker2d"],
        &["evaluate"],
        &["evaluate", "run", "--episodes", "0"],
        &["plot"],
        &["bench", "--against", "tensorflow"],
        &["bench", "--against", "jax", "--against-pytorch"],
        &["bench", "--rounds", "3"],
    ];
    for arguments in table {
        let output = place.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("error: ") || text.contains("Usage: "), "{arguments:?}: {text}");
        assert!(!text.contains("panicked"), "{text}");
    }
}

#[test]
fn what_is_wrong_with_a_run_is_named() {
    let place = Place::new("wrong-run");
    place.succeed(&small_run("run", "100", &[]));
    let message = place.fail(2, &["train", "--out", "run"]);
    assert!(
        message.contains("run already holds a run: continue it with `ddppo resume run`"),
        "{message}"
    );
    let message = place.fail(2, &["resume", "run", "--steps", "50"]);
    assert!(
        message.contains("--steps 50 lies behind the run, which has done 100 steps already"),
        "{message}"
    );
    let message = place.fail(2, &["plot", "run", "-o", "curve.pdf"]);
    assert!(message.contains("curve.pdf should end in .svg or .png"), "{message}");
    let message = place.fail(1, &["plot", "run", "-o", "no/such/folder/curve.svg"]);
    assert!(
        message.contains("cannot write no/such/folder/.tmp-curve.svg: no such file or directory"),
        "{message}"
    );

    let config = fs::read_to_string(place.file("run/config.toml")).unwrap();
    fs::write(place.file("run/config.toml"), config.replace("horizon = 2", "horizon = 3")).unwrap();
    for command in ["resume", "evaluate"] {
        let message = place.fail(2, &[command, "run"]);
        assert!(
            message.contains("config.toml has changed since")
                && message.contains("`policy.horizon` was 2 and is 3"),
            "{command}: {message}"
        );
    }
    // A pipe, as a device, is nothing that a file may take the place of.
    assert!(Command::new("mkfifo").arg(place.file("pipe.svg")).status().unwrap().success());
    let message = place.fail(1, &["plot", "run", "-o", "pipe.svg"]);
    assert!(message.contains("cannot write pipe.svg: it is a pipe or a device"), "{message}");
    fs::write(place.file("run/config.toml"), config).unwrap();

    let metrics = fs::read(place.file("run/metrics.jsonl")).unwrap();
    fs::write(place.file("run/metrics.jsonl"), &metrics[..metrics.len() - 1]).unwrap();
    let message = place.fail(1, &["resume", "run"]);
    assert!(message.contains("it was cut or replaced"), "{message}");
    fs::write(place.file("run/metrics.jsonl"), b"{\n").unwrap();
    let message = place.fail(1, &["plot", "run"]);
    assert!(message.contains("run/metrics.jsonl, line 1: no JSON object"), "{message}");
    fs::write(place.file("run/metrics.jsonl"), b"").unwrap();
    let message = place.fail(2, &["plot", "run"]);
    assert!(message.contains("run has no evaluation yet"), "{message}");
    fs::write(place.file("run/metrics.jsonl"), &metrics).unwrap();
    place.succeed(&small_run("begun", "20", &[]));
    let output = place.run(&["plot", "begun", "run", "-o", "both.svg"]);
    let message = String::from_utf8(output.stderr).unwrap();
    let left_out = message.contains("begun has no evaluation yet and is left out");
    assert!(output.status.success() && left_out, "{message}");
    fs::write(place.file("run/metrics.jsonl"), b"").unwrap();

    fs::write(place.file("run/checkpoints/100/state.json"), b"{}").unwrap();
    for command in ["resume", "evaluate"] {
        let message = place.fail(1, &[command, "run"]);
        assert!(
            message.contains("no checkpoint in run/checkpoints can be used")
                && message.contains("100/checksums"),
            "{message}"
        );
    }
    fs::remove_dir_all(place.file("run/checkpoints")).unwrap();
    let message = place.fail(1, &["evaluate", "run"]);
    assert!(message.contains("there is no checkpoint in run/checkpoints"), "{message}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = Place::new("pipe");
    let mut child =
        place.command(&["tasks"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && text.is_empty(), "{text}");
}

#[test]
fn help_has_examples() {
    let place = Place::new("help");
    for arguments in [
        &["--help"][..],
        &["train", "--help"],
        &["resume", "--help"],
        &["evaluate", "--help"],
        &["plot", "--help"],
        &["trace", "--help"],
        &["record", "--help"],
        &["probe", "--help"],
        &["analyze", "--help"],
        &["export", "--help"],
        &["schema", "--help"],
        &["completions", "--help"],
        &["man", "--help"],
    ] {
        let text = place.succeed(arguments);
        assert!(text.contains("Examples:\n  ddppo "), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
    }
}
