//! Programs for an accelerator: many runs in lockstep (docs/devices.md).

pub mod graph;
pub mod group;
pub mod pjrt;
pub mod programs;
