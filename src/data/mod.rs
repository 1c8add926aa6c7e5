//! Transitions, and how a minibatch of them is shared out among threads.

mod draws;
pub mod minibatch;
pub mod replay;
mod running;
mod standardiser;
mod states;

pub use draws::Draws;
pub use replay::{ExperienceConfig, Replay, RowStorage, Transition, mixture};
pub use running::RunningMoments;
pub use standardiser::{Moments, Standardiser, moments};
pub use states::StateRing;
