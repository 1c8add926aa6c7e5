//! What runs have measured, as pictures.

pub mod aggregate;
pub mod chart;
pub mod curves;
pub mod gradient_errors;
pub mod model_trials;
pub mod picture;
pub mod theory;

pub use picture::{Picture, PictureError};
