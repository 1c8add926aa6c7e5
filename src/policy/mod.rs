//! What acts: the policy, and the temperature of its entropy.

pub mod actor;
mod divergence;
mod draw;
mod free_sigma;
pub mod gaussian;
pub mod temperature;

pub use actor::Actor;
pub use draw::Draw;
pub use gaussian::{Exploration, Head, Policy, PolicyConfig, PolicyTape};
pub use temperature::{Temperature, TemperatureConfig};
