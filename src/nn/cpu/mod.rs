//! The kernels: products of matrices in panels and register tiles, and passes over vectors.

pub(crate) mod epilogue;
pub mod gemm;
pub mod lanes;
pub mod matrix;
pub(crate) mod pack;
pub(crate) mod panels;
pub(crate) mod sparse;
pub(crate) mod terms;
pub(crate) mod tile;
pub mod vector;
pub(crate) mod wide;
pub(crate) mod wide_terms;
