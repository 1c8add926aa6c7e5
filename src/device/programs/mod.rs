//! The updates of the methods as programs for a device. Each is compared with the CPU's on the same weights and draws
//! (`tests/device/`).

mod actor;
mod budget;
mod fitting;
mod imagination;
mod learner;
mod long_path;
mod members;
mod network;
mod normalised;
mod policy;
mod short_path;
mod short_update;
mod value_range;

pub use actor::{PathDraws, PathModels, PathShape, draws_width};
pub use budget::{BUDGET_FACTORS, BudgetData, BudgetLosses, BudgetRows, BudgetShape, BudgetState};
pub use fitting::{
    DirectionRowSizes, DirectionRows, DirectionsShape, FIT_FACTORS, FitData, FitRowSizes, FitRows,
    FitShape, FitState,
};
pub use imagination::{Elites, ElitesShape, ImaginedStep, excess};
pub use learner::{FACTORS, LearnerFactors, LearnerShape, LearnerState, TransitionRows};
pub use long_path::{LongPathModel, LongPathShape};
pub use members::DrawnMembers;
pub use network::{AdamFactors, StackShape, TrainedStack, all_finite};
pub use normalised::{NormalisedShape, NormalisedUnits};
pub use policy::{DrawnActions, PolicyShape};
pub use short_path::{ShortPathModels, ShortPathShape, ShortPathState};
pub use short_update::{CRITIC_NUMBERS, POLICY_NUMBERS, ShortPathRows, ShortPathUpdate};
