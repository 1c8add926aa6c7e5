//! The parts of a run that are timed, by name.

use super::error::BenchError;
use crate::config::suggest;

/// A part of a run that is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Twin critic, its targets and the temperature, one minibatch.
    CriticUpdate,
    /// The policy through both models, one minibatch.
    PolicyUpdate,
    /// All members of the gradient model, one minibatch of likelihood and one of R.
    GradientModelStep,
    /// A sampled step of 10 000 rows through one member.
    ModelForward10k,
    /// The same with secants instead of R: `--variant secant`.
    SecantStep,
    /// Neighbour lists after 250 new transitions, window full.
    NeighbourUpdate,
    /// The same in standardised coordinates, with the secants' n.
    StandardisedNeighbours,
    /// A rollout of one step from 100 000 states into the model buffer.
    Rollout100k,
    /// The policy acts once, the environment steps, the transition is stored.
    EnvironmentStep,
    /// The task's evaluation episodes at their full length.
    Evaluation,
    /// Saving everything learned with 10 250 real and 400 000 imagined transitions, of which 250 and 100 000 are new.
    Checkpoint,
}

impl Piece {
    /// All pieces, those that a [`super::twin`] has first.
    pub const ALL: [Self; 11] = [
        Self::CriticUpdate,
        Self::PolicyUpdate,
        Self::GradientModelStep,
        Self::ModelForward10k,
        Self::SecantStep,
        Self::NeighbourUpdate,
        Self::StandardisedNeighbours,
        Self::Rollout100k,
        Self::EnvironmentStep,
        Self::Evaluation,
        Self::Checkpoint,
    ];
    /// The pieces that a [`super::twin`] has too.
    pub const IN_TWIN: usize = 4;

    /// Name on the command line and in the output.
    pub fn name(self) -> &'static str {
        match self {
            Self::CriticUpdate => "critic_update",
            Self::PolicyUpdate => "policy_update",
            Self::GradientModelStep => "gradient_model_step",
            Self::ModelForward10k => "model_forward_10k",
            Self::SecantStep => "secant_step",
            Self::NeighbourUpdate => "neighbour_update",
            Self::StandardisedNeighbours => "standardised_neighbours",
            Self::Rollout100k => "rollout_100k",
            Self::EnvironmentStep => "environment_step",
            Self::Evaluation => "evaluation",
            Self::Checkpoint => "checkpoint",
        }
    }

    /// The piece of this name among `choices`.
    ///
    /// # Errors
    /// When there is none: the message lists the choices.
    pub fn parse(name: &str, choices: &[Self]) -> Result<Self, BenchError> {
        choices.iter().copied().find(|piece| piece.name() == name).ok_or_else(|| {
            let names = || choices.iter().map(|piece| piece.name());
            BenchError::UnknownPiece {
                name: name.to_owned(),
                hint: suggest::hint(name, names()),
                known: names().collect::<Vec<_>>().join(", "),
            }
        })
    }
}
