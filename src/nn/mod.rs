//! Arithmetic: multilayer perceptrons with four passes, the optimiser, the elementwise functions. Nothing here knows
//! of reinforcement learning.

pub mod activation;
pub mod adam;
pub mod gemm;
pub mod isa;
pub mod matrix;
pub mod mlp;
mod real;
pub mod tangent;

pub use activation::Activation;
pub use adam::Adam;
pub use matrix::Matrix;
pub use mlp::{Keep, Mlp, Shape, Tape};
pub use real::Real;
pub use tangent::Tangent;
