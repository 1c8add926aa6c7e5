//! Multilayer perceptrons with four passes, the optimiser, the elementwise functions. Nothing here knows of reinforcement learning.

pub mod activation;
pub mod adam;
pub mod cpu;
mod gradient;
pub mod guard;
pub mod mlp;
mod orthogonal;
mod saved;
pub mod shape;
pub mod tangent;
pub mod tape;

pub use activation::Activation;
pub use adam::Adam;
pub use cpu::matrix::Matrix;
pub use guard::LearnError;
pub use mlp::Mlp;
pub use shape::Shape;
pub use tangent::Tangent;
pub use tape::{Keep, Tape};

pub use crate::machine::Real;
