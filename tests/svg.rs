//! SVG's runs: what its importance weights are on real data, exact continuation and equality at any number of threads with every
//! setting of its own at work, no allocation in the loop, and numbers that break.

#[path = "support/pole.rs"]
mod pole;
#[path = "support/small_runs.rs"]
mod small_runs;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use ddppo::config::Config;
use ddppo::methods::svg::{INFO, Svg};
use ddppo::methods::{Method, RealStep};
use ddppo::path::{RecordedWorkspace, Recording};
use ddppo::rng::Rng;
use ddppo::run::Tally;
use ddppo::run::snapshot::Data;
use ddppo::train::Trainer;
use pole::{Balance, FAULTY_STEP, Fault};
use small_runs::{advance, in_pool, small, trainer, with};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches a thread's own cell, which has no
// destructor and whose making allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Every setting of SVG's own away from its default, on a small scale.
fn schedule() -> Config {
    let settings = [
        "svg.batch_size=40",
        "svg.horizon=4",
        "svg.window=120",
        "svg.least_sigma=0.99",
        "svg.updates_per_step=1",
        "svg.updates_per_training=3",
        "svg.return_epochs=2",
        "svg.return_batch_size=16",
    ];
    with(&small("svg", "InvertedPendulum"), &settings)
}

/// A run that has trained its model at step 200, updated the policy then and not since.
fn fresh() -> Trainer {
    let settings =
        ["training.model_every_steps=100", "svg.updates_per_step=0", "svg.updates_per_training=5"];
    let config = with(&small("svg", "Hopper"), &settings);
    let mut trainer = trainer(&config);
    advance(&mut trainer, 260);
    trainer
}

/// The importance weights of 500 rows drawn from the newest `window`.
fn weights(svg: &Svg, window: usize) -> Vec<f32> {
    let Svg { policy, value, model, real, draws, .. } = svg;
    let model = &model.model;
    let mut workspace = RecordedWorkspace::new(policy, model, &value.network, 1, 500);
    let recording = Recording { real, draws, window };
    workspace.draw(recording, (policy, model), 5.0, &mut Rng::new(0, "weights"));
    workspace.parts().iter().flat_map(|part| part.first_weights.clone()).collect()
}

#[test]
fn rows_since_the_last_update_weigh_one_and_none_more_than_five() {
    let trainer = fresh();
    let svg = trainer.method().downcast::<Svg>().unwrap();
    assert_eq!((svg.real.pushed(), svg.draws.pushed()), (260, 260));
    let new = weights(svg, 60);
    assert!(new.iter().all(|&w| w == 1.0), "{new:?}");
    let all = weights(svg, 1000);
    assert!(all.iter().all(|&w| (0.0..=5.0).contains(&w)), "{all:?}");
    assert!(all.iter().any(|&w| (w - 1.0).abs() > 1e-3), "random actions are no policy's");
}

#[test]
fn recorded_actions_are_those_that_their_draws_tell() {
    let trainer = fresh();
    let svg = trainer.method().downcast::<Svg>().unwrap();
    for row in 0..svg.real.len() {
        let (pre_squash, log_density) = svg.draws.get(row);
        assert!(log_density.is_finite());
        for (d, (&u, &a)) in pre_squash.iter().zip(svg.real.get(row).action).enumerate() {
            let again = svg.policy.scale[d] * u.tanh() + svg.policy.bias[d];
            assert!((again - a).abs() < 3e-6, "row {row}: {again} {a}");
        }
    }
}

#[test]
fn one_seed_gives_one_result_at_any_thread_count() {
    let full = with(&schedule(), &["svg.return_epochs=0", "svg.batch_size=300"]);
    for config in [schedule(), full] {
        let run = |threads| {
            in_pool(threads, || {
                let mut trainer = trainer(&config);
                let records = advance(&mut trainer, 260);
                (records, trainer.snapshot())
            })
        };
        let (records, snapshot) = run(1);
        let last = records.iter().rfind(|record| record.kind == "train").unwrap();
        assert_eq!(last.get("policy_updates"), Some(53.0));
        for threads in [2, 4] {
            let (again, state) = run(threads);
            assert_eq!(records, again, "{threads} threads");
            assert!(snapshot == state, "{threads} threads: final states differ");
        }
    }
}

#[test]
fn a_restored_run_continues_to_the_bit() {
    // The replay wraps in the second.
    for more in [&[][..], &["training.replay_capacity=180"]] {
        let config = with(&schedule(), more);
        let mut whole = trainer(&config);
        let records = advance(&mut whole, 270);
        for stop in [90, 163, 200, 251] {
            let mut first = trainer(&config);
            let mut pieced = advance(&mut first, stop);
            let snapshot = first.snapshot();
            let task = ddppo::env::task(config.task()).unwrap();
            let mut second = Trainer::restore(config.clone(), task, snapshot).unwrap();
            pieced.extend(advance(&mut second, 270));
            assert_eq!(records, pieced, "stopped at {stop}");
            assert!(whole.snapshot() == second.snapshot(), "stopped at {stop}: states differ");
        }
    }
}

