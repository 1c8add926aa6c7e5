//! Whole runs that are small: what tests of training share.
//!
//! Include it from a test with `#[path = "support/small_runs.rs"] mod small_runs;`.
#![allow(dead_code)] // Not every test uses all of it.

use ddppo::config::Config;
use ddppo::run::metrics::Record;
use ddppo::train::Trainer;

/// The configuration with those of the settings that its method has.
pub fn with(config: &Config, settings: &[&str]) -> Config {
    let has = |setting: &&&str| config.get(setting.split('=').next().unwrap()).is_some();
    let own: Vec<&str> = settings.iter().filter(has).copied().collect();
    config.with_settings(&own).unwrap()
}

/// The configuration with the gradient model of `ddppo-plus`, whose preset has none.
pub fn with_both_models(config: &Config) -> Config {
    match config.algorithm() {
        "ddppo-plus" => with(config, &["policy.gradient_source=gradient"]),
        _ => config.clone(),
    }
}

/// A small run with all of a method's parts at work.
pub fn small(algorithm: &str, task: &str) -> Config {
    let config = ddppo::methods::preset(algorithm, task).unwrap();
    let settings = [
        "training.warmup_steps=100",
        "training.batch_size=150",
        "training.min_transitions=150",
        "training.model_every_steps=50",
        "training.block_steps=50",
        "training.first_updates=30",
        "training.critic_updates=0",
        "training.policy_updates_per_step=1",
        "training.critic_updates_per_step=1",
        "training.pretraining_updates=20",
        "training.model_updates_per_step=1",
        "model.hidden=32",
        "model.head_hidden=16",
        "model.patience_epochs=2",
        "model.batches=5",
        "model.batch_size=100",
        "policy.delay=1",
        "model.first_steps=30",
        "model.steps=20",
        "model.look_every=10",
        "policy.hidden=32",
        "critic.hidden=32",
        "gradient_loss.window=200",
        "rollout.starts=500",
        "rollout.capacity=3000",
        "rollout.capacity_per_step=1500",
        "evaluation.every_steps=100",
        "evaluation.episodes=2",
        "seed=11",
    ];
    with_both_models(&with(&config, &settings))
}

/// The run at step 0.
pub fn trainer(config: &Config) -> Trainer {
    Trainer::new(config.clone(), ddppo::env::task(config.task()).unwrap()).unwrap()
}

/// Advances to `steps`; the records without their wall-clock times.
pub fn advance(trainer: &mut Trainer, steps: u64) -> Vec<Record> {
    let mut records = Vec::new();
    while trainer.step() < steps {
        records.extend(trainer.advance().unwrap());
    }
    records.iter_mut().for_each(|r| r.time.clear());
    records
}

/// On this many threads.
pub fn in_pool<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
}
