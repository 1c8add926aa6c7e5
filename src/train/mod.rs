//! The loop around a method (SPEC section 4), evaluation, and the one state that a run is.

mod analysis;
pub mod evaluation;
pub mod state;
pub mod summary;
pub mod trainer;

pub use trainer::{TrainError, Trainer};
