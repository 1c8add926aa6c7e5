//! What runs have measured, as pictures.

pub mod chart;
pub mod curves;
pub mod gradient_errors;
pub mod picture;

pub use picture::{Picture, PictureError};
