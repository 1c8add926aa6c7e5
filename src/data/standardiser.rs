//! Inputs of networks at mean 0 and deviation 1.

use super::replay::{Replay, Transition};
use crate::machine::Real;
use crate::run::{Entries, SnapshotError};

/// Deviations under this count as 1.
const SMALLEST_DEVIATION: f64 = 1e-12;

/// Mean and (population) variance of a number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// The mean.
    pub mean: f64,
    /// The variance.
    pub variance: f64,
}

impl Moments {
    /// The deviation, to divide by: one that is as good as 0 counts as 1.
    pub fn deviation(&self) -> f64 {
        let deviation = self.variance.sqrt();
        if deviation < SMALLEST_DEVIATION { 1.0 } else { deviation }
    }
}

/// Moments over transitions of the numbers `of(transition, d)`, d < `dim`.
pub fn moments<'a>(
    rows: impl Iterator<Item = Transition<'a>> + Clone,
    dim: usize,
    of: impl Fn(&Transition<'a>, usize) -> f64,
) -> Vec<Moments> {
    let n = rows.clone().count() as f64;
    let mut moments = vec![Moments::default(); dim];
    for t in rows.clone() {
        moments.iter_mut().enumerate().for_each(|(d, m)| m.mean += of(&t, d) / n);
    }
    for t in rows {
        for (d, m) in moments.iter_mut().enumerate() {
            let x = of(&t, d);
            m.variance += (x - m.mean) * (x - m.mean) / n;
        }
    }
    moments
}

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
        let rows = rows.iter().map(|&row| replay.get(row as usize));
        Self::of(&moments(rows, dim, Transition::input::<f64>))
    }

    /// By these moments.
    pub fn of(moments: &[Moments]) -> Self {
        Self {
            mean: moments.iter().map(|m| T::from_f64(m.mean)).collect(),
            deviation: moments.iter().map(|m| T::from_f64(m.deviation())).collect(),
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
