//! Inputs of networks at mean 0 and deviation 1.

use super::Replay;
use crate::machine::Real;
use crate::run::{Entries, SnapshotError};

/// Deviations under this count as 1.
const SMALLEST_DEVIATION: f64 = 1e-12;

/// x ↦ (x − mean)/deviation, of a training split.
#[derive(Clone, Debug, PartialEq)]
pub struct Standardiser<T> {
    /// `[observation_dim + action_dim]`.
    pub mean: Vec<T>,
    /// `[observation_dim + action_dim]`.
    pub deviation: Vec<T>,
}

impl<T: Real> Standardiser<T> {
    /// The identity.
    pub fn identity(dim: usize) -> Self {
        Self { mean: vec![T::ZERO; dim], deviation: vec![T::ONE; dim] }
    }

    /// Mean and (population) deviation of (s, a) over the given rows.
    pub fn fit(replay: &Replay, rows: &[u32], dim: usize) -> Self {
        let n = rows.len() as f64;
        let mut moments = vec![(0.0_f64, 0.0_f64); dim];
        let each = |row: u32, f: &mut dyn FnMut(usize, f64)| {
            let t = replay.get(row as usize);
            for (d, &x) in t.observation.iter().chain(t.action).enumerate() {
                f(d, f64::from(x));
            }
        };
        for &row in rows {
            each(row, &mut |d, x| moments[d].0 += x / n);
        }
        for &row in rows {
            let m = &mut moments;
            each(row, &mut |d, x| m[d].1 += (x - m[d].0) * (x - m[d].0) / n);
        }
        let deviation = |variance: f64| {
            let deviation = variance.sqrt();
            T::from_f64(if deviation < SMALLEST_DEVIATION { 1.0 } else { deviation })
        };
        Self {
            mean: moments.iter().map(|m| T::from_f64(m.0)).collect(),
            deviation: moments.iter().map(|m| deviation(m.1)).collect(),
        }
    }

    /// Writes the standardised row.
    #[inline]
    pub fn apply(&self, x: impl Iterator<Item = T>, out: &mut [T]) {
        let scale = self.mean.iter().zip(&self.deviation);
        for ((o, x), (&mean, &deviation)) in out.iter_mut().zip(x).zip(scale) {
            *o = (x - mean) / deviation;
        }
    }
}

impl Standardiser<f32> {
    /// Saves or restores the numbers, under the name of what they are the input of.
    ///
    /// # Errors
    /// When an entry is missing or of another size.
    pub fn visit(&mut self, name: &str, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        let Self { mean, deviation } = self;
        let size = [mean.len()];
        entries.array(&format!("{name}/input_mean"), &size, mean)?;
        entries.array(&format!("{name}/input_std"), &size, deviation)
    }
}
