//! DDPPO+: a block against the CPU's.

use crate::runs;

/// Blocks of few steps and updates. The one that is compared is the second: critics begin at 0, where they have no slope.
pub const SETTINGS: [&str; 33] = [
    "training.warmup_steps=200",
    "training.batch_size=40",
    "training.block_steps=50",
    "training.first_updates=8",
    "training.discount=0.9",
    "model.members=3",
    "model.hidden=16",
    "model.layers=2",
    "model.initial_weights=kaiming",
    "model.layer_norm=true",
    "model.weight_decay=[1e-4, 2e-4, 3e-4]",
    "model.batch_size=150",
    "model.first_steps=30",
    "model.steps=5",
    "model.look_every=3",
    "gradient_loss.neighbours=6",
    "gradient_loss.directions_per_row=2",
    "gradient_loss.window=150",
    "rollout.starts=40",
    "rollout.length=4",
    "rollout.capacity=150",
    "rollout.every_updates=2",
    "policy.hidden=16",
    "policy.layers=2",
    "policy.horizon=2",
    "policy.gradient_source=\"gradient\"",
    "critic.members=3",
    "critic.hidden=16",
    "critic.layers=2",
    "critic.layer_norm=true",
    "critic.learning_rate=3e-3",
    "evaluation.every_steps=100",
    "evaluation.episodes=2",
];
/// A step with the second block.
const BLOCK: u64 = 250;
/// The critic alone, then all with the policy's gradient looked at, and after a rollout all twice more, in one call.
const UPDATES: [&str; 2] = ["training.critic_updates=1", "training.updates_per_step=0.06"];
/// With so many rows, and one member's derivatives, they are dealt out to the members: each runs on its own alone.
const DEALT: [&str; 2] = ["training.batch_size=120", "model.members=5"];
const PREDICTION: &str = "policy.gradient_source=\"prediction\"";

pub fn with<'s>(more: &[&'s str]) -> Vec<&'s str> {
    SETTINGS.into_iter().chain(more.iter().copied()).collect()
}

#[test]
fn models_trainings_are_the_cpus() {
    let none = ["training.critic_updates=0", "training.updates_per_step=0"];
    for (task, weights) in [("PointMass", "true"), ("Hopper", "false")] {
        let weights = format!("gradient_loss.value_weights={weights}");
        let settings = with(&[none[0], none[1], &weights]);
        runs::compare_a_training("ddppo-plus", task, &settings, BLOCK);
    }
}

#[test]
fn rollouts_and_updates_through_the_gradient_model_are_the_cpus() {
    let [critic, all] = UPDATES;
    let dealt = with(&[critic, all, DEALT[0], DEALT[1]]);
    runs::compare_a_step("ddppo-plus", "Hopper", &dealt, BLOCK);
    // Of two members' derivatives, M^p's rows alone are dealt out.
    let two = with(&[critic, all, DEALT[0], DEALT[1], "policy.derivative_members=2"]);
    runs::compare_a_step("ddppo-plus", "PointMass", &two, BLOCK);
}

#[test]
fn rollouts_and_updates_through_the_prediction_model_are_the_cpus() {
    let [critic, all] = UPDATES;
    // With the derivatives of one member, or the mean of two.
    let mean = with(&[critic, all, PREDICTION, "policy.derivative_members=2"]);
    runs::compare_a_step("ddppo-plus", "PointMass", &mean, BLOCK);
    let dealt = with(&[critic, all, PREDICTION, DEALT[0], DEALT[1]]);
    runs::compare_a_step("ddppo-plus", "Hopper", &dealt, BLOCK);
}
