//! SAC's programs against the CPU's updates.

use crate::runs;

pub const SETTINGS: [&str; 8] = [
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
