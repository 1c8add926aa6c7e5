//! Programs for an accelerator: many runs in lockstep (docs/devices.md).

mod choice;
pub mod graph;
pub mod group;
pub mod pjrt;
pub mod programs;

pub use choice::DeviceChoice;
