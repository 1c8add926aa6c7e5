//! The off-line study of losses: from a saved run's own transitions, which of them tells its policy the truth (`ddppo figure estimators`).

mod of_ddppo;
mod of_plus;
pub mod study;
mod subject;
pub mod trial;
