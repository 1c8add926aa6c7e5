//! Where a critic's values can lie, from the rewards that are seen: its networks' outputs are measured in it, and targets are clipped to it.

use crate::run::{Entries, SnapshotError};

/// Share of the rewards below the lower and above the upper end.
const SHARE: f64 = 0.01;
/// How fast the ends follow.
const RATE: f64 = 3e-4;
/// The half-width is at least this, so that values can be divided by it.
const LEAST_HALF_WIDTH: f64 = 1e-6;

/// Exponential means of two quantiles of the rewards, each as if it were met for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ValueRange {
    /// Value of a reward at the 1 % quantile.
    pub low: f64,
    /// Value of a reward at the 99 % quantile.
    pub high: f64,
    /// Batches of rewards seen.
    batches: u64,
}

impl ValueRange {
    /// The middle: the value where a network's output is 0.
    pub fn centre(&self) -> f64 {
        (self.low + self.high) / 2.0
    }

    /// What an output of 1 adds to the middle.
    pub fn half_width(&self) -> f64 {
        ((self.high - self.low) / 2.0).max(LEAST_HALF_WIDTH)
    }

    /// Takes in a batch of rewards, whose order is changed. The first one decides alone.
    pub fn note(&mut self, rewards: &mut [f64], discount: f64) {
        if rewards.is_empty() {
            return;
        }
        let mut quantile = |share: f64| {
            let at = ((rewards.len() - 1) as f64 * share).round() as usize;
            *rewards.select_nth_unstable_by(at, f64::total_cmp).1 / (1.0 - discount)
        };
        let (low, high) = (quantile(SHARE), quantile(1.0 - SHARE));
        let rate = if self.batches == 0 { 1.0 } else { RATE };
        self.low += rate * (low - self.low);
        self.high += rate * (high - self.high);
        self.batches += 1;
    }

    /// Its ends and how many batches it has seen, as a device has them.
    pub fn numbers(&self) -> [f64; 3] {
        [self.low, self.high, self.batches as f64]
    }

    /// The inverse of [`ValueRange::numbers`].
    pub fn of_numbers([low, high, batches]: [f64; 3]) -> Self {
        Self { low, high, batches: batches as u64 }
    }

    /// Saves or restores it.
    ///
    /// # Errors
    /// When an entry is missing or of another type.
    pub fn visit(&mut self, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        let Self { low, high, batches } = self;
        let mut numbers = [*low, *high];
        entries.array("value_range", &[2], &mut numbers)?;
        [*low, *high] = numbers;
        entries.value("value_range/batches", batches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_are_quantiles_of_the_first_batch_and_then_follow_slowly() {
        let mut range = ValueRange::default();
        let mut rewards: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        range.note(&mut rewards, 0.5);
        assert_eq!((range.low, range.high), (2.0, 198.0));
        assert_eq!((range.centre(), range.half_width()), (100.0, 98.0));
        range.note(&mut [1000.0; 7], 0.5);
        assert!((range.high - (198.0 + 3e-4 * (2000.0 - 198.0))).abs() < 1e-9);
        assert!((range.low - (2.0 + 3e-4 * (2000.0 - 2.0))).abs() < 1e-9);
    }
}
