//! What is measured on runs: the models' errors, theorems, probes, figures, benchmarks.

pub mod analysis;
pub mod bench;
pub mod estimators;
pub mod figures;
pub mod kept;
pub mod model_trial;
pub mod precision;
pub mod probe;
pub mod theory;
