//! What is measured on a finished or saved run.

pub mod gradient_error;
pub mod mean_head;
pub mod policy_gradient;
pub mod precision;
pub mod probe;
