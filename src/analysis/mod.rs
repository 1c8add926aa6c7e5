//! What is measured on a finished or saved run.

pub mod gradient_error;
pub mod matrix;
pub mod mean_head;
pub mod model_trial;
pub mod policy_gradient;
pub mod precision;
pub mod probe;
pub mod theorem1;
pub mod theorem2;
pub mod theory;
