//! The methods with models: their programs against the CPU's updates, trainings and rollouts.

use crate::runs;

const SETTINGS: [&str; 24] = [
    "training.warmup_steps=60",
    "training.batch_size=40",
    "training.min_transitions=50",
    "training.model_every_steps=40",
    "training.policy_updates_per_step=1",
    "training.critic_updates_per_step=2",
    "model.hidden=16",
    "model.layers=2",
    "model.weight_decay=[1e-4, 1e-4, 1e-4]",
    "model.members=4",
    "model.elites=3",
    "model.patience_epochs=1",
    "gradient_loss.window=60",
    "gradient_loss.neighbours=5",
    "gradient_loss.directions_per_row=2",
    "policy.hidden=16",
    "policy.horizon=2",
    "policy.learning_rate=1e-4",
    "critic.hidden=16",
    "rollout.starts=300",
    "rollout.capacity_per_step=1000",
    "rollout.max_length=2",
    "rollout.min_length=2",
    "evaluation.every_steps=90",
];

pub fn with<'s>(more: &[&'s str]) -> Vec<&'s str> {
    SETTINGS.into_iter().chain(["evaluation.episodes=2"]).chain(more.iter().copied()).collect()
}

/// A step after the models' first training, which is at 80.
const UPDATES: u64 = 85;
/// A step after the first training on 120 transitions.
const DEALT: u64 = 125;
/// A step with a training, and rollouts of two steps.
const TRAINING: u64 = 120;
/// So that the training is a few steps of Adam: over tens of steps rounding grows beyond what is compared to.
const FEW_STEPS: &str = "training.batch_size=100";

#[test]
fn ddppos_updates_through_models_are_the_cpus() {
    runs::compare_a_step("ddppo", "PointMass", &with(&[]), UPDATES);
    // In some of these, actions lie so near their bounds that tanh's slope by its value would miss (decision 102).
    for seeds in [[1, 2], [3, 5]] {
        runs::compare_runs("ddppo", "Hopper", &with(&[]), UPDATES, seeds);
    }
    runs::compare_a_step("ddppo", "Pendulum", &with(&[]), UPDATES);
    let single = with(&["model.single_model=true"]);
    runs::compare_a_step("ddppo", "PointMass", &single, UPDATES);
}

#[test]
fn updates_whose_rows_are_dealt_out_to_elites_are_the_cpus() {
    // With so many rows each elite runs on its own alone.
    let dealt = with(&["training.batch_size=120", "model.members=6", "model.elites=5"]);
    runs::compare_a_step("ddppo", "Hopper", &dealt, DEALT);
    runs::compare_a_step("maac", "PointMass", &dealt, DEALT);
}

#[test]
fn ddppos_model_trainings_and_rollouts_are_the_cpus() {
    let short = with(&[
        FEW_STEPS,
        "gradient_loss.unit_directions=true",
        "gradient_loss.coordinates=\"standardised\"",
    ]);
    for settings in [with(&[FEW_STEPS]), short] {
        runs::compare_a_training("ddppo", "PointMass", &settings, TRAINING);
    }
}

#[test]
fn maacs_updates_go_through_the_sampled_step_or_the_mean() {
    for source in ["sampled_step", "prediction_model"] {
        let source = format!("policy.gradient_source=\"{source}\"");
        runs::compare_a_step("maac", "PointMass", &with(&[&source]), UPDATES);
    }
}

#[test]
fn mbpos_bootstraps_bounds_and_best_weights_are_the_cpus() {
    runs::compare_a_step("mbpo", "PointMass", &with(&[]), UPDATES);
    runs::compare_a_training("mbpo", "PointMass", &with(&[FEW_STEPS]), TRAINING);
}
