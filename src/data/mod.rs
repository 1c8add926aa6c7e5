//! Transitions, and how a minibatch of them is shared out among threads.

mod draws;
mod experience;
pub mod minibatch;
pub mod replay;
mod running;
mod standardiser;
mod states;

pub use draws::Draws;
pub use experience::{ExperienceConfig, mixture};
pub use replay::{Replay, RowStorage, Transition};
pub use running::RunningMoments;
pub use standardiser::{Moments, Standardiser, moments};
pub use states::StateRing;
