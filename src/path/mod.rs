//! A trajectory, imagined in a model or recorded in the environment, and the adjoint along it: the gradient of what the policy is improved
//! on.

mod action_slopes;
mod adjoint;
mod imagine;
mod long;
mod mean_value_slopes;
mod objective;
mod recorded;
mod recorded_workspace;
mod short;
mod short_adjoint;
mod short_update;
mod step;
mod update;
mod valuation;
mod value_slopes;
mod workspace;

pub use action_slopes::ActionSlopes;
pub use adjoint::PathPart;
pub use long::{LongReport, LongWorkspace, roll_out_states};
pub use mean_value_slopes::mean_value_slopes;
pub use objective::{GradientSource, Imagination, Objective, PathConfig, PolicyReport};
pub use recorded::{RecordedObjective, RecordedPart, Recording};
pub use recorded_workspace::{RecordedReport, RecordedWorkspace};
pub use short::{DerivativeSource, ShortPart, ShortPath, ShortPathConfig};
pub use short_update::{ShortPathReport, ShortPathWorkspace};
pub use update::PolicyUpdate;
pub use valuation::{EndValue, Valuation};
pub use value_slopes::value_slopes;
pub use workspace::PolicyWorkspace;

#[cfg(test)]
mod recorded_tests;
