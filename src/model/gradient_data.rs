//! What the gradient loss is told by the real transitions, renewed at each training: neighbours, weights and lengths.

use super::gradient_loss::{GradientLoss, GradientLossConfig, OutputWeights};
use super::neighbours::Neighbours;
use crate::data::{Moments, Replay, Transition, moments};

/// Share of the neighbours that are nearer than ε.
const NEAREST: f64 = 0.05;

/// Neighbour lists of the newest real transitions, and what R's residuals are weighted by.
#[derive(Clone, Debug)]
pub struct GradientData {
    /// The lists.
    pub neighbours: Neighbours,
    config: GradientLossConfig,
    /// |S| and |A|.
    sizes: (usize, usize),
    /// ρ², `[label_dim]`; empty where all are 1.
    output_weights: Vec<f64>,
    least_length: Option<f64>,
}

impl GradientData {
    /// For transitions of these many observation and action entries; nothing is known of them yet.
    pub fn new(config: &GradientLossConfig, sizes: (usize, usize)) -> Self {
        let lists = Neighbours::new(config.neighbours, config.window, sizes.0 + sizes.1);
        Self {
            neighbours: lists.in_coordinates(config.coordinates),
            config: config.clone(),
            sizes,
            output_weights: Vec::new(),
            least_length: None,
        }
    }

    /// Takes in what was pushed since the last call. `value_slopes` are E[(∂V/∂s'_d)²] times γ², `[observation_dim]`, and are asked for only
    /// where outputs are weighted by them.
    pub fn update(&mut self, replay: &Replay, value_slopes: impl FnOnce() -> Vec<f64>) {
        self.neighbours.update(replay);
        let variances = || {
            let window = self.neighbours.sequences();
            let rows = window.map(|sequence| replay.get(replay.row_of(sequence)));
            moments(rows, 1 + self.sizes.0, Transition::label::<f64>)
        };
        self.output_weights = match self.config.output_weights {
            OutputWeights::Equal => Vec::new(),
            OutputWeights::Deviation => {
                variances().iter().map(|m| m.deviation().powi(-2)).collect()
            }
            OutputWeights::Value => by_value(&variances(), &value_slopes()),
        };
        let least = || self.neighbours.distance_quantile(NEAREST);
        self.least_length = self.config.unit_directions.then(least);
    }

    /// R with these data.
    pub fn loss(&self) -> GradientLoss<'_> {
        GradientLoss {
            neighbours: &self.neighbours,
            weight: self.config.weight,
            directions: self.config.directions_per_row,
            estimator: self.config.estimator,
            output_weights: &self.output_weights,
            least_length: self.least_length,
        }
    }
}

/// ρ² in the proportions 1 for the reward to `slopes` for the next observation, such that the mean of ρ²·variance is 1, as it is with
/// [`OutputWeights::Deviation`]; these where value depends on nothing that varies.
pub(super) fn by_value(outputs: &[Moments], slopes: &[f64]) -> Vec<f64> {
    let weights: Vec<f64> = std::iter::once(1.0).chain(slopes.iter().copied()).collect();
    let spread = outputs.iter().zip(&weights).map(|(m, w)| m.variance * w).sum::<f64>();
    let factor = outputs.len() as f64 / spread;
    if !factor.is_finite() {
        return outputs.iter().map(|m| m.deviation().powi(-2)).collect();
    }
    weights.iter().map(|w| w * factor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_weights_are_proportional_and_normalised() {
        let outputs = [4.0, 0.5, 2.0].map(|variance| Moments { mean: 1.0, variance });
        let weights = by_value(&outputs, &[3.0, 0.0]);
        assert!((weights[1] / weights[0] - 3.0).abs() < 1e-12 && weights[2] == 0.0, "{weights:?}");
        let spread: f64 = outputs.iter().zip(&weights).map(|(m, w)| m.variance * w).sum();
        assert!((spread / 3.0 - 1.0).abs() < 1e-12, "{spread}");
        // A constant reward and a flat critic: nothing to go by.
        let outputs = [0.0, 0.25, 4.0].map(|variance| Moments { mean: 0.0, variance });
        assert_eq!(by_value(&outputs, &[0.0, 0.0]), [1.0, 4.0, 0.25]);
    }
}
