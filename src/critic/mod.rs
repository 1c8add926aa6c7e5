//! The critic: networks Q(s, a) with their targets, and their update.

pub mod minibatch;
pub mod update;

pub use minibatch::CriticWorkspace;
pub use update::{CriticReport, TwinCritic};
