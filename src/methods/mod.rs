//! The methods. One file each: what the policy is improved on, and the order of the updates. What they are made of stands in
//! `learner.rs` and `world.rs`. How to add one: `docs/adding-an-algorithm.md`.

pub mod learner;
pub mod report;
pub mod saved;
pub mod world;

pub use learner::Learner;
pub use world::{Models, World};

use self::report::{LearnError, Learned};
use crate::config::{Config, methods};
use crate::path::objective::Objective;

/// What makes a method. It has no state: everything that a run changes is in the [`Learner`].
pub trait Method: Sync {
    /// The models of the world that it learns.
    fn models(&self, config: &Config) -> Models;

    /// What the policy is improved on; `None` while there is no model that it needs.
    fn objective<'a>(&self, learner: &'a Learner) -> Option<Objective<'a, f32>>;

    /// All learning after environment step number `step`, whose transition is in [`Learner::real`].
    ///
    /// # Errors
    /// When a loss is not finite: names it.
    fn learn(&self, learner: &mut Learner, step: u64) -> Result<Learned, LearnError>;
}

// The methods, a line each; what a line says is at the macro, in `config/methods.rs`.
methods! {
    ddppo::Ddppo, "Directional-derivative projection policy optimisation, the paper's method.", without [];
    sac::Sac, "Soft actor-critic: no model of the world.", without [
        "analysis", "model", "gradient_loss", "rollout", "policy.horizon", "policy.gradient_source", "training.model_every_steps",
        "training.min_transitions", "training.policy_updates_per_step", "training.real_ratio"
    ];
    mbpo::Mbpo, "Model-based policy optimisation: soft actor-critic on a model's short rollouts.", without [
        "gradient_loss", "model.single_model", "policy.horizon", "policy.gradient_source",
        "training.policy_updates_per_step"
    ];
    maac::Maac, "Model-augmented actor-critic: back-propagation through one model's sampled steps.", without [
        "gradient_loss", "model.single_model"
    ];
}
