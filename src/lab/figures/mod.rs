//! The pictures of what was measured.

pub mod analysis_table;
pub mod estimators;
pub mod gradient_errors;
pub mod model_trials;
pub mod run_curves;
pub mod run_figures;
pub mod theory;
