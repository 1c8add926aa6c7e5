//! The learned models of the environment: the ensemble, how it is trained, its gradient loss, and rollouts through it.

pub mod budget;
pub mod dynamics;
pub mod fit;
pub mod gradient_loss;
pub mod grouping;
mod holdout;
mod learned;
pub mod likelihood;
pub(crate) mod likelihood_loss;
pub mod neighbours;
mod normalised;
mod raw;
pub mod rollout;
pub mod secant;

pub use budget::{BudgetConfig, BudgetReport, BudgetWorkspace, RowDraws, Split, fit_within};
pub use dynamics::{DynamicsModel, ModelConfig, StepTape};
pub use fit::{FitReport, FitWorkspace, fit};
pub use gradient_loss::{GradientLoss, GradientLossConfig};
pub use learned::{CadenceConfig, Imagined, LearnedModel, Models};
pub use neighbours::Neighbours;
pub use normalised::{NormalisedMember, NormalisedModel, NormalisedTape};
pub use rollout::RolloutConfig;
