//! The pictures of what was measured.

pub mod analysis_table;
pub mod gradient_errors;
pub mod model_trials;
pub mod theory;
