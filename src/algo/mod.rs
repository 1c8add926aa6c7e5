//! The methods. One file each: what the policy is improved on, and the order of the updates. What they are made of stands in
//! `learner.rs` and `world.rs`. How to add one: `docs/adding-an-algorithm.md`.

pub mod adjoint;
pub mod ddppo;
mod imagine;
pub mod learner;
pub mod maac;
pub mod mbpo;
pub mod objective;
pub mod policy_update;
pub mod report;
pub mod sac;
pub mod saved;
pub mod world;

pub use learner::Learner;
pub use policy_update::Starts;
pub use world::{Models, World};

use self::objective::Objective;
use self::report::{LearnError, Learned};
use crate::config::{Algorithm, Config};

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

/// The method of this name.
pub fn method(algorithm: Algorithm) -> &'static dyn Method {
    match algorithm {
        Algorithm::Ddppo => &ddppo::Ddppo,
        Algorithm::Sac => &sac::Sac,
        Algorithm::Mbpo => &mbpo::Mbpo,
        Algorithm::Maac => &maac::Maac,
    }
}
