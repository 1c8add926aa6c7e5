//! What runs have measured, as pictures.

pub mod aggregate;
mod axis;
pub mod chart;
pub mod comparison;
pub mod curve_at_end;
pub mod curves;
pub mod film;
pub mod metric;
pub mod picture;
pub mod published;
pub mod runs;
pub mod scored_run;
pub mod tensorboard;

pub use picture::{Picture, PictureError};
