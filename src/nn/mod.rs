//! Arithmetic: multilayer perceptrons with four passes, the optimiser, the elementwise functions. Nothing here knows
//! of reinforcement learning.

pub mod activation;
pub mod adam;
pub mod gemm;
mod gradient;
pub mod isa;
pub mod matrix;
pub mod mlp;
pub mod panels;
mod real;
pub mod shape;
mod sparse;
mod stretches;
pub mod tangent;
pub mod tape;
mod tile;
pub mod vector;

pub use activation::Activation;
pub use adam::Adam;
pub use matrix::Matrix;
pub use mlp::Mlp;
pub use real::Real;
pub use shape::Shape;
pub use tangent::Tangent;
pub use tape::{Keep, Tape};
