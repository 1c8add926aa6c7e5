//! What runs have measured, as pictures.

pub mod aggregate;
mod axis;
pub mod chart;
pub mod curves;
pub mod gradient_errors;
pub mod model_trials;
pub mod picture;
pub mod published;
pub mod theory;

pub use picture::{Picture, PictureError};