#[test]
fn updates_and_steps_allocate_nothing() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        for horizon in [1, 3] {
            let settings = [&format!("svg.horizon={horizon}")[..], "training.replay_capacity=400"];
            let config = with(&small("svg", "Hopper"), &settings);
            let mut svg = Svg::new(&config, ddppo::env::task("Hopper").unwrap());
            svg.model.model.elites = vec![0, 1, 2];
            let mut rng = Rng::new(0, "steps");
            let mut step = |svg: &mut Svg, draw: bool| {
                let mut x = [0.0_f32; 25];
                rng.fill_normal(&mut x);
                let transition = ddppo::data::Transition {
                    observation: &x[..11],
                    action: &[0.1, 0.2, -0.3],
                    reward: x[22],
                    next_observation: &x[11..22],
                    terminated: x[23] > 2.0,
                };
                let pre_squash = &[0.1_f32, 0.2, -0.3].map(f32::atanh)[..];
                let draw = draw.then_some(ddppo::policy::Draw { pre_squash, log_density: -1.0 });
                svg.store(RealStep { transition, ended: false, draw });
            };
            // Until it is full, the buffer grows.
            (0..400).for_each(|i| step(&mut svg, i % 2 == 0));
            let mut tally = Tally::default();
            let mut once = |svg: &mut Svg, draw| {
                step(svg, draw);
                svg.learn(411, &mut tally).unwrap();
            };
            (0..2).for_each(|_| once(&mut svg, true));
            let before = ALLOCATIONS.with(Cell::get);
            (0..6).for_each(|i| once(&mut svg, i % 2 == 0));
            assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0, "H = {horizon}");
        }
    });
}

/// NaN put into one part of the state stops the run at the first update that sees it, by name and step.
#[test]
fn numbers_that_break_are_named() {
    let config = small("svg", "InvertedPendulum");
    let mut good = trainer(&config);
    advance(&mut good, 160);
    for (part, expected) in [
        ("policy/0/weight", "step 160: the policy's action"),
        ("old_policy/0/weight", "step 161: the policy's loss"),
        ("target_value/0/bias", "step 161: the critic's loss"),
        ("value/1/weight", "step 161: the critic's loss"),
        ("real-rewards", "step 161: the critic's loss"),
        ("draws-pre_squash", "step 161: the policy's loss"),
        ("draws-log_densities", "step 161: the critic's loss"),
        ("prediction_model/", "step 161: the prediction model's output"),
    ] {
        let mut snapshot = good.snapshot();
        let mut spoiled = 0;
        for (key, tensor) in snapshot.tensors.iter_mut().chain(&mut snapshot.rows) {
            let weights = key == part
                || (part.ends_with('/') && key.starts_with(part) && key.ends_with("weight"));
            if let (true, Data::F32(values)) = (weights, &mut tensor.data) {
                values.fill(f32::NAN);
                spoiled += 1;
            }
        }
        assert!(spoiled > 0, "{part} is no part of the state");
        let task = ddppo::env::task(config.task()).unwrap();
        let mut bad = Trainer::restore(config.clone(), task, snapshot).unwrap();
        let mut error = String::new();
        while bad.step() < 210 && error.is_empty() {
            error = bad.advance().err().map(|e| e.to_string()).unwrap_or_default();
        }
        let same_step = error.starts_with(expected.split(':').next().unwrap());
        // u that is NaN makes weights NaN, too: the first who meets it names it.
        let named = error.starts_with(expected)
            || (part == "draws-pre_squash" && error.contains("critic's loss"));
        assert!(same_step && named, "NaN in {part}: `{error}`");
    }
}

#[test]
fn the_benchmarks_schedule_is_a_variant() {
    let config = INFO.with_variant(&INFO.preset("Hopper").unwrap(), "svg-benchmark").unwrap();
    let settings: ddppo::methods::svg::SvgConfig = config.view();
    assert_eq!(settings.training.cadence.model_every_steps, 4000);
    let svg = &settings.svg;
    let numbers = (svg.updates_per_training, svg.return_epochs, svg.return_batch_size);
    assert_eq!((numbers, svg.updates_per_step, svg.batch_size), ((62, 50, 32), 0, 64));
    assert_eq!(settings.policy.learning_rate, 1e-4);
}

#[test]
fn physics_that_breaks_ends_the_recorded_episode() {
    let ends = |fault| {
        let config = small("svg", "InvertedPendulum");
        let mut trainer = Trainer::new(config, Arc::new(Balance { fault })).unwrap();
        advance(&mut trainer, FAULTY_STEP as u64 + 5);
        let real = &trainer.method().downcast::<Svg>().unwrap().real;
        (real.len(), (0..real.len()).map(|row| real.ends_episode(row)).collect::<Vec<_>>())
    };
    let (whole, broken) = (ends(None), ends(Some(Fault::Physics)));
    // The step that broke is no data; the one before it is the last of its episode, and was not.
    assert_eq!((whole.0, broken.0), (FAULTY_STEP + 5, FAULTY_STEP + 4));
    let last = FAULTY_STEP - 2;
    assert_eq!((whole.1[last], broken.1[last]), (false, true));
    assert_eq!(whole.1[..last], broken.1[..last]);
}
