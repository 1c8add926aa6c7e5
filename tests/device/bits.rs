//! Equal seeds give equal bits on a device of one kind: alone, among others, and after a stop.

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
    same_bits("ddppo", &models::with(&[]), 130, 202);
}

#[test]
fn mbpos_are_the_same_alone_in_a_group_and_resumed() {
    same_bits("mbpo", &models::with(&[]), 130, 202);
}

#[test]
fn ddppo_pluses_are_the_same_alone_in_a_group_and_resumed() {
    // Blocks at 200, 250 and 300; the stop is between two.
    let settings = ["training.critic_updates=2", "training.updates_per_step=0.1"];
    same_bits("ddppo-plus", &plus::with(&settings), 220, 301);
}
