//! Multilayer perceptrons with four passes, the optimiser, the elementwise functions. Nothing here knows of reinforcement learning.
//!
//! **Order**: a file uses only files before it. `cpu` (whose own order is in `cpu/mod.rs`), `activation`, `shape`, `tape`, `layer_norm`, `mlp`,
//! `gradient` and `tangent`; `orthogonal`, `kaiming` and `initial_weights` need `mlp`; `guard` and `adam` need
//! `cpu::vector` alone, `stop` needs `guard`, `saved` all that is saved. Below all of them are the rooms `machine` and `rng`.
//!
//! **Words**, the same in all files. *Row*: a row of a minibatch. *Lanes*: [`LANES`](crate::machine::LANES) numbers of a row next to
//! each other, worked on together. *Panel*: so many columns of a matrix, all rows of them one piece of memory. *Tile*: some
//! rows by one panel or two, whose sums stay in registers. *Block*: a run of a sum's terms that is taken at a time. *Part*: what
//! one thread works on. *Keep*: what a pass leaves on its *tape* for a way back. *Adjoint*: the derivative of a loss by something.

pub mod activation;
pub mod adam;
pub mod cpu;
mod gradient;
pub mod guard;
mod initial_weights;
mod kaiming;
mod layer_norm;
pub mod mlp;
mod orthogonal;
mod saved;
pub mod shape;
mod stop;
pub mod tangent;
pub mod tape;

pub use activation::Activation;
pub use adam::Adam;
pub use cpu::matrix::Matrix;
pub use guard::LearnError;
pub use initial_weights::InitialWeights;
pub use mlp::Mlp;
pub use shape::Shape;
pub use stop::StopFlag;
pub use tangent::Tangent;
pub use tape::{Keep, Tape};

pub use crate::machine::Real;

#[cfg(test)]
mod isa_tests;
