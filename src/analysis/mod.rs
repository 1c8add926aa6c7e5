//! What is measured on a finished or saved run.

pub mod precision;
pub mod probe;
