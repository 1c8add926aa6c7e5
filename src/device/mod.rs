//! Programs for an accelerator: many runs in lockstep (docs/devices.md).

pub mod graph;
pub mod pjrt;
