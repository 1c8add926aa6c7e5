//! The commands that look at tasks and runs: trace, record, probe, tasks.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::program::{Place, small_run};

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn traces_are_functions_of_task_seed_and_policy() {
    let place = Place::new("trace");
    let text = place.succeed(&["trace", "Hopper", "--steps", "40", "--seed", "1"]);
    let trace = lines(&text);
    let taken = trace.iter().filter(|line| !line["action"].is_null()).count();
    assert_eq!(taken, 40, "every step has a line of its own");
    assert_eq!((&trace[0]["step"], &trace[0]["reward"]), (&0.into(), &Value::Null));
    assert_eq!(trace[1]["qpos"].as_array().unwrap().len(), 6);
    assert_eq!(place.succeed(&["trace", "Hopper", "--steps", "40", "--seed", "1"]), text);
    assert_ne!(place.succeed(&["trace", "Hopper", "--steps", "40", "--seed", "2"]), text);

    place.succeed(&small_run("run", "200", &[]));
    let text = place.succeed(&["trace", "--policy", "run", "--steps", "30", "--seed", "1"]);
    assert_eq!(
        place.succeed(&["trace", "PointMass", "--policy", "run", "--steps", "30", "--seed", "1"]),
        text
    );
    let random = place.succeed(&["trace", "PointMass", "--steps", "30", "--seed", "1"]);
    let (played, random) = (lines(&text), lines(&random));
    assert_eq!(played[0], random[0], "the seed alone decides where an episode starts");
    assert_ne!(played[1]["action"], random[1]["action"]);
    let message = place.fail(2, &["trace", "Hopper", "--policy", "run"]);
    assert!(message.contains("was trained on PointMass and cannot act in Hopper"), "{message}");
    let message = place.fail(2, &["trace", "Hoper"]);
    assert!(message.contains("did you mean `Hopper`?"), "{message}");
}

