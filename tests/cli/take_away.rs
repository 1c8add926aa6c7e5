//! What is written for other programs: policies, scores, schemas, completions, manuals.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::program::{Place, small_run};
use crate::python::python;
use crate::robots;

#[test]
fn policies_are_exported_by_step_and_score() {
    let place = Place::new("export");
    place.succeed(&small_run("run", "300", &[]));
    let export = |more: &[&str]| place.succeed(&[&["export", "run"][..], more].concat());
    let said = export(&["-o", "policy.h"]);
    assert_eq!(
        said,
        "policy.h: policy of PointMass by ddppo after 300 steps, 4 observations to 2 actions, 130 parameters\n"
    );
    let newest = fs::read_to_string(place.file("policy.h")).unwrap();
    assert!(
        newest.contains("after 300 environment steps") && newest.contains("policy_act("),
        "{newest}"
    );
    assert!(export(&["-o", "policy.h", "--step", "100"]).contains("after 100 steps"));
    assert_ne!(fs::read_to_string(place.file("policy.h")).unwrap(), newest);
    export(&["-o", "best.onnx", "--best"]);
    export(&["-o", "best.safetensors", "--best"]);
    for (arguments, expected) in [
        (
            &["export", "run", "-o", "policy.pt"][..],
            "`policy.pt` must end in .onnx, .safetensors or .h",
        ),
        (&["export", "none", "-o", "p.h"], "none is not the folder of a run"),
        (
            &["export", "run", "-o", "p.h", "--step", "150"],
            "no checkpoint of step 150 in run/checkpoints: there are 100, 200, 300",
        ),
    ] {
        let message = place.fail(2, arguments);
        assert!(message.contains(expected), "{message}");
    }
    let message = place.fail(1, &["export", "run", "-o", "nowhere/p.h"]);
    assert!(message.contains("nowhere"), "{message}");
    let output = place.run(&["export", "run", "-o", "p.h", "--best", "--step", "100"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!place.file("p.h").exists(), "what is refused writes nothing");
}

#[test]
fn robots_of_ones_own_are_exported() {
    let place = robots::place("export-robot");
    place.succeed(&robots::train("run", "100", "arm.xml", "arm.toml"));
    let said = place.succeed(&["export", "run", "-o", "My arm (2).h"]);
    assert!(said.contains("policy of Arm by ddppo"), "{said}");
    let text = fs::read_to_string(place.file("My arm (2).h")).unwrap();
    assert!(
        text.contains("static inline void my_arm_2_act(")
            && text.contains("#ifndef DDPPO_MY_ARM_2_H"),
        "{text}"
    );
}

#[test]
fn scores_are_told_as_json_at_any_step_and_with_noise() {
    let place = Place::new("scores");
    place.succeed(&small_run("run", "300", &[]));
    let json = |more: &[&str]| -> Value {
        let said =
            place.succeed(&[&["evaluate", "run", "--episodes", "3", "--json"][..], more].concat());
        serde_json::from_str(&said).unwrap()
    };
    let plain = json(&[]);
    let episodes = plain["episodes"].as_array().unwrap();
    let mean =
        episodes.iter().map(|episode| episode["return"].as_f64().unwrap()).sum::<f64>() / 3.0;
    assert!((plain["return_mean"].as_f64().unwrap() - mean).abs() < 1e-9 * mean.abs(), "{plain}");
    assert_eq!(
        (&plain["task"], &plain["step"], &plain["stochastic"]),
        (&"PointMass".into(), &300.into(), &false.into())
    );
    assert_eq!(
        (episodes.len(), &plain["unstable"], &plain["algorithm"]),
        (3, &0.into(), &"ddppo".into())
    );
    // The table says the same.
    let table = place.succeed(&["evaluate", "run", "--episodes", "3"]);
    let shown = format!(
        "mean return {mean:.2} ± {:.2} over 3 episodes",
        plain["return_std"].as_f64().unwrap()
    );
    assert!(table.contains(&shown), "{table}");

    let noisy = json(&["--stochastic"]);
    assert_eq!(noisy, json(&["--stochastic"]), "equal seeds, equal noise");
    assert_ne!(noisy["episodes"], plain["episodes"]);
    assert_ne!(noisy["episodes"], json(&["--stochastic", "--seed", "1"])["episodes"]);
    assert!(
        place
            .succeed(&["evaluate", "run", "--stochastic"])
            .starts_with("PointMass, policy after 300 steps, with its noise\n")
    );
    let earlier = json(&["--step", "1e2"]);
    assert_eq!(earlier["step"], 100);
    assert_ne!(earlier["episodes"], plain["episodes"]);
    let message = place.fail(2, &["evaluate", "run", "--step", "7"]);
    assert!(message.contains("there are 100, 200, 300"), "{message}");
}

/// Has a schema judge settings, by Python's jsonschema; what it finds wrong, a line each.
fn judged(place: &Place, schema: &str, settings: &toml::Table) -> Vec<String> {
    const JUDGE: &str = "import json, jsonschema, sys\n\
        schema, settings = (json.load(open(name)) for name in sys.argv[1:])\n\
        validator = jsonschema.Draft202012Validator\n\
        validator.check_schema(schema)\n\
        for error in validator(schema).iter_errors(settings): print(error.json_path, error.message)";
    fs::write(place.file("settings.json"), serde_json::to_string(settings).unwrap()).unwrap();
    let output = Command::new(python("tests/python/requirements-export.txt"))
        .args(["-c", JUDGE, schema, "settings.json"])
        .current_dir(&place.path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn schemas_accept_the_presets_and_nothing_that_the_program_refuses() {
    let place = Place::new("schema");
    fs::write(place.file("all.json"), place.succeed(&["schema"])).unwrap();
    for info in ddppo::methods::all() {
        fs::write(place.file("own.json"), place.succeed(&["schema", "--algo", info.name])).unwrap();
        // JSON has no infinity.
        let finite =
            |text: String| text.replace("= inf", "= 1e300").parse::<toml::Table>().unwrap();
        let good = finite(info.preset("Hopper").unwrap().to_toml());
        let bad = {
            let mut table = good.clone();
            table.insert("seed".to_owned(), toml::Value::Integer(-1));
            table.insert("sede".to_owned(), toml::Value::Integer(1));
            let policy = table["policy"].as_table_mut().unwrap();
            policy.insert("hidden".to_owned(), toml::Value::String("wide".to_owned()));
            table["evaluation"].as_table_mut().unwrap().remove("episodes");
            table
        };
        for schema in ["own.json", "all.json"] {
            let found = judged(&place, schema, &good);
            assert!(found.is_empty(), "{} by {schema}: {found:?}", info.name);
            let found = judged(&place, schema, &bad);
            for word in [
                "-1 is less than",
                "'sede' was unexpected",
                "'wide' is not of type",
                "'episodes' is a required",
            ] {
                assert!(found.iter().any(|line| line.contains(word)), "{}: {found:?}", info.name);
            }
        }
    }
    let other =
        ddppo::methods::preset("sac", "Hopper").unwrap().to_toml().replace("= inf", "= 1e300");
    let mut other: toml::Table = other.parse().unwrap();
    other.insert("algorithm".to_owned(), "ppo".into());
    assert!(
        judged(&place, "all.json", &other).iter().any(|line| line.contains("'ppo' is not one of"))
    );
    let message = place.fail(2, &["schema", "--algo", "sacc"]);
    assert!(message.contains("did you mean `sac`?"), "{message}");
}

/// Names of all commands, as the program lists them.
fn commands(place: &Place) -> Vec<String> {
    let help = place.succeed(&["--help"]);
    let listed = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap().to_owned();
    listed
        .lines()
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .filter(|name| name != "help")
        .collect()
}

#[test]
fn shells_and_man_know_every_command() {
    let place = Place::new("interface");
    let commands = commands(&place);
    assert!(commands.len() > 12 && commands.contains(&"export".to_owned()), "{commands:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.succeed(&["completions", shell]);
        for word in
            commands.iter().map(String::as_str).chain(["tensorboard", "stochastic", "metric"])
        {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    // Bash completes with it.
    fs::write(place.file("ddppo.bash"), place.succeed(&["completions", "bash"])).unwrap();
    let complete = |words: &str| {
        let line = format!(
            "source ddppo.bash; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _ddppo ddppo \"${{COMP_WORDS[$COMP_CWORD]}}\" \
             \"${{COMP_WORDS[$COMP_CWORD-1]}}\"; echo \"${{COMPREPLY[@]}}\""
        );
        let output =
            Command::new("bash").args(["-c", &line]).current_dir(&place.path).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(complete("ddppo exp"), "export");
    assert_eq!(complete("ddppo evaluate --stoch"), "--stochastic");
    assert_eq!(place.run(&["completions", "tcsh"]).status.code(), Some(2));

    assert_eq!(place.succeed(&["man", "pages/man1"]), "pages/man1/ddppo.1\n");
    let page =
        |name: &str| fs::read_to_string(place.file(&format!("pages/man1/{name}.1"))).unwrap();
    assert!(page("ddppo").contains(".TH ddppo 1"), "{}", page("ddppo"));
    for command in &commands {
        let page = page(&format!("ddppo-{command}"));
        assert!(page.contains(".SH SYNOPSIS") && page.contains(".SH DESCRIPTION"), "{page}");
    }
    assert!(
        page("ddppo-train").contains("TensorBoard")
            && page("ddppo-train").contains("ddppo train Hopper")
    );
}
