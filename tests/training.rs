//! Whole runs of every method, small: determinism at any thread count, exact continuation, broken numbers, and learning to a
//! real result.

#[path = "support/pole.rs"]
mod pole;
#[path = "support/small_runs.rs"]
mod small_runs;

use std::sync::Arc;

use ddppo::data::Transition;
use ddppo::env::Task;
use ddppo::methods::{self, ddppo::Ddppo};
use ddppo::rng::Rng;
use ddppo::run::Tally;
use ddppo::run::metrics::Record;
use ddppo::run::snapshot::{Data, Snapshot};
use ddppo::train::Trainer;
use pole::{Balance, Fault, LENGTH};
use small_runs::{advance, in_pool, small, trainer, with};

/// Names of all methods.
fn algorithms() -> impl Iterator<Item = &'static str> {
    methods::all().iter().map(|info| info.name)
}

#[test]
fn one_seed_gives_one_result_at_any_thread_count() {
    for algorithm in algorithms() {
        let config = small(algorithm, "Hopper");
        let run = |threads| -> (Vec<Record>, Snapshot) {
            in_pool(threads, || {
                let mut trainer = trainer(&config);
                let records = advance(&mut trainer, 320);
                (records, trainer.snapshot())
            })
        };
        let (records, snapshot) = run(1);
        let has = |kind: &str| records.iter().any(|record| record.kind == kind);
        assert!(has("evaluation") && has("train"), "{algorithm}");
        // STEVE trains its model with every update, and tells of it there.
        let trains_apart = config.get("model.members").is_some() && algorithm != "steve";
        assert_eq!(has("model"), trains_apart, "{algorithm}");
        assert_eq!(has("rollout"), config.get("rollout.starts").is_some(), "{algorithm}");
        let last = records.iter().rfind(|record| record.kind == "train").unwrap();
        // A line of SAC's is that of 250 steps, of which 150 only collect.
        let expected = match algorithm {
            "ddppo" | "mbpo" | "maac" => Some(50.0),
            "sac" => Some(100.0),
            _ => None,
        };
        for updates in ["policy_updates", "critic_updates"] {
            let made = last.get(updates);
            assert!(made > Some(0.0), "{algorithm}: {updates}");
            assert!(expected.is_none() || made == expected, "{algorithm}: {updates} {made:?}");
        }
        for threads in [1, 2, 8] {
            let (again, state) = run(threads);
            assert_eq!(records, again, "{algorithm}, {threads} threads");
            assert!(snapshot == state, "{algorithm}, {threads} threads: final states differ");
        }
        let other = with(&config, &["seed=12"]);
        assert_ne!(records, advance(&mut trainer(&other), 320), "{algorithm}");
    }
}

#[test]
fn updates_of_full_size_give_the_same_bits_at_any_thread_count() {
    let config = methods::preset("ddppo", "Hopper").unwrap();
    let run = |threads| {
        in_pool(threads, || {
            let mut learner = Ddppo::new(&config, ddppo::env::task("Hopper").unwrap());
            let mut rng = Rng::new(0, "full size");
            for _ in 0..300 {
                let mut x = [0.0; 26];
                rng.fill_normal(&mut x);
                learner.real.push(Transition {
                    observation: &x[..11],
                    action: &x[11..14],
                    reward: x[14],
                    next_observation: &x[15..],
                    terminated: x[14] > 1.0,
                });
            }
            learner.prediction_model.model.elites = vec![0, 1, 2, 3, 4];
            learner.gradient_model.as_mut().unwrap().model.elites = vec![6, 1, 2, 3, 4];
            let mut tally = Tally::default();
            for _ in 0..2 {
                learner.improve_critic(&mut tally).unwrap();
                learner.improve_policy(&mut tally).unwrap();
            }
            let reports = tally.take_train_record(0, &[]).values;
            let networks = learner.critic.networks.iter().flat_map(|q| [&q.network, &q.target]);
            let networks = networks.chain([&learner.policy.network]);
            let parameters: Vec<_> = networks.map(|n| n.parameters().to_vec()).collect();
            (reports, parameters)
        })
    };
    let alone = run(1);
    for threads in [2, 3, 4, 7, 16] {
        assert!(run(threads) == alone, "{threads} threads");
    }
}

#[test]
fn a_restored_run_continues_to_the_bit() {
    for algorithm in algorithms() {
        for task in ["Hopper", "InvertedPendulum"] {
            let config = small(algorithm, task);
            let mut whole = trainer(&config);
            let records = advance(&mut whole, 275);
            // In the middle of an episode, between two model trainings, and right after one.
            for stop in [90, 173, 200, 251] {
                let mut first = trainer(&config);
                let mut pieced = advance(&mut first, stop);
                let snapshot = first.snapshot();
                drop(first);
                let made = ddppo::env::task(task).unwrap();
                let mut second = Trainer::restore(config.clone(), made, snapshot).unwrap();
                pieced.extend(advance(&mut second, 275));
                assert_eq!(records, pieced, "{algorithm} on {task} stopped at {stop}");
                assert!(
                    whole.snapshot() == second.snapshot(),
                    "{algorithm} on {task} stopped at {stop}: final states differ"
                );
            }
        }
    }
}

