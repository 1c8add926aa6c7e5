//! The kernels: products of matrices in panels and register tiles, and passes over vectors.

pub mod gemm;
pub mod matrix;
pub mod panels;
pub(crate) mod sparse;
pub(crate) mod stretches;
pub(crate) mod tile;
pub mod vector;
