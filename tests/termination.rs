//! Learned termination as a setting of every method that imagines: whole small runs, and tasks that do not say when episodes end.

#[path = "support/pole.rs"]
mod pole;
#[path = "support/small_runs.rs"]
mod small_runs;

use std::sync::Arc;

use ddppo::config::Config;
use ddppo::env::{Environment, EnvironmentError, Task};
use ddppo::run::metrics::Record;
use ddppo::train::Trainer;
use pole::{Balance, LENGTH};
use small_runs::{advance, in_pool, small, trainer, with};

const METHODS: [&str; 3] = ["ddppo", "mbpo", "maac"];

fn learned(method: &str, task: &str) -> Config {
    with(&small(method, task), &["model.termination=learned"])
}

fn last<'r>(records: &'r [Record], kind: &str) -> &'r Record {
    records.iter().rfind(|record| record.kind == kind).unwrap()
}

#[test]
fn runs_are_equal_at_any_number_of_threads_and_resumed_to_the_bit() {
    for method in METHODS {
        let config = learned(method, "Hopper");
        let run = |threads| {
            in_pool(threads, || {
                let mut trainer = trainer(&config);
                (advance(&mut trainer, 260), trainer.snapshot())
            })
        };
        let alone = run(1);
        let record = last(&alone.0, "model");
        let told = |name: &str| record.get(name).unwrap_or_else(|| panic!("{method}: no {name}"));
        assert!(told("termination_epochs") >= 2.0);
        let (error, ends) = (told("termination_holdout_error"), told("termination_holdout_ends"));
        assert!(ends > 0.0 && error < 0.5, "{method}: {error} misjudged, {ends} end");
        assert!(told("termination_holdout_loss") > 0.0);
        for threads in [2, 4] {
            let other = run(threads);
            assert_eq!(alone.0, other.0, "{method}, {threads} threads");
            assert!(alone.1 == other.1, "{method}, {threads} threads: final states differ");
        }
        for stop in [140, 200, 231] {
            let mut first = trainer(&config);
            let mut pieced = advance(&mut first, stop);
            let snapshot = first.snapshot();
            let task = ddppo::env::task("Hopper").unwrap();
            let mut second = Trainer::restore(config.clone(), task, snapshot).unwrap();
            pieced.extend(advance(&mut second, 260));
            assert_eq!(alone.0, pieced, "{method} stopped at {stop}");
            assert!(
                alone.1 == second.snapshot(),
                "{method} stopped at {stop}: final states differ"
            );
        }
    }
}

/// The head's draws are its own: until something imagined ends otherwise, everything else is the same.
#[test]
fn the_models_draws_are_those_of_a_run_with_the_given_function() {
    for method in METHODS {
        let first_model = |config: &Config| {
            let records = advance(&mut trainer(config), 150);
            last(&records, "model").clone()
        };
        let (given, learned) =
            (first_model(&small(method, "Hopper")), first_model(&learned(method, "Hopper")));
        for name in ["prediction_epochs", "prediction_nll", "prediction_holdout_error"] {
            assert_eq!(given.get(name), learned.get(name), "{method}: {name}");
        }
        assert_eq!(given.get("termination_epochs"), None);
    }
}

/// The pole, of which nobody has written down when its episodes end.
struct Unwritten(Balance);

impl Task for Unwritten {
    fn name(&self) -> &str {
        "Unwritten"
    }
    fn observation_dim(&self) -> usize {
        self.0.observation_dim()
    }
    fn action_dim(&self) -> usize {
        self.0.action_dim()
    }
    fn action_low(&self) -> &[f64] {
        self.0.action_low()
    }
    fn action_high(&self) -> &[f64] {
        self.0.action_high()
    }
    fn time_limit(&self) -> usize {
        LENGTH
    }
    fn terminated(&self, _: &[f64]) -> bool {
        panic!("a task that does not know was asked")
    }
    fn knows_termination(&self) -> bool {
        false
    }
    fn make(&self) -> Result<Box<dyn Environment>, EnvironmentError> {
        self.0.make()
    }
}

#[test]
fn a_task_that_does_not_know_its_ends_needs_them_learned() {
    for method in METHODS.into_iter().chain(["steve"]) {
        let task = || Arc::new(Unwritten(Balance { fault: None }));
        let config = with(&small(method, "InvertedPendulum"), &["model.termination=given"]);
        let error = Trainer::new(config, task()).err().unwrap().to_string();
        let expected = "`model.termination` is `given`, but must be `learned`: task `Unwritten` \
                        does not say which observations end an episode";
        assert_eq!(error, expected, "{method}");
        let mut trainer = Trainer::new(learned(method, "InvertedPendulum"), task()).unwrap();
        let records = advance(&mut trainer, 260);
        if method != "steve" {
            let ended = last(&records, "rollout").get("imagined_terminated").unwrap();
            assert!((0.0..0.5).contains(&ended), "{method}: {ended}");
        }
    }
    // A method that imagines nothing does not ask.
    let config = small("sac", "InvertedPendulum");
    let mut trainer = Trainer::new(config, Arc::new(Unwritten(Balance { fault: None }))).unwrap();
    advance(&mut trainer, 160);
}
