//! A policy taken away: files by which other programs act as the run's policy does. docs/export.md describes them.
//!
//! All three formats hold the same function, from an observation in the environment's own units to the deterministic action in the
//! environment's own units, with whatever standardising and squashing there is inside.

mod c_header;
mod file;
mod onnx;
mod portable;
mod tensors;

pub use file::{ExportError, check_name, export, written};
pub use portable::{About, Affine, PortablePolicy};
