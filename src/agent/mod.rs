//! What acts and what judges: policy, critic, temperature.

pub mod actor;
pub mod critic;
pub mod policy;
pub mod temperature;

pub use actor::Actor;
pub use critic::{CriticReport, CriticWorkspace, TwinCritic};
pub use policy::{Policy, PolicyTape};
pub use temperature::Temperature;
