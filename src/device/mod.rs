//! Programs for an accelerator: many runs in lockstep (docs/devices.md).

mod choice;
pub mod graph;
pub mod group;
mod learner;
pub mod pjrt;
pub mod programs;

pub use choice::DeviceChoice;
pub use learner::DeviceLearner;
