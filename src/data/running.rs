//! Means and deviations of numbers that come row by row.

use super::Standardiser;
use crate::machine::Real;
use crate::run::{Entries, SnapshotError};

/// Means and squared deviations of all rows seen (Welford, 1962).
#[derive(Clone, Debug, PartialEq)]
pub struct RunningMoments {
    rows: u64,
    mean: Vec<f64>,
    /// Sum of the squared deviations from the mean.
    squares: Vec<f64>,
}

impl RunningMoments {
    /// Of rows of `dim` numbers, none of them seen yet.
    pub fn new(dim: usize) -> Self {
        Self { rows: 0, mean: vec![0.0; dim], squares: vec![0.0; dim] }
    }

    /// Takes a row in.
    pub fn add(&mut self, row: impl Iterator<Item = f64>) {
        self.rows += 1;
        let n = self.rows as f64;
        for ((mean, squares), x) in self.mean.iter_mut().zip(&mut self.squares).zip(row) {
            let before = x - *mean;
            *mean += before / n;
            *squares += before * (x - *mean);
        }
    }

    /// Writes mean and (population) deviation of numbers `first..first + dim` of a row, as many as the standardiser has; deviations
    /// under `smallest`, and all before the first row, count as 1.
    pub fn write<T: Real>(&self, first: usize, smallest: f64, standardiser: &mut Standardiser<T>) {
        let Standardiser { mean, deviation } = standardiser;
        for (d, (mean, deviation)) in mean.iter_mut().zip(deviation).enumerate() {
            *mean = T::from_f64(self.mean[first + d]);
            let found = (self.squares[first + d] / self.rows.max(1) as f64).sqrt();
            *deviation = if found < smallest { T::ONE } else { T::from_f64(found) };
        }
    }

    /// Saves or restores everything under `name`.
    ///
    /// # Errors
    /// When an entry is missing or of another size.
    pub fn visit(&mut self, name: &str, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        let Self { rows, mean, squares } = self;
        let size = [mean.len()];
        entries.value(&format!("{name}/rows"), rows)?;
        entries.array(&format!("{name}/mean"), &size, mean)?;
        entries.array(&format!("{name}/squares"), &size, squares)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_all_rows_and_small_deviations_count_as_1() {
        let mut moments = RunningMoments::new(3);
        let mut standardiser = Standardiser::<f64>::identity(2);
        moments.write(1, 1e-6, &mut standardiser);
        assert_eq!(standardiser, Standardiser::identity(2));
        let rows: Vec<[f64; 3]> = (0..50)
            .map(|i| [0.0, 1e3 + f64::from(i * 7 % 50), 3.0 + 1e-8 * f64::from(i)])
            .collect();
        rows.iter().for_each(|row| moments.add(row.iter().copied()));
        moments.write(1, 1e-6, &mut standardiser);
        // The numbers 0 to 49, in another order.
        assert!((standardiser.mean[0] - 1024.5).abs() < 1e-10);
        let deviation = ((50.0_f64 * 50.0 - 1.0) / 12.0).sqrt();
        assert!((standardiser.deviation[0] - deviation).abs() < 1e-10);
        assert_eq!(standardiser.deviation[1], 1.0);
    }
}
