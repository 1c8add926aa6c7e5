//! Equal seeds give equal bits on a device of one kind: alone, among others, and after a stop.

use ddppo::train::lockstep;

use crate::runs::{self, Lockstep};
use crate::{models, plus, sac};

/// One of five runs is the same as it is alone, and as it is in a group of two that was resumed from its state at `stop`.
fn same_bits(algorithm: &str, settings: &[&str], stop: u64, steps: u64) {
    let config = |seed| runs::config(algorithm, "Hopper", settings, seed);
    let mut together = Lockstep::new([3, 5, 7, 11, 13].map(config).to_vec());
    let records = together.advance(steps);
    let together = together.snapshots();
    let mut alone = Lockstep::new(vec![config(7)]);
    assert_eq!(alone.advance(steps)[0], records[2], "{algorithm}, records alone");
    assert!(alone.snapshots()[0] == together[2], "{algorithm}, alone");
    let mut stopped = Lockstep::new(vec![config(5), config(7)]);
    stopped.advance(stop);
    let mut resumed = Lockstep::resume(vec![config(5), config(7)], stopped.snapshots());
    resumed.advance(steps);
    assert!(resumed.snapshots()[1] == together[2], "{algorithm}, resumed");
}

#[test]
fn sacs_are_the_same_alone_in_a_group_and_resumed() {
    same_bits("sac", &sac::SETTINGS, 90, 200);
}

#[test]
fn ddppos_are_the_same_alone_in_a_group_and_resumed() {
    // Trainings at 80, 120, 160 and 200; the stop is between two.
    // With so many rows that they are dealt out to the elites.
    let dealt = ["training.batch_size=120", "model.members=6", "model.elites=5"];
    same_bits("ddppo", &models::with(&dealt), 130, 202);
}

#[test]
fn mbpos_are_the_same_alone_in_a_group_and_resumed() {
    same_bits("mbpo", &models::with(&[]), 130, 202);
}

#[test]
fn maacs_are_the_same_alone_in_a_group_and_resumed() {
    same_bits("maac", &models::with(&[]), 130, 202);
}

#[test]
fn runs_with_r_and_without_share_a_batch_and_are_the_same_alone() {
    let without = models::with(&["gradient_loss.weight=0.0"]);
    let other = models::with(&["gradient_loss.neighbours=3", "gradient_loss.weight=0.5"]);
    let of = |settings: &[&str], seed| runs::config("ddppo", "Hopper", settings, seed);
    let configs = [of(&models::with(&[]), 7), of(&without, 7), of(&other, 3)];
    let mut together = Lockstep::new(configs.to_vec());
    let records = together.advance(125);
    let together = together.snapshots();
    for (i, config) in configs.into_iter().enumerate() {
        let mut alone = Lockstep::new(vec![config]);
        assert_eq!(alone.advance(125)[0], records[i], "run {i}");
        assert!(alone.snapshots()[0] == together[i], "run {i}");
    }
    assert!(together[0] != together[1], "R changes a run");
}

#[test]
fn runs_of_other_programs_are_refused_in_one_batch() {
    let configs = ["policy.horizon=1", "policy.horizon=2"]
        .map(|horizon| runs::config("ddppo", "Hopper", &models::with(&[horizon]), 0));
    let difference = lockstep::difference(&configs[0], &configs[1]).unwrap();
    assert_eq!(difference, "`policy.horizon` is 1 in one and 2 in another");
    let seeds = [0, 1].map(|seed| runs::config("ddppo", "Hopper", &models::with(&[]), seed));
    assert_eq!(lockstep::difference(&seeds[0], &seeds[1]), None);
}

#[test]
fn ddppo_pluses_are_the_same_alone_in_a_group_and_resumed() {
    // Blocks at 200, 250 and 300; the stop is between two. Short paths and few kinds of calls compile faster.
    let settings = [
        "training.critic_updates=0",
        "training.first_updates=3",
        "training.updates_per_step=0.06",
        "rollout.every_updates=3",
        "policy.horizon=1",
    ];
    same_bits("ddppo-plus", &plus::with(&settings), 220, 301);
}
