//! A small run of MAGE after its random steps: a real minibatch for the checks of its passes.
//!
//! Include it from a test with `#[path = "support/mage_runs.rs"] mod mage_runs;`, beside `small_runs`.

use ddppo::lab::precision;
use ddppo::methods::mage::{Agent, Mage, Minibatch};
use ddppo::model::StandardisedModel;
use ddppo::nn::Real;
use ddppo::rng::Rng;
use ddppo::train::Trainer;

use crate::small_runs::{advance, trainer, with};

/// Rows of a minibatch: two whole blocks and a part of one.
pub const BATCH: usize = 300;
/// γ.
pub const DISCOUNT: f64 = 0.99;

/// A run on Hopper of which 60 steps have been learned from.
pub fn run() -> Trainer {
    let config = ddppo::methods::preset("mage", "Hopper").unwrap();
    let settings = [
        "training.warmup_steps=120",
        "training.batch_size=128",
        "training.critic_updates_per_step=4",
        "model.members=4",
        "model.hidden=48",
        "model.layers=3",
        "model.batches=40",
        "model.batch_size=64",
        "model.learning_rate=1e-3",
        "policy.hidden=40",
        "critic.hidden=40",
        "critic.learning_rate=1e-3",
        "evaluation.every_steps=100_000",
    ];
    let mut trainer = trainer(&with(&config, &settings));
    advance(&mut trainer, 180);
    trainer
}

/// What the checks are made with, in `T`: agent, model, and a minibatch that has been drawn.
pub fn parts<T: Real>(mage: &Mage) -> (Agent<T>, StandardisedModel<T>, Minibatch<T>) {
    let agent: Agent<T> = precision::agent(&mage.agent);
    let model = precision::standardised_model(&mage.model);
    let mut minibatch = Minibatch::new(&agent, &model, BATCH);
    let mut rng = Rng::new(3, "minibatch of a check");
    minibatch.draw(&agent, &model, &mage.real, mage.smoothing(), &mut rng);
    (agent, model, minibatch)
}
