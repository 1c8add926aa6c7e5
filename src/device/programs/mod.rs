//! The updates of the methods as programs for a device. Each is compared with the CPU's on the same weights and draws
//! (`tests/device/`).

mod actor;
mod fitting;
mod imagination;
mod learner;
mod network;
mod policy;

pub use actor::{PathModels, PathShape, draws_width};
pub use fitting::{
    DirectionRowSizes, DirectionRows, DirectionsShape, FIT_FACTORS, FitData, FitRowSizes, FitRows,
    FitShape, FitState,
};
pub use imagination::{Elites, ElitesShape, ImaginedStep, excess};
pub use learner::{FACTORS, LearnerFactors, LearnerShape, LearnerState, TransitionRows};
pub use network::{AdamFactors, StackShape, TrainedStack, all_finite};
pub use policy::{DrawnActions, PolicyShape};
