//! Small runs learn on a device.

use crate::runs::{self, Lockstep};

/// Of small networks, with which InvertedPendulum is learned in few steps.
const SETTINGS: [&str; 16] = [
    "training.warmup_steps=400",
    "training.batch_size=128",
    "training.model_every_steps=200",
    "training.policy_updates_per_step=2",
    "training.critic_updates_per_step=4",
    "model.hidden=48",
    "model.members=3",
    "model.elites=2",
    "model.patience_epochs=2",
    "policy.hidden=32",
    "policy.learning_rate=1e-3",
    "critic.hidden=32",
    "critic.learning_rate=1e-3",
    "rollout.starts=2000",
    "evaluation.every_steps=200",
    "evaluation.episodes=3",
];

#[test]
fn maac_balances_the_pendulum() {
    let configs = [1, 2].map(|seed| runs::config("maac", "InvertedPendulum", &SETTINGS, seed));
    let mut group = Lockstep::new(configs.to_vec());
    let records = group.advance(1400);
    for (run, records) in records.iter().enumerate() {
        let scores = records.iter().filter(|record| record.kind == "evaluation");
        let scores: Vec<f64> = scores.filter_map(|record| record.get("return_mean")).collect();
        let best = scores.iter().copied().fold(0.0, f64::max);
        // A policy that has not learned keeps it up for a few tens of steps.
        assert!(best > 300.0, "run {run}: {scores:?}");
    }
}
