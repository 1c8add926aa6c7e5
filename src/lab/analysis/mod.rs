//! What is measured on a finished or saved run.

pub mod calibration;
mod end_values;
pub mod gradient_error;
pub mod gradient_noise;
pub mod horizons;
mod learned_steps;
pub mod mean_head;
pub mod multi_step;
pub mod observer;
pub mod policy_gradient;
mod real_objective;
mod real_path;
mod suitable;
pub mod theorem1_terms;
mod whole;

pub use suitable::{Unsuitable, trained_models};
pub use whole::{Analysis, AnalysisError, PairedBias, analyse};
