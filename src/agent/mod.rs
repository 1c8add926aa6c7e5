//! What acts and what judges: policy, critic, temperature.

pub mod critic;
pub mod policy;
pub mod temperature;

pub use critic::{CriticReport, CriticWorkspace, TwinCritic};
pub use policy::{Policy, PolicyTape};
pub use temperature::Temperature;
