//! The loop around a method: act, store, learn, evaluate; and the one state that a run is.

pub mod evaluation;
mod state;
pub mod trainer;

pub use trainer::{TrainError, Trainer};
