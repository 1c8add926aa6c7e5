//! The runs of a group in the middle of a step.

use super::parts::LearnedParts;
use crate::nn::LearnError;
use crate::run::Tally;

/// The runs of a group while it learns. A run without parts takes no part; the outcome says why, if it failed.
pub(super) struct Learning<'m> {
    pub parts: Vec<Option<LearnedParts<'m>>>,
    pub tallies: Vec<Option<&'m mut Tally>>,
    pub outcomes: Vec<Result<(), LearnError>>,
}

impl Learning<'_> {
    /// A run that has failed takes part no more.
    pub fn note(&mut self, slot: usize, outcome: Result<(), LearnError>) {
        if outcome.is_err() && self.outcomes[slot].is_ok() {
            self.outcomes[slot] = outcome;
            self.parts[slot] = None;
        }
    }

    /// Whether no run takes part.
    pub fn is_over(&self) -> bool {
        self.parts.iter().all(Option::is_none)
    }
}
