//! Many runs and trials: what a plan consists of, and what of it is still to be done.

pub mod cells;
pub mod trials;
