//! A run's life: start, resume, stop.

pub mod progress;
pub mod run;
pub mod saved;
pub mod signals;
