//! What a training within a budget is made with: rows, how much they count, and the units that its loss is measured in.

use super::budget_config::BudgetConfig;
use super::secant::SecantUnits;
use super::secant_data::SecantTerm;
use super::split::{RowDraws, Split};
use crate::data::{Replay, Standardiser};
use crate::nn::{Real, StopFlag, Tape};

/// What one training is made with.
pub(super) struct Lesson<'a, T> {
    pub replay: &'a Replay,
    pub split: &'a Split,
    pub draws: RowDraws,
    pub units: Option<(SecantTerm<'a, T>, SecantUnits<'a, T>)>,
    inputs: &'a Standardiser<T>,
    pub labels: &'a Standardiser<T>,
    pub config: &'a BudgetConfig,
    pub stop: &'a StopFlag,
}

impl<'a, T: Real> Lesson<'a, T> {
    /// A training with these standardisers of (s, a) and of (r, Δs).
    pub fn new(
        replay: &'a Replay,
        (split, draws): (&'a Split, RowDraws),
        secants: Option<SecantTerm<'a, T>>,
        (inputs, labels): (&'a Standardiser<T>, &'a Standardiser<T>),
        config: &'a BudgetConfig,
        stop: &'a StopFlag,
    ) -> Self {
        let units = secants.map(|term| {
            let SecantTerm { weights, least_square, .. } = term;
            let (label_scale, least_square) = (&labels.deviation[..], T::from_f64(least_square));
            (term, SecantUnits { inputs, label_scale, weights, least_square })
        });
        Self { replay, split, draws, units, inputs, labels, config, stop }
    }

    /// How many rows these are, and how many of them have secants.
    pub fn counts(&self, rows: &[u32]) -> (usize, usize) {
        let has = |&&row: &&u32| self.units.is_some_and(|(term, _)| term.neighbours.has(row));
        (rows.len(), rows.iter().filter(has).count())
    }

    /// Secants of a row.
    pub fn directions(&self) -> usize {
        self.units.map_or(0, |(term, _)| term.directions)
    }

    /// Puts some rows, and then the far ends of their secants, on a tape; how many these are.
    pub fn load(&self, rows: &[u32], ends: &[u32], tape: &mut Tape<T>) -> usize {
        for (i, &row) in rows.iter().chain(ends).enumerate() {
            let t = self.replay.get(row as usize);
            let input = tape.input.row_mut(i);
            self.inputs.apply((0..input.len()).map(|d| t.input(d)), input);
        }
        rows.len() + ends.len()
    }
}
