//! The learned models of the environment: the ensemble, how it is trained, its gradient loss, and rollouts through it.

pub mod bernoulli;
pub mod budget;
pub mod dynamics;
pub mod ensemble;
pub mod fit;
mod gradient_data;
pub mod gradient_loss;
mod gradient_term;
pub mod grouping;
mod holdout;
mod learned;
pub mod likelihood;
pub(crate) mod likelihood_loss;
pub mod neighbours;
mod noise;
mod normalised;
pub mod rollout;
pub mod secant;
mod termination;
mod termination_fit;

pub use budget::{BudgetConfig, BudgetReport, BudgetWorkspace, RowDraws, Split, fit_within};
pub use dynamics::{DynamicsModel, ModelConfig, StepTape};
pub use ensemble::{Credits, Ensemble, EnsembleReport};
pub use fit::{FitReport, FitWorkspace, fit};
pub use gradient_data::GradientData;
pub use gradient_loss::{Estimator, GradientLoss, GradientLossConfig, OutputWeights};
pub use learned::{CadenceConfig, Imagined, LearnedModel, Models};
pub use neighbours::{InputCoordinates, Neighbours};
pub use normalised::{NormalisedMember, NormalisedModel, NormalisedTape};
pub use rollout::RolloutConfig;
pub use termination::{Ending, EndingTape, TerminationHead, TerminationSource};
pub use termination_fit::LearnedTermination;