#[test]
fn a_state_of_another_configuration_is_refused() {
    let config = small("ddppo", "InvertedPendulum");
    let snapshot = trainer(&config).snapshot();
    let other = with(&config, &["policy.hidden=48"]);
    let task = || ddppo::env::task("InvertedPendulum").unwrap();
    let error = Trainer::restore(other, task(), snapshot.clone()).err().unwrap();
    assert!(error.to_string().contains("policy/0/weight"), "{error}");
    let mut lacking = snapshot.clone();
    lacking.tensors.remove("streams/critic");
    let error = Trainer::restore(config.clone(), task(), lacking).err().unwrap();
    assert!(error.to_string().contains("streams/critic"), "{error}");
    let mut odd = snapshot;
    odd.put_value("surplus", 1_u64);
    let error = Trainer::restore(config, task(), odd).err().unwrap();
    assert!(error.to_string().contains("surplus"), "{error}");
}

/// Part of the state, what it breaks first, and the step at which that is seen.
type Broken = (&'static str, &'static [&'static str], u64);

/// What sees a NaN that a method's run is given at step 160.
fn breakable(algorithm: &str) -> Vec<Broken> {
    if algorithm == "ddppo-plus" {
        // The next block begins with step 200.
        return vec![
            ("policy/0/weight", &["the policy's action"], 160),
            ("critic1/1/weight", &["the critic's loss"], 200),
            ("target_critic2/0/bias", &["the critic's loss"], 200),
            ("real-rewards", &["the prediction model's loss"], 200),
            ("prediction_model/", &["the prediction model's loss"], 200),
            ("gradient_model/", &["the gradient model's loss"], 200),
        ];
    }
    if algorithm == "steve" {
        // Its model is trained first of all; `tests/steve.rs` has the rest.
        return vec![
            ("policy/0/weight", &["the policy's action"], 160),
            ("real-rewards", &["the reward model's loss"], 161),
        ];
    }
    let mut parts: Vec<Broken> = vec![("policy/0/weight", &["the policy's action"], 160)];
    parts.push(match algorithm {
        // Real rewards are the model's labels alone.
        "mage" => ("real-rewards", &["the model's loss"], 200),
        _ => ("real-rewards", &["the critic's loss"], 161),
    });
    if algorithm != "svg" {
        parts.push(("target_critic2/0/bias", &["the critic's loss"], 161));
    }
    parts.extend(match algorithm {
        // Which elite a row draws decides who sees it first.
        "ddppo" => vec![
            ("critic1/1/weight", &["the policy's loss"][..], 161),
            ("imagined-rewards", &["the critic's loss"], 161),
            ("gradient_model/", &["the policy's loss", "the policy's adjoint"], 161),
            ("prediction_model/", &["the prediction model's output"], 161),
        ],
        "maac" => vec![
            ("critic1/1/weight", &["the policy's loss"][..], 161),
            ("prediction_model/", &["the prediction model's output"], 161),
        ],
        "mbpo" => vec![
            ("critic1/1/weight", &["the critic's loss"][..], 161),
            ("imagined-rewards", &["the critic's loss"], 161),
            // Not used before the next training.
            ("prediction_model/", &["the prediction model's loss"], 200),
            ("prediction_model/bounds", &["the prediction model's loss"], 200),
        ],
        "mage" => vec![
            ("critic1/1/weight", &["the critic's loss"][..], 161),
            ("target_policy/1/weight", &["the critic's loss"], 161),
            ("model/", &["the model's output"], 161),
            ("moments/mean", &["the model's output"], 161),
        ],
        "sac" => vec![("critic1/1/weight", &["the critic's loss"][..], 161)],
        // More of them in tests/svg.rs.
        "svg" => vec![
            ("target_value/0/bias", &["the critic's loss"][..], 161),
            ("prediction_model/", &["the prediction model's output"], 161),
        ],
        other => panic!("say here what sees NaN in a run of {other}"),
    });
    parts
}

/// NaN put into one part of the state stops the run at the first update that sees it, by name and step.
#[test]
fn numbers_that_break_are_named() {
    for algorithm in algorithms() {
        let config = small(algorithm, "InvertedPendulum");
        let mut good = trainer(&config);
        advance(&mut good, 160);
        for (part, expected, step) in breakable(algorithm) {
            let mut snapshot = good.snapshot();
            let mut spoiled = 0;
            for (key, tensor) in snapshot.tensors.iter_mut().chain(&mut snapshot.rows) {
                let weights = key == part
                    || (part.ends_with('/') && key.starts_with(part) && key.ends_with("weight"));
                match &mut tensor.data {
                    Data::F32(values) if weights => values.fill(f32::NAN),
                    Data::F64(values) if weights => values.fill(f64::NAN),
                    _ => continue,
                }
                spoiled += 1;
            }
            assert!(spoiled > 0, "{part} is no part of the state of {algorithm}");
            let task = ddppo::env::task(config.task()).unwrap();
            let mut bad = Trainer::restore(config.clone(), task, snapshot).unwrap();
            let mut error = String::new();
            while bad.step() < 210 && error.is_empty() {
                error = bad.advance().err().map(|e| e.to_string()).unwrap_or_default();
            }
            assert!(
                expected.iter().any(|e| error.contains(e)),
                "{algorithm}, NaN in {part}: `{error}`"
            );
            assert!(error.contains(&format!("step {step}:")), "{algorithm}, {part}: {error}");
        }
    }
}

#[test]
fn an_environment_that_breaks_is_named() {
    for fault in [Fault::Observation, Fault::Reward] {
        let config = small("ddppo", "InvertedPendulum");
        let mut trainer = Trainer::new(config, Arc::new(Balance { fault: Some(fault) })).unwrap();
        advance(&mut trainer, 99);
        let error = loop {
            match trainer.advance() {
                Ok(_) => assert!(trainer.step() < 120, "nobody noticed"),
                Err(error) => break error.to_string(),
            }
        };
        assert!(
            error.starts_with("step 119: the environment gave an observation or a reward"),
            "{error}"
        );
    }
}

#[test]
fn a_fixed_temperature_stays() {
    let config = small("sac", "PointMass");
    let config = methods::find("sac").unwrap().with_variant(&config, "fixed-temperature").unwrap();
    let records = advance(&mut trainer(&config), 250);
    let alphas: Vec<f64> =
        records.iter().filter(|r| r.kind == "train").filter_map(|r| r.get("alpha")).collect();
    assert!(!alphas.is_empty() && alphas.iter().all(|a| (a - 0.2).abs() < 1e-12), "{alphas:?}");
}

/// MAAC with the mean head's derivatives is DDPPO with the prediction model as its gradient source: two ways to one run.
#[test]
fn maac_with_mean_derivatives_is_ddppo_with_one_model() {
    let mean = ["policy.gradient_source=prediction_model"];
    let maac = with(&small("maac", "InvertedPendulum"), &mean);
    let ddppo = with(&small("ddppo", "InvertedPendulum"), &mean);
    let (mut a, mut b) = (trainer(&maac), trainer(&ddppo));
    assert_eq!(advance(&mut a, 220), advance(&mut b, 220));
    assert!(a.snapshot() == b.snapshot());
}

/// If the trained policy were no better than uniform actions, its 10 episodes and the 2000 random ones would be
/// exchangeable, and the probability that all 10 beat all 2000 would be 1/C(2010, 10), below 1e-26.
#[test]
fn learning_beats_chance() {
    let mut rng = Rng::new(5, "chance");
    let (mut pole, mut observation) = (Balance { fault: None }.make().unwrap(), [0.0; 2]);
    let mut best = f64::NEG_INFINITY;
    for _ in 0..2000 {
        pole.reset(&mut rng, &mut observation);
        let mut score = 0.0;
        for _ in 0..LENGTH {
            let step = pole.step(&[rng.uniform_in(-1.0, 1.0)], &mut observation).unwrap();
            score += step.reward;
            if step.terminated {
                break;
            }
        }
        best = best.max(score);
    }
    for seed in 0..3 {
        let config = methods::preset("ddppo", "InvertedPendulum").unwrap();
        let seed = format!("seed={seed}");
        let settings = [
            &seed[..],
            "training.warmup_steps=250",
            "training.policy_updates_per_step=5",
            "training.critic_updates_per_step=5",
            "model.hidden=64",
            "model.layers=2",
            "model.weight_decay=[2.5e-5, 5e-5, 1e-4]",
            "policy.hidden=64",
            "critic.hidden=64",
            "rollout.starts=10_000",
            "rollout.capacity_per_step=40_000",
            "evaluation.every_steps=250",
        ];
        let config = config.with_settings(&settings).unwrap();
        let mut trainer = Trainer::new(config, Arc::new(Balance { fault: None })).unwrap();
        advance(&mut trainer, 1000);
        let episodes = trainer.evaluate(10, 0).unwrap();
        let worst = episodes.iter().map(|e| e.score).fold(f64::INFINITY, f64::min);
        assert!(
            worst > best,
            "seed {seed}: worst of 10 trained episodes {worst}, best of 2000 random ones {best}"
        );
    }
}
