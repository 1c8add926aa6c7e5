//! Every method through the command line: the commands know no methods.

use std::fs;

use ddppo::methods;

use crate::program::{Place, small_run_by};

#[test]
fn every_method_trains_resumes_plays_and_is_drawn() {
    let place = Place::new("methods");
    for name in methods::all().iter().map(|info| info.name) {
        let whole = place.succeed(&small_run_by(name, name, "400"));
        assert!(whole.contains(&format!("{name}/curve.svg")), "{whole}");
        let pieced = format!("{name}-pieced");
        place.succeed(&small_run_by(name, &pieced, "250"));
        place.succeed(&["resume", &pieced, "--steps", "400", "--quiet", "--threads", "2"]);
        assert_eq!(place.metrics(&pieced), place.metrics(name), "{name}");
        assert!(place.state(&pieced) == place.state(name), "{name}");
        let played = place.succeed(&["evaluate", name, "--episodes", "1"]);
        assert!(played.contains("policy after 400 steps"), "{played}");

        let written = fs::read_to_string(place.file(name).join("config.toml")).unwrap();
        assert!(written.starts_with("task = \"PointMass\"\nalgorithm = "), "{written}");
        assert_eq!(written.contains("[model]"), name != "sac", "{written}");
        assert!(!written.contains("\n\n\n"), "{written}");
    }
    let names: Vec<&str> = methods::all().iter().map(|info| info.name).collect();
    let mut arguments = vec!["plot"];
    arguments.extend(&names);
    place.succeed(&[&arguments[..], &["-o", "curves.svg", "--published"]].concat());
    let svg = fs::read_to_string(place.file("curves.svg")).unwrap();
    for name in &names {
        assert!(svg.contains(&format!(">{}, seed 0<", name.to_uppercase())), "{name}: {svg}");
    }
}

#[test]
fn what_needs_a_model_says_so_where_there_is_none() {
    let place = Place::new("no-model");
    let analyze = |name| ["analyze", name, "--states", "20"];
    for name in methods::all().iter().map(|info| info.name) {
        place.succeed(&small_run_by(name, name, "200"));
        let probe = ["probe", name, "-o", "probe.safetensors"];
        match name {
            "ddppo-plus" => {
                place.succeed(&small_run_by(name, "early", "20"));
                let message = place.fail(2, &analyze("early"));
                assert!(message.contains("has not trained its models yet"), "{message}");
                place.succeed(&probe);
                let text = place.succeed(&analyze(name));
                for part in ["H = 5  M^g", "first states", "\nmean squared errors in raw units"] {
                    assert!(text.contains(part), "{part}: {text}");
                }
                assert!(!text.contains("minibatches"), "{text}");
            }
            "ddppo" => {
                place.succeed(&probe);
                place.succeed(&analyze(name));
            }
            "sac" | "steve" | "mage" => {
                let message = place.fail(2, &analyze(name));
                assert!(
                    message.contains(&format!("{name}, which learns no model of the environment")),
                    "{message}"
                );
                let watched = ["train", "--algo", name, "--set", "analysis.every_steps=100"];
                let message = place.fail(2, &watched);
                assert!(
                    message.contains("there is no setting `analysis.every_steps`"),
                    "{message}"
                );
            }
            "mbpo" | "maac" | "svg" => {
                let text = place.succeed(&analyze(name));
                assert!(text.contains("gradient M^p") && !text.contains("M^g"), "{text}");
                assert_eq!(text.contains("policy gradient"), name == "maac", "{text}");
            }
            other => panic!("say here what a run of {other} can be asked"),
        }
        if !name.starts_with("ddppo") {
            let message = place.fail(2, &probe);
            assert!(message.contains(&format!("a run of {name}, which has no gradient loss")));
        }
    }
}

#[test]
fn runs_of_other_methods_are_numbered_by_their_name() {
    let place = Place::new("method-names");
    let arguments = small_run_by("sac", "x", "60");
    let arguments: Vec<&str> =
        arguments.into_iter().filter(|argument| !["--out", "x"].contains(argument)).collect();
    place.succeed(&arguments);
    assert!(place.file("runs/PointMass-sac-seed0-1/config.toml").exists());
}
