//! Arithmetic: multilayer perceptrons with four passes, the optimiser, the elementwise functions. Nothing here knows
//! of reinforcement learning.

mod real;

pub use real::Real;
