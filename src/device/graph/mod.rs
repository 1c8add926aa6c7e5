//! Programs as graphs: operations on arrays of fixed shapes, with reverse- and forward-mode derivatives on the graph itself, written out
//! as StableHLO. The first axis of all arrays is the runs of a group, and no operation mixes them.

mod build;
mod derivative;
mod emit;
mod node;
mod rules;
mod tangent;
mod value;

pub use build::{Graph, Value};
pub use emit::Program;
pub use node::{Number, ProductPrecision};
