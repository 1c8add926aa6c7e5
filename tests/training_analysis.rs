//! Analyses of the models while a run trains: they change nothing, repeat, and are refused where they cannot be.

#[path = "support/small_runs.rs"]
mod small_runs;

use std::sync::Arc;

use ddppo::config::Config;
use ddppo::env::{Environment, EnvironmentError, Step, Task};
use ddppo::lab::analysis::observer;
use ddppo::rng::Rng;
use ddppo::run::metrics::Record;
use ddppo::train::Trainer;
use small_runs::{in_pool, small, trainer, with};

/// Advances to `steps` with the analyses that are wanted; the records without their wall-clock times.
fn advance(trainer: &mut Trainer, steps: u64) -> Vec<Record> {
    let mut records = Vec::new();
    while trainer.step() < steps {
        records.extend(trainer.advance().unwrap());
        records.extend(observer::observe(trainer).unwrap());
    }
    records.iter_mut().for_each(|r| r.time.clear());
    records
}

/// Analyses watch: but for their own records, and these repeat.
#[test]
fn analyses_leave_a_run_as_it_is() {
    for algorithm in ["ddppo", "mbpo"] {
        let config = small(algorithm, "Hopper");
        let watched = with(&config, &["analysis.every_steps=80", "analysis.states=6"]);
        let run = |config: &Config, threads| {
            in_pool(threads, || {
                let mut trainer = trainer(config);
                let records = advance(&mut trainer, 275);
                (records, trainer.snapshot())
            })
        };
        let (plain, state) = run(&config, 2);
        let (records, watched_state) = run(&watched, 2);
        assert!(state == watched_state, "{algorithm}: final states differ");
        let (analyses, rest): (Vec<Record>, Vec<Record>) =
            records.iter().cloned().partition(|record| record.kind == "analysis");
        assert_eq!(rest, plain, "{algorithm}");
        // The models are trained at step 150 for the first time.
        assert_eq!(analyses.iter().map(|a| a.step).collect::<Vec<_>>(), [160, 240]);
        for record in &analyses {
            let states = record.get("states").unwrap() + record.get("event_states").unwrap();
            assert_eq!(states, 6.0, "{record:?}");
            assert!(record.get("prediction_model_gradient_error").unwrap() > 0.0, "{record:?}");
            let cosine = record.get("prediction_model_cosine").unwrap();
            assert!(cosine.abs() <= 1.0, "{record:?}");
            let two = record.get("gradient_model_relative_gradient_error").is_some();
            assert_eq!(two, algorithm == "ddppo", "{record:?}");
        }
        assert_ne!(analyses[0].values, analyses[1].values, "{algorithm}");
        assert_eq!(run(&watched, 1).0, records, "{algorithm} on one thread");
        // Resumed before, between and at analyses; watched only from there on.
        for stop in [90, 160, 200] {
            for (before, expected) in [(&watched, &records[..]), (&config, &[])] {
                let mut first = trainer(before);
                let mut pieced = advance(&mut first, stop);
                let made = ddppo::env::task("Hopper").unwrap();
                let snapshot = first.snapshot();
                let mut second = Trainer::restore(watched.clone(), made, snapshot).unwrap();
                let after = advance(&mut second, 275);
                let remaining: Vec<_> = records.iter().filter(|r| r.step > stop).cloned().collect();
                assert_eq!(after, remaining, "{algorithm} stopped at {stop}");
                pieced.extend(after);
                assert!(expected.is_empty() || pieced == expected, "{algorithm}, {stop}");
                assert!(second.snapshot() == state, "{algorithm} stopped at {stop}");
            }
        }
    }
}

#[test]
fn a_world_without_true_derivatives_is_refused_at_once() {
    struct Rigid(Arc<dyn Task>);
    struct World(Box<dyn Environment>);
    impl Task for Rigid {
        fn name(&self) -> &str {
            "Rigid"
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
            self.0.time_limit()
        }
        fn terminated(&self, observation: &[f64]) -> bool {
            self.0.terminated(observation)
        }
        fn make(&self) -> Result<Box<dyn Environment>, EnvironmentError> {
            Ok(Box::new(World(self.0.make()?)))
        }
    }
    impl Environment for World {
        fn reset(&mut self, rng: &mut Rng, observation: &mut [f64]) {
            self.0.reset(rng, observation);
        }
        fn step(&mut self, a: &[f64], observation: &mut [f64]) -> Result<Step, EnvironmentError> {
            self.0.step(a, observation)
        }
        fn state(&self) -> Vec<f64> {
            self.0.state()
        }
        fn set_state(&mut self, state: &[f64]) -> Result<(), EnvironmentError> {
            self.0.set_state(state)
        }
    }
    let config = small("ddppo", "PointMass");
    let rigid = || Arc::new(Rigid(ddppo::env::task("PointMass").unwrap()));
    assert!(observer::check(&config, &*rigid()).is_ok());
    let watched = with(&config, &["analysis.every_steps=1000"]);
    let error = observer::check(&watched, &*rigid()).unwrap_err().to_string();
    assert!(error.contains("true Jacobians need `Environment::displace`"), "{error}");
}
