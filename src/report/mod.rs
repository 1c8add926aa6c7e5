//! What runs have measured, as pictures.

mod axis;
pub mod chart;
pub mod curves;
pub mod gradient_errors;
pub mod picture;
pub mod published;

pub use picture::{Picture, PictureError};
