//! How much of a policy update is signal: the imagined policy gradient of independent minibatches of a run's own size, as training computes
//! it, in `f32`. The cosine between two of them is the share of their length that is the expected gradient's.

use serde::Serialize;

use crate::data::Replay;
use crate::path::{GradientSource, Imagination, Objective, PolicyWorkspace};
use crate::rng::Rng;

/// Minibatches that are compared, each with each.
const MINIBATCHES: usize = 8;

/// The noise of policy gradients.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GradientNoise {
    /// Rows of a minibatch.
    pub batch: usize,
    /// Minibatches.
    pub minibatches: usize,
    /// With the derivatives that the run uses.
    pub own: SourceNoise,
    /// With those of M^p's mean head instead, on the same draws; `None` where the run uses these.
    pub prediction_model: Option<SourceNoise>,
    /// Mean cosine between the two on the same draws.
    pub between: Option<f64>,
}

/// The noise with the derivatives of one source.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SourceNoise {
    /// Mean cosine between the gradients of two minibatches.
    pub cosine: f64,
    /// Rows with which that cosine would be ½; `None` where no signal shows.
    pub rows_for_half: Option<f64>,
    /// Share of the gradient's entries that are clipped.
    pub clipped: f64,
    /// Share of Σ|λ| that 1 % of all rows have, those with the largest.
    pub largest_percent: f64,
    /// Share of Σ|λ| that a tenth of all rows have.
    pub largest_tenth: f64,
}

/// Measures it from start states of `real`. `None` where the models imagine states that are not finite.
pub fn gradient_noise(
    of: Objective<'_, f32>,
    real: &Replay,
    batch: usize,
    seed: u64,
) -> Option<GradientNoise> {
    let (own, gradients) = of_source(of, real, batch, seed)?;
    let other = of.imagination.filter(|i| i.gradient_source == GradientSource::GradientModel);
    let other = other.map(|imagination| {
        let gradient_source = GradientSource::PredictionModel;
        let imagination = Some(Imagination { gradient_source, ..imagination });
        of_source(Objective { imagination, ..of }, real, batch, seed)
    });
    let (prediction_model, between) = match other {
        None => (None, None),
        Some(other) => {
            let (noise, others) = other?;
            let pairs = gradients.iter().zip(&others);
            let sum: f64 = pairs.map(|(a, b)| cosine(a, b)).sum();
            (Some(noise), Some(sum / MINIBATCHES as f64))
        }
    };
    Some(GradientNoise { batch, minibatches: MINIBATCHES, own, prediction_model, between })
}

fn of_source(
    of: Objective<'_, f32>,
    real: &Replay,
    batch: usize,
    seed: u64,
) -> Option<(SourceNoise, Vec<Vec<f32>>)> {
    let mut workspace = PolicyWorkspace::new(&of, batch);
    let mut rng = Rng::new(seed, "gradient noise");
    let start = |_: usize, rng: &mut Rng| real.get(rng.below(real.len())).observation;
    let (mut gradients, mut adjoints) = (Vec::new(), Vec::new());
    for _ in 0..MINIBATCHES {
        workspace.draw(&of, start, &mut rng);
        let report = workspace.differentiate(&of);
        if report.broken > 0 || !workspace.gradient().iter().all(|g| g.is_finite()) {
            return None;
        }
        gradients.push(workspace.gradient().to_vec());
        adjoints.extend(workspace.adjoint_sizes());
    }
    let clip = of.policy.gradient_clip;
    // Padding is 0 and no entry.
    let entries = || gradients.iter().flatten().filter(|g| **g != 0.0);
    let clipped = entries().filter(|g| f64::from(g.abs()) > clip).count();
    let noise = SourceNoise {
        clipped: clipped as f64 / entries().count().max(1) as f64,
        largest_percent: share_of_largest(&mut adjoints, 0.01),
        largest_tenth: share_of_largest(&mut adjoints, 0.1),
        ..signal(&gradients, batch)
    };
    Some((noise, gradients))
}

/// The figures of [`SourceNoise`] that follow from the gradients of minibatches.
fn signal(gradients: &[Vec<f32>], batch: usize) -> SourceNoise {
    let (mut cosines, mut products, mut pairs) = (0.0, 0.0, 0.0);
    for (i, a) in gradients.iter().enumerate() {
        for b in &gradients[..i] {
            cosines += cosine(a, b);
            products += product(a, b);
            pairs += 1.0;
        }
    }
    // E[g·g'] of independent ones is ‖E g‖², and E‖g‖² − ‖E g‖² the noise, which falls as 1/rows.
    let signal = products / pairs;
    let squares = gradients.iter().map(|g| product(g, g)).sum::<f64>() / gradients.len() as f64;
    let rows_for_half = (signal > 0.0).then(|| batch as f64 * (squares - signal).max(0.0) / signal);
    SourceNoise {
        cosine: cosines / pairs,
        rows_for_half,
        clipped: 0.0,
        largest_percent: 0.0,
        largest_tenth: 0.0,
    }
}

/// The share of the sum that the largest `share` of the sizes have; of one at least.
fn share_of_largest(sizes: &mut [f64], share: f64) -> f64 {
    sizes.sort_by(|a, b| b.total_cmp(a));
    let count = ((sizes.len() as f64 * share).round() as usize).max(1);
    let total = sizes.iter().sum::<f64>();
    if total > 0.0 { sizes[..count].iter().sum::<f64>() / total } else { 0.0 }
}

fn product(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let norms = (product(a, a) * product(b, b)).sqrt();
    if norms > 0.0 { product(a, b) / norms } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signal_and_noise_of_known_sizes_are_found() {
        // A signal of length 2 and noise of length about 4 in 2000 entries: cosine 4/(4 + 16) = 0.2, and ½ with four times the rows.
        let mut rng = Rng::new(0, "noise test");
        let gradients: Vec<Vec<f32>> = (0..8)
            .map(|_| {
                let mut g = vec![0.0_f32; 2000];
                rng.fill_normal(&mut g);
                g.iter_mut().for_each(|g| *g *= 4.0 / 2000.0_f32.sqrt());
                g[0] += 2.0;
                g
            })
            .collect();
        let found = signal(&gradients, 256);
        // Each pair's product is off by 16/√2000 = 0.36 at one deviation, of 4; the mean of 28 pairs by less than 0.2.
        assert!((found.cosine - 0.2).abs() < 0.03, "{found:?}");
        let rows = found.rows_for_half.unwrap();
        assert!((rows / 1024.0 - 1.0).abs() < 0.2, "{rows}");
        let mut opposite = vec![gradients[0].clone(); 2];
        opposite[1].iter_mut().for_each(|g| *g = -*g);
        assert_eq!(signal(&opposite, 256).rows_for_half, None);
    }

    #[test]
    fn the_largest_rows_are_found() {
        let mut sizes: Vec<f64> = (0..100).map(|i| f64::from(i % 10)).collect();
        assert!((share_of_largest(&mut sizes, 0.1) - 90.0 / 450.0).abs() < 1e-12);
        assert!((share_of_largest(&mut sizes, 0.001) - 9.0 / 450.0).abs() < 1e-12);
        assert_eq!(share_of_largest(&mut [0.0; 4], 0.5), 0.0);
    }
}
