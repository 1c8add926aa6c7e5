//! Groups of runs on a device: stopped, killed and gone on with.

use std::thread::sleep;
use std::time::Duration;

use crate::plugin;
use crate::program::Place;

/// `train` of a group of small runs of SAC.
fn group(out: &str, seeds: &str, steps: u32) -> Vec<String> {
    let device = format!("pjrt:{}", plugin::path().display());
    let steps = steps.to_string();
    let mut arguments = vec!["train", "PointMass", "--algo", "sac", "--quiet", "--resume"];
    arguments.extend(["--out", out, "--seeds", seeds, "--steps", &steps, "--device", &device]);
    for setting in [
        "training.warmup_steps=50",
        "training.batch_size=40",
        "training.critic_updates_per_step=2",
        "policy.hidden=32",
        "critic.hidden=32",
        "evaluation.every_steps=70",
        "evaluation.episodes=2",
        "checkpoint.every_steps=40",
    ] {
        arguments.extend(["--set", setting]);
    }
    arguments.into_iter().map(str::to_owned).collect()
}

fn words(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

#[test]
fn killed_groups_and_runs_that_come_later_end_in_the_same_bits() {
    let place = Place::new("device-groups");
    place.succeed(&words(&group("whole", "3,5,7", 400)));
    // Two runs are killed in the middle, again and again; the third begins when they are saved somewhere, and they wait for it.
    for (kill, seeds) in ["3,5", "3,5", "3,5,7", "3,5,7"].into_iter().enumerate() {
        let mut child = place.spawn(&words(&group("run", seeds, 400)));
        if kill == 0 {
            place.wait_for(&mut child, "run/seed5/checkpoints/40");
        } else {
            sleep(Duration::from_millis(700));
        }
        child.kill();
    }
    place.succeed(&words(&group("run", "3,5,7", 400)));
    for seed in ["seed3", "seed5", "seed7"] {
        let [run, whole] = ["run", "whole"].map(|out| format!("{out}/{seed}"));
        assert_eq!(place.metrics(&run), place.metrics(&whole), "{seed}");
        assert!(place.state(&run) == place.state(&whole), "{seed}");
    }
}

/// `train` of a group with `--runs`.
fn mixed(out: &str, runs: &str, more: &[&str]) -> Vec<String> {
    let device = format!("pjrt:{}", plugin::path().display());
    let mut arguments = vec!["train", "PointMass", "--quiet", "--out", out, "--runs", runs];
    arguments.extend(["--steps", "130", "--device", &device]);
    for setting in [
        "training.warmup_steps=50",
        "training.batch_size=40",
        "training.min_transitions=50",
        "training.model_every_steps=40",
        "training.policy_updates_per_step=1",
        "training.critic_updates_per_step=1",
        "model.hidden=16",
        "model.patience_epochs=1",
        "policy.hidden=16",
        "critic.hidden=16",
        "rollout.starts=300",
        "rollout.capacity_per_step=1000",
        "evaluation.every_steps=70",
        "evaluation.episodes=2",
        "checkpoint.every_steps=60",
    ] {
        arguments.extend(["--set", setting]);
    }
    arguments.extend(more);
    arguments.into_iter().map(str::to_owned).collect()
}

#[test]
fn mixed_runs_are_the_same_as_each_alone_and_go_on() {
    let place = Place::new("device-mixed");
    place.succeed(&words(&mixed("all", "ddppo:2,no-gradient-loss,maac:1", &[])));
    place.succeed(&words(&mixed("all", "ddppo:2,no-gradient-loss,maac:2", &["--resume"])));
    for (name, seed) in [("ddppo", 1), ("no-gradient-loss", 0), ("maac", 1)] {
        let seed_word = seed.to_string();
        place.succeed(&words(&mixed("alone", name, &["--seed", &seed_word, "--resume"])));
        let [all, alone] = ["all", "alone"].map(|out| format!("{out}/{name}/seed{seed}"));
        assert_eq!(place.metrics(&all), place.metrics(&alone), "{all}");
        assert!(place.state(&all) == place.state(&alone), "{all}");
    }
}

#[test]
fn wrong_parts_of_a_group_are_named_in_a_sentence() {
    let place = Place::new("device-parts");
    for (runs, more, said) in [
        (
            "ddppo:2,no-gradent-loss",
            &[][..],
            "`no-gradent-loss` (did you mean `no-gradient-loss`?)",
        ),
        ("mag", &[], "`mag` (did you mean `mage`?)"),
        ("mean-gradients", &[], "it is a variant of maac, by `--algo maac`"),
        ("sac,steve:2", &[], "the method `steve` has no device program yet"),
        ("sac,secant", &[], "--runs secant: `gradient_loss.estimator = \"secant\"`"),
        ("ddppo:3", &["--seeds", "4,5"], "--runs ddppo:3 needs 3 seeds, and --seeds has 2"),
        ("ddppo", &["--algo", "sack"], "`sack`"),
        ("ddppo", &["--device", "cpu"], "--runs needs --device gpu"),
    ] {
        let mut arguments = vec!["train", "PointMass", "--runs", runs, "--out", "o"];
        if !more.contains(&"--device") {
            arguments.extend(["--device", "pjrt:/nowhere"]);
        }
        arguments.extend(more);
        let message = place.fail(2, &arguments);
        assert!(message.contains(said), "{runs}: {message}");
    }
    for (arguments, said) in [
        (&["--runs", "sac"][..], "--out"),
        (&["--runs", "ddppo", "--variant", "secant", "--out", "o"], "cannot be used with"),
        (&["--runs", "ddppo:0", "--out", "o"], "a number of runs from 1 to 1024"),
    ] {
        let output = place.run(&[&["train", "--device", "gpu"], arguments].concat());
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && text.contains(said), "{arguments:?}: {text}");
    }
}