#[test]
fn a_short_trace_may_have_no_reader() {
    let place = Place::new("trace-unread");
    let mut command = place.command(&["trace", "Pendulum", "--steps", "5"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Closed before the program can have written: it loads a physics engine first.
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && text.is_empty(), "{text}");
}

#[test]
fn a_trace_may_be_cut_by_its_reader() {
    let place = Place::new("trace-pipe");
    let mut child = place
        .command(&["trace", "Pendulum", "--steps", "1000000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        first.starts_with("{\"episode\":0,") && output.status.success() && text.is_empty(),
        "{text}"
    );
}

#[test]
fn films_are_made_of_tasks_and_refused_in_one_sentence() {
    let place = Place::new("record");
    let said = place.succeed(&[
        "record",
        "InvertedPendulum",
        "-o",
        "film.gif",
        "--seconds",
        "1",
        "--seed",
        "2",
    ]);
    assert!(said.starts_with("film.gif: ") && said.contains("frames of"), "{said}");
    assert!(fs::read(place.file("film.gif")).unwrap().starts_with(b"GIF89a"));
    place.succeed(&small_run("run", "100", &[]));
    for (arguments, expected) in [
        (
            &["record", "Hoper", "-o", "x.gif"][..],
            "`Hoper` is neither the folder of a run nor a task (did you mean `Hopper`?)",
        ),
        (&["record", "runs/none", "-o", "x.gif"], "runs/none is not the folder of a run"),
        (&["record", "Hopper", "-o", "x.avi"], "`x.avi` must end in .gif or .mp4"),
        (&["record", "Hopper", "--best", "-o", "x.gif"], "--best needs a run"),
        (&["record", "run", "-o", "x.gif"], "cannot be drawn"),
    ] {
        let message = place.fail(2, arguments);
        assert!(message.contains(expected), "{arguments:?}: {message}");
    }
    assert!(!place.file("x.gif").exists());
}

/// Header and data of a safetensors file.
fn safetensors(place: &Place, name: &str) -> (Value, Vec<u8>) {
    let bytes = fs::read(place.file(name)).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    (serde_json::from_slice(&bytes[8..8 + length]).unwrap(), bytes[8 + length..].to_vec())
}

#[test]
fn probes_hold_what_is_documented() {
    let place = Place::new("probe");
    place.succeed(&small_run("run", "200", &[]));
    for (precision, dtype) in [("f32", "F32"), ("f64", "F64")] {
        let said = place.succeed(&[
            "probe",
            "run",
            "--seed",
            "7",
            "-o",
            "probe.safetensors",
            "--precision",
            precision,
        ]);
        assert!(said.contains("of the run at step 200"), "{said}");
        let (header, data) = safetensors(&place, "probe.safetensors");
        assert_eq!(header["policy_update/states"]["dtype"], dtype);
        assert_eq!(header["policy_update/states"]["shape"], serde_json::json!([3, 16, 4]));
        assert_eq!(header["__metadata__"]["horizon"], "2");
        place.succeed(&[
            "probe",
            "run",
            "--seed",
            "7",
            "-o",
            "again.safetensors",
            "--precision",
            precision,
        ]);
        let again = safetensors(&place, "again.safetensors");
        assert!(again == (header, data), "equal seeds, equal probes");
    }
    let message = place.fail(1, &["probe", "run", "-o", "no/probe.safetensors"]);
    assert!(message.contains("cannot write no/"), "{message}");

    place.succeed(&small_run("early", "40", &[]));
    let message = place.fail(2, &["probe", "early", "-o", "early.safetensors"]);
    assert!(message.contains("has not trained its models yet"), "{message}");
    assert!(!place.file("early.safetensors").exists());
}

#[test]
fn every_task_is_described_in_one_line() {
    let place = Place::new("tasks");
    let text = place.succeed(&["tasks"]);
    for (task, words) in [
        ("Hopper", ["11", "3", "±1", "1,000"]),
        ("HumanoidTruncatedObs", ["45", "17", "±0.4", "1,000"]),
        ("Pendulum", ["2", "1", "±2", "200"]),
    ] {
        let line = text.lines().find(|line| line.starts_with(task)).unwrap();
        let found: Vec<&str> = line.split_whitespace().skip(1).take(4).collect();
        assert_eq!(found, words, "{line}");
        assert!(line.split_whitespace().count() > 7, "the reward is missing: {line}");
    }
}

#[test]
fn analyses_are_printed_as_tables_and_as_json() {
    let place = Place::new("analyze");
    place.succeed(&small_run("run", "200", &[]));
    let text = place.succeed(&["analyze", "run", "--states", "20", "-o", "errors.svg"]);
    for expected in [
        "20 states without contact events",
        "gradient M^g",
        "s'[3]",
        "reward",
        "a[1]",
        "‖g−g*‖/‖g*‖",
        "0.75·M^p + 0.25·M^g",
        "ε_r^g",
        "M^g largest",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap();
    let numbers = |start: &str| -> Vec<String> {
        line(start).split_whitespace().skip(1).map(str::to_owned).collect()
    };
    assert_eq!(numbers("steps"), (1..=10).map(|h| h.to_string()).collect::<Vec<_>>(), "{text}");
    assert_eq!(numbers("trajectories"), vec!["20"; 10], "{text}");
    let svg = fs::read_to_string(place.file("errors.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("prediction error over several steps"));
    let json = place.succeed(&["analyze", "run", "--states", "20", "--json"]);
    assert_eq!(place.succeed(&["analyze", "run", "--states", "20", "--json"]), json);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["task"], &json["step"]), (&"PointMass".into(), &200.into()));
    let model = &json["regular"]["gradient_model"];
    assert_eq!(model["gradient"].as_array().unwrap().len(), 5);
    assert!(model["relative_gradient"].as_f64().unwrap() > 0.0);
    let steps = json["multi_step"].as_array().unwrap();
    assert_eq!(steps.len(), 10);
    for (i, step) in steps.iter().enumerate() {
        assert_eq!((&step["steps"], &step["trajectories"]), (&(i + 1).into(), &20.into()));
        for model in ["prediction_model", "gradient_model"] {
            let by_output = step[model]["by_output"].as_array().unwrap();
            let sum: f64 = by_output.iter().map(|x| x.as_f64().unwrap()).sum();
            let mean = step[model]["mean"].as_f64().unwrap();
            assert!(by_output.len() == 5 && mean > 0.0, "{step}");
            assert!((mean - sum / 5.0).abs() < 1e-12 * mean, "{step}");
        }
    }
    let bias = &json["policy_gradient"];
    assert_eq!(bias["trajectories"], 20);
    let mixtures = bias["mixtures"].as_array().unwrap();
    let shares: Vec<f64> = mixtures.iter().map(|m| m["share"].as_f64().unwrap()).collect();
    assert_eq!(shares, [0.25, 0.5, 0.75]);
    assert!(mixtures.iter().all(|m| m["relative"].as_f64().is_some() && m["cosine"].is_f64()));
    assert_eq!(bias["theorem1"]["states"], 40);
    for model in ["prediction_model", "gradient_model"] {
        for size in ["prediction", "transition_gradient", "reward_gradient"] {
            let [mean, largest] =
                ["mean", "largest"].map(|of| bias["theorem1"][model][of][size].as_f64().unwrap());
            assert!(0.0 < mean && mean < largest, "{bias}");
        }
    }
    place.succeed(&small_run("early", "40", &[]));
    let message = place.fail(2, &["analyze", "early"]);
    assert!(message.contains("has not trained its models yet"), "{message}");
}
