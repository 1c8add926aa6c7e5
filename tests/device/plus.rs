//! DDPPO+: its blocks against the CPU's.

use crate::runs;

/// One block, of few steps and updates, at the end of the random steps.
const SETTINGS: [&str; 26] = [
    "training.warmup_steps=200",
    "training.batch_size=40",
    "training.block_steps=50",
    "training.first_updates=0",
    "training.critic_updates=0",
    "training.discount=0.9",
    "model.members=3",
    "model.hidden=16",
    "model.layers=2",
    "model.weight_decay=[1e-4, 2e-4, 3e-4]",
    "model.batch_size=150",
    "model.first_steps=6",
    "model.steps=5",
    "model.look_every=4",
    "gradient_loss.neighbours=6",
    "gradient_loss.directions_per_row=2",
    "gradient_loss.window=150",
    "rollout.starts=40",
    "rollout.length=4",
    "rollout.capacity=150",
    "rollout.every_updates=3",
    "policy.hidden=16",
    "policy.layers=2",
    "policy.horizon=3",
    "critic.hidden=16",
    "critic.layers=2",
];

fn with<'s>(more: &[&'s str]) -> Vec<&'s str> {
    let evaluation = ["evaluation.every_steps=100", "evaluation.episodes=2", "critic.members=4"];
    SETTINGS.into_iter().chain(evaluation).chain(more.iter().copied()).collect()
}

const PREDICTION: &str = "policy.gradient_source=\"prediction\"";

#[test]
fn models_trainings_are_the_cpus() {
    for task in ["PointMass", "Hopper"] {
        runs::compare_a_training("ddppo-plus", task, &with(&[]), 200);
    }
}

#[test]
fn updates_through_either_model_are_the_cpus() {
    for task in ["PointMass", "Hopper"] {
        for source in [&[][..], &[PREDICTION][..]] {
            for count in ["training.first_updates=1", "training.critic_updates=1"] {
                let settings: Vec<&str> = source.iter().copied().chain([count]).collect();
                runs::compare_a_step("ddppo-plus", task, &with(&settings), 200);
            }
        }
    }
}
