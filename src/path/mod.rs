//! A trajectory imagined in a model, and the adjoint along it: the gradient of what the policy is improved on.

mod adjoint;
mod imagine;
mod long;
mod objective;
mod short;
mod short_adjoint;
mod short_update;
mod update;
mod workspace;

pub use adjoint::Part;
pub use long::{LongReport, LongWorkspace, roll_out_states};
pub use objective::{GradientSource, Imagination, Objective, PathConfig, PolicyReport};
pub use short::{DerivativeSource, ShortPart, ShortPath, ShortPathConfig};
pub use short_update::{ShortPathReport, ShortPathWorkspace};
pub use update::PolicyUpdate;
pub use workspace::PolicyWorkspace;
