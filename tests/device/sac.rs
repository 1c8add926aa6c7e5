//! SAC's programs against the CPU's updates, and whole small runs of it.

use crate::runs::{self, Lockstep};

const SETTINGS: [&str; 8] = [
    "training.warmup_steps=60",
    "training.batch_size=40",
    "training.critic_updates_per_step=2",
    "policy.hidden=32",
    "critic.hidden=32",
    "policy.learning_rate=1e-3",
    "evaluation.every_steps=50",
    "evaluation.episodes=2",
];

#[test]
fn a_steps_updates_are_the_cpus() {
    for task in ["Pendulum", "PointMass", "Hopper"] {
        runs::compare_a_step("sac", task, &SETTINGS, 75);
    }
}

#[test]
fn the_policys_gradient_is_clipped_and_a_fixed_temperature_stays() {
    let clipped = ["policy.gradient_clip=1e-3", "critic.gradient_clip=1e-2"];
    let settings: Vec<&str> = SETTINGS.into_iter().chain(clipped).collect();
    runs::compare_a_step("sac", "Pendulum", &settings, 75);
    let fixed: Vec<&str> = SETTINGS.into_iter().chain(["temperature.automatic=false"]).collect();
    runs::compare_a_step("sac", "Pendulum", &fixed, 75);
}

#[test]
fn a_run_in_a_group_is_the_same_bits_as_alone_and_as_one_that_was_resumed() {
    let seeds = [3, 5, 7, 11, 13];
    let config = |seed| runs::config("sac", "PointMass", &SETTINGS, seed);
    let mut together = Lockstep::new(seeds.map(config).to_vec());
    let records = together.advance(100);
    let together = together.snapshots();
    let mut alone = Lockstep::new(vec![config(7)]);
    assert_eq!(alone.advance(100)[0], records[2]);
    assert_eq!(alone.snapshots()[0], together[2], "alone");
    let mut first = Lockstep::new(vec![config(5), config(7)]);
    first.advance(70);
    let mut resumed = Lockstep::resume(vec![config(5), config(7)], first.snapshots());
    resumed.advance(100);
    assert_eq!(resumed.snapshots()[1], together[2], "resumed");
}
