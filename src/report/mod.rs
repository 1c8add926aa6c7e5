//! What runs have measured, as pictures.

pub mod aggregate;
mod axis;
pub mod chart;
pub mod curves;
pub mod film;
pub mod picture;
pub mod published;
mod runs;

pub use picture::{Picture, PictureError};
