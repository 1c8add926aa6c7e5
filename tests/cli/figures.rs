//! `ddppo figure` and `ddppo theory`.

use std::fs;

use crate::program::Place;

/// Flags of trials that take a moment.
const SMALL: [&str; 12] = [
    "--seeds",
    "2",
    "--steps",
    "300",
    "--epochs",
    "2",
    "--states",
    "10",
    "--threads",
    "1",
    "--set",
    "model.hidden=8",
];

#[test]
fn figure_2_runs_what_is_missing() {
    let place = Place::new("figure2");
    let command = |more: &[&'static str]| [&["figure", "2", "-o", "f"][..], &SMALL, more].concat();
    let plan = place.succeed(&command(&["--dry-run"]));
    assert_eq!(plan.lines().filter(|line| line.starts_with("about ")).count(), 9, "{plan}");
    assert!(!place.file("f").exists(), "a plan makes nothing");
    let summary = place.succeed(&command(&[]));
    assert!(summary.contains("Pendulum: 2 seeds, 300 steps"), "{summary}");
    for name in ["figure2.svg", "figure2.png", "figure2.csv"] {
        assert!(place.file("f").join(name).exists(), "{name}");
    }
    // Eight trials of two measurements each, and the head.
    assert_eq!(fs::read_to_string(place.file("f/figure2.csv")).unwrap().lines().count(), 17);
    let trial = place.file("f/trials/Pendulum-m2-seed1.json");
    let first = fs::read(&trial).unwrap();
    fs::remove_file(place.file("f/trials/Pendulum-m2-seed0.json")).unwrap();
    let plan = place.succeed(&command(&["--dry-run"]));
    assert_eq!(plan.lines().filter(|line| line.starts_with("finished ")).count(), 7, "{plan}");
    place.succeed(&command(&[]));
    assert_eq!(fs::read(&trial).unwrap(), first, "what is finished is not computed again");
    let message = place.fail(2, &command(&["--weight", "3"]));
    assert!(message.contains("holds a trial with other settings"), "{message}");
    for (more, expected) in [
        (&["--weight", "0"][..], "`gradient_loss.weight` is 0, but must be above 0"),
        (&["--tasks", "Pendulm"], "did you mean `Pendulum`?"),
        (&["--directions", "11"], "from 1 to `gradient_loss.neighbours` (10)"),
    ] {
        let message = place.fail(2, &command(more));
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn theory_holds_and_is_drawn() {
    let place = Place::new("theory");
    let text = place.succeed(&["theory", "--updates", "64", "-o", "t"]);
    assert!(text.contains("Theorem 1") && text.contains("Theorem 2"), "{text}");
    assert!(place.file("t/theorem1.svg").exists() && place.file("t/theorem2.png").exists());
    let message = place.fail(2, &["theory", "--discount", "1"]);
    assert!(message.contains("--discount is 1, but must be from 0.1 to 0.995"), "{message}");
}

#[test]
fn figures_of_runs_are_planned() {
    let place = Place::new("figure-runs");
    let message = place.fail(2, &["figure", "5", "--tasks", "Hoper", "--dry-run"]);
    assert!(message.contains("did you mean `Hopper`?"), "{message}");
    let message = place.fail(2, &["train", "--variant", "doubeled"]);
    assert!(message.contains("did you mean `doubled`?"), "{message}");
}

#[test]
fn figure_1_plans_trains_and_draws_what_there_is() {
    let place = Place::new("figure1");
    let methods = ddppo::methods::all().len();
    let plan = place.succeed(&["figure", "1", "--dry-run", "--seeds", "2"]);
    assert_eq!(plan.matches(" steps done ").count(), methods * 6 * 2, "{plan}");
    assert!(plan.contains("figures/figure1/runs/Hopper-sac-seed1"), "{plan}");
    assert!(!place.file("figures").exists(), "a plan makes nothing");
    let small = ["figure", "1", "--tasks", "PointMass", "--methods", "sac", "--seeds", "2"];
    let train = [&small[..], &["--steps", "1000", "--quiet", "--threads", "1"]].concat();
    let summary = place.succeed(&train);
    assert!(summary.contains("| sac | 2 | 1000 |"), "{summary}");
    let svg = fs::read_to_string(place.file("figures/figure1/figure1.svg")).unwrap();
    assert!(svg.contains(">SAC, 2 seeds<"), "{svg}");
    let plan = place.succeed(&[&train[..], &["--dry-run"]].concat());
    assert_eq!(plan.matches("finished ").count(), 2, "{plan}");
    let longer = [&small[..], &["--steps", "1200", "--dry-run"]].concat();
    let plan = place.succeed(&longer);
    assert_eq!(plan.matches("about ").count(), 3, "what has run shows how long it takes: {plan}");

    let run = "figures/figure1/runs/PointMass-sac-seed1";
    let drawn = ["figure", "1", "--tasks", "PointMass,Hopper", "--methods", "sac,ddppo"];
    let summary = place.succeed(&[&drawn[..], &["-o", "d", "--runs", run]].concat());
    assert!(summary.contains("| ddppo | no run |"), "{summary}");
    let svg = fs::read_to_string(place.file("d/figure1.svg")).unwrap();
    for text in ["SAC, 1 seed", "DDPPO, no run", "no run yet", "MBPO, published"] {
        assert!(svg.contains(text), "{text}: {svg}");
    }
    // A table of other runs stands for them.
    place.succeed(&["plot", "figures/figure1/runs/PointMass-sac-seed0", "-o", "t.csv"]);
    let both = [&drawn[..], &["-o", "d", "--runs", run, "t.csv"]].concat();
    assert!(place.succeed(&both).contains("| sac | 2 | 1000 |"));
    for (arguments, expected) in [
        (&["--methods", "sacc"][..], "did you mean `sac`?"),
        (&["--tasks", "Hoper"], "did you mean `Hopper`?"),
        (&["--published", "MPBO"], "there are no published returns of `MPBO`"),
        (&["--runs", run, run], "with the same seed (1)"),
        (&["--runs", "nowhere"], "nowhere"),
        (&["--runs", run, "--dry-run"], "cannot be used with"),
    ] {
        let tasks = ["figure", "1", "--tasks", "PointMass"];
        let tasks = if arguments.contains(&"--tasks") { &tasks[..2] } else { &tasks[..] };
        let message = place.fail(2, &[tasks, arguments].concat());
        assert!(message.contains(expected), "{message}");
    }
}
