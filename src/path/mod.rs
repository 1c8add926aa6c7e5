//! A trajectory imagined in a model, and the adjoint along it: the gradient of what the policy is improved on.

mod action_slopes;
mod adjoint;
mod imagine;
mod objective;
mod update;
mod workspace;

pub use action_slopes::ActionSlopes;
pub use adjoint::Part;
pub use objective::{GradientSource, Imagination, Objective, PathConfig, PolicyReport};
pub use update::PolicyUpdate;
pub use workspace::PolicyWorkspace;
