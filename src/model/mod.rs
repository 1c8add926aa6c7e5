//! The learned models of the environment: the ensemble, how it is trained, its gradient loss, and rollouts through it.

pub mod dynamics;
pub mod fit;
mod fixed_fit;
pub mod gradient_loss;
pub mod grouping;
mod holdout;
mod learned;
pub mod likelihood;
pub(crate) mod likelihood_loss;
pub mod neighbours;
pub mod rollout;
mod sigmoid_head;
mod standardised;

pub use dynamics::{DynamicsModel, ModelConfig, StepTape};
pub use fit::{FitReport, FitWorkspace, fit};
pub use fixed_fit::{FixedFitReport, FixedFitWorkspace, fixed_fit};
pub use gradient_loss::{GradientLoss, GradientLossConfig};
pub use learned::{CadenceConfig, Imagined, LearnedModel, Models};
pub use neighbours::Neighbours;
pub use rollout::RolloutConfig;
pub use sigmoid_head::SigmoidHead;
pub use standardised::{MemberTapes, StandardisedModel, StandardisedModelConfig};
