//! Accelerators through PJRT, the C interface of the XLA compiler: a plugin is loaded at run time, so nothing of it is needed to build the
//! program or to run it without an accelerator.

mod api;
mod client;
mod download;
mod options;
mod plugin;

pub use client::{Buffer, Device, DeviceElement, Executable};
pub use download::Download;
pub use options::CompileEffort;
pub use plugin::DeviceError;
