//! Learning that takes long, and evaluations, are broken off where somebody asks, and repeated to the bit from the state before.

#[path = "support/small_runs.rs"]
mod small_runs;

use std::thread;
use std::time::{Duration, Instant};

use ddppo::config::Config;
use ddppo::methods;
use ddppo::nn::StopFlag;
use ddppo::run::Snapshot;
use ddppo::run::metrics::Record;
use ddppo::train::{Advance, Trainer};
use small_runs::{advance, in_pool, small, trainer, with};

const STEPS: u64 = 230;

fn restored(config: &Config, state: Snapshot) -> Trainer {
    let task = ddppo::env::task(config.task()).unwrap();
    Trainer::restore(config.clone(), task, state).unwrap()
}

/// Trains as a run that is asked to stop in each of its long steps, again and again: at once first, then later and later. Returns its
/// records, its end, and how often it was broken off at once, and later.
fn harassed(config: &Config) -> (Vec<Record>, Snapshot, [usize; 2]) {
    let mut run = trainer(config);
    let (mut records, mut broken, mut tries) = (Vec::new(), [0, 0], 0);
    while run.step() < STEPS {
        let stop = StopFlag::default();
        let waits = Duration::from_micros(50) * tries;
        let outcome = if !run.takes_long() {
            run.advance_until(&stop)
        } else if tries == 0 {
            stop.raise();
            run.advance_until(&stop)
        } else {
            let asking = stop.clone();
            let asks = thread::spawn(move || {
                let begun = Instant::now();
                while begun.elapsed() < waits {
                    thread::yield_now();
                }
                asking.raise();
            });
            let outcome = run.advance_until(&stop);
            asks.join().unwrap();
            outcome
        };
        match outcome.unwrap() {
            Advance::Done(more) => {
                records.extend(more);
                tries = 0;
            }
            Advance::BrokenOff(before) => {
                broken[usize::from(tries > 0)] += 1;
                // Sooner or later the step has the time that it takes.
                tries = if tries > 3 { tries * 2 } else { tries + 1 };
                let step = run.step();
                run = restored(config, *before);
                assert_eq!(run.step(), step);
            }
        }
    }
    records.iter_mut().for_each(|record| record.time.clear());
    (records, run.snapshot(), broken)
}

#[test]
fn a_step_that_was_broken_off_is_repeated_to_the_bit() {
    let mut in_the_middle = Vec::new();
    for info in methods::all() {
        let config = small(info.name, "InvertedPendulum");
        // The random steps of the small runs end at 100. STEVE learns at length but once.
        let config = with(
            &config,
            &[
                "evaluation.every_steps=115",
                "svg.updates_per_training=5",
                "training.pretraining_updates=1000",
            ],
        );
        let (records, state, [at_once, later]) = in_pool(2, || harassed(&config));
        let mut whole = trainer(&config);
        assert_eq!(in_pool(1, || advance(&mut whole, STEPS)), records, "{}", info.name);
        assert!(whole.snapshot() == state, "{}: final states differ", info.name);
        // Two steps have an evaluation. SAC's learning never takes long.
        assert_eq!((at_once > 2, at_once), (info.name != "sac", at_once.max(2)), "{}", info.name);
        if later > 0 {
            in_the_middle.push(info.name);
        }
    }
    // A small network's training may be over before anybody can ask.
    assert!(in_the_middle.len() >= 3, "only {in_the_middle:?} were broken off in the middle");
}
