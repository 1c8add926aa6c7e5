//! `ddppo plot` of other metrics than the return.

use std::fs;

use crate::program::{Place, small_run, small_run_by, small_run_on};

#[test]
fn any_metric_is_drawn_over_seeds_methods_and_tasks() {
    let place = Place::new("metrics");
    place.succeed(&small_run("a", "300", &[]));
    place.succeed(&small_run("b", "300", &["--seed", "1"]));
    place.succeed(&small_run_by("sac", "s", "300"));
    place.succeed(&small_run_on("Pendulum", "p", "300", &[]));
    let plot = |more: &[&str]| place.succeed(&[&["plot", "a", "b", "s", "p"][..], more].concat());
    plot(&["--metric", "critic_loss", "-o", "critic.csv"]);
    let table = fs::read_to_string(place.file("critic.csv")).unwrap();
    assert!(table.starts_with("task,algorithm,settings,seed,step,critic_loss\n"), "{table}");
    // What the table says is what was measured: three lines a run, at 100, 200 and 300.
    let of_a: Vec<&str> =
        table.lines().filter(|line| line.starts_with("PointMass,ddppo,,0,")).collect();
    let measured: Vec<f64> = place
        .metrics("a")
        .iter()
        .filter(|line| line.contains("\"kind\":\"train\""))
        .filter_map(|line| {
            line.split("\"critic_loss\":").nth(1)?.split([',', '}']).next()?.parse().ok()
        })
        .collect();
    let drawn: Vec<f64> =
        of_a.iter().map(|line| line.rsplit(',').next().unwrap().parse().unwrap()).collect();
    assert!(!drawn.is_empty() && drawn == measured, "{of_a:?} {measured:?}");

    // A panel a task, a curve for both seeds, and one for the other method.
    plot(&["--metric", "train/critic_loss", "-o", "critic.svg"]);
    let picture = fs::read_to_string(place.file("critic.svg")).unwrap();
    for text in ["PointMass", "Pendulum", "DDPPO, 2 seeds", "SAC, seed 0", "train/critic loss"] {
        assert!(picture.contains(&format!(">{text}<")), "{text}: {picture}");
    }
    assert_eq!(
        place.succeed(&["plot", "a", "--metric", "time.policy"]),
        "a/time.policy.svg\na/time.policy.png\n"
    );
    assert!(fs::read(place.file("a/time.policy.png")).unwrap().starts_with(b"\x89PNG"));
    assert!(!place.file("a/../curve.svg").exists());

    // What a run has not measured is left out with a word; what none has is named.
    let output = place.run(&["plot", "a", "s", "--metric", "model/transitions", "-o", "t.svg"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(said, "warning: s has measured no model/transitions and is left out\n");
    for (arguments, expected) in [
        (
            &["plot", "a", "--metric", "critic/loss"][..],
            "no metric `critic/loss` in a (did you mean `critic_loss`?)",
        ),
        (
            &["plot", "a", "s", "--metric", "train/alpa"],
            "in any of the 2 runs (did you mean `train/alpha`?)",
        ),
        (&["plot", "s", "--metric", "zebra"], "there are evaluation/length_mean, "),
        (&["plot", "s", "--metric", "gradient_loss"], "there is no metric `gradient_loss` in s"),
        (
            &["plot", "a", "--metric", "alpha", "--published"],
            "published curves are of returns, not of `alpha`",
        ),
    ] {
        let message = place.fail(2, arguments);
        assert!(message.contains(expected), "{message}");
    }
}
