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
