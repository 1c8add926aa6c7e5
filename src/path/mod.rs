//! A trajectory imagined in a model, and the adjoint along it.

pub mod adjoint;
mod imagine;
pub mod objective;
pub mod update;
pub mod workspace;

pub use update::Starts;
