//! The learned models of the environment: the ensemble, how it is trained, its gradient loss, and rollouts through it.

pub mod bernoulli;
pub mod dynamics;
pub mod ensemble;
pub mod fit;
pub mod gradient_loss;
pub mod grouping;
mod holdout;
mod learned;
pub mod likelihood;
pub(crate) mod likelihood_loss;
pub mod neighbours;
pub mod rollout;
mod termination;
mod termination_fit;

pub use dynamics::{DynamicsModel, ModelConfig, StepTape};
pub use ensemble::{Credits, Ensemble, EnsembleReport};
pub use fit::{FitReport, FitWorkspace, fit};
pub use gradient_loss::{GradientLoss, GradientLossConfig};
pub use learned::{CadenceConfig, Imagined, LearnedModel, Models};
pub use neighbours::Neighbours;
pub use rollout::RolloutConfig;
pub use termination::{Ending, EndingTape, TerminationHead, TerminationSource};
pub use termination_fit::LearnedTermination;
