//! The loop around a method: act, store, learn, evaluate; and the one state that a run is.

pub mod evaluation;
pub mod lockstep;
mod scoring;
mod state;
pub mod trainer;

pub use lockstep::{Lockstep, LockstepError};
pub use trainer::{Advance, TrainError, Trainer};
