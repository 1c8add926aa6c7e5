//! The kernels: products of matrices in panels and register tiles, and passes over vectors. `docs/kernels.md` says how they
//! are built, and why.
//!
//! **Order**: a file uses only files before it. `lanes`, `vector`, `matrix`, `panels`, `pack`, `epilogue`, `tile`, `wide`, `gemm`, `outer`,
//! `terms`, `wide_terms`, `sparse`.

pub(crate) mod epilogue;
pub mod gemm;
pub mod lanes;
pub mod matrix;
pub(crate) mod outer;
pub(crate) mod pack;
pub(crate) mod panels;
pub(crate) mod sparse;
pub(crate) mod terms;
pub(crate) mod tile;
pub mod vector;
pub(crate) mod wide;
pub(crate) mod wide_terms;

#[cfg(test)]
mod tests;
