//! What acts and what judges: policy, critic, temperature.

pub mod actor;
pub mod critic;
mod critic_minibatch;
pub mod policy;
pub mod temperature;

pub use actor::Actor;
pub use critic::{CriticReport, TwinCritic};
pub use critic_minibatch::CriticWorkspace;
pub use policy::{Policy, PolicyTape};
pub use temperature::Temperature;
