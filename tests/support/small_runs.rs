//! Whole runs that are small: what tests of training share.
//!
//! Include it from a test with `#[path = "support/small_runs.rs"] mod small_runs;`.

use ddppo::config::{Algorithm, Config};
use ddppo::run::metrics::Record;
use ddppo::train::Trainer;

/// A small run with all of a method's parts at work.
pub fn small(algorithm: Algorithm, task: &str) -> Config {
    let mut config = Config::preset(algorithm, task).unwrap();
    config.training.warmup_steps = 100;
    config.training.batch_size = 150;
    config.training.min_transitions = 150;
    config.training.model_every_steps = 50;
    config.training.policy_updates_per_step = 1;
    config.training.critic_updates_per_step = 1;
    config.model.hidden = 32;
    config.model.patience_epochs = 2;
    config.policy.hidden = 32;
    config.critic.hidden = 32;
    config.gradient_loss.window = 200;
    config.rollout.starts = 500;
    config.rollout.capacity_per_step = 1500;
    config.evaluation.every_steps = 100;
    config.evaluation.episodes = 2;
    config.seed = 11;
    config
}

/// The run at step 0.
pub fn trainer(config: &Config) -> Trainer {
    Trainer::new(config.clone(), ddppo::env::task(&config.task).unwrap()).unwrap()
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
