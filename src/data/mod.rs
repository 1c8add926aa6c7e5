//! Transitions, and how a minibatch of them is shared out among threads.

pub mod minibatch;
pub mod replay;
mod running;
mod standardiser;

pub use replay::{ExperienceConfig, Replay, Storage, Transition, mixture};
pub use running::RunningMoments;
pub use standardiser::Standardiser;
