//! The entropy temperature α (eq. 13), learned through log α towards an entropy of −|A| (docs/algorithm.md, "The temperature").

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::nn::Adam;
use crate::run::{Entries, SnapshotError};

/// Entropy temperature α.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TemperatureConfig {
    /// Learn α; otherwise it stays at its start.
    #[serde(default = "learned")]
    pub automatic: bool,
    /// Adam's step size on log α (3e-4).
    #[schemars(extend("exclusiveMinimum" = 0.0), range(max = 1.0))]
    pub learning_rate: f64,
    /// log α at the start (0).
    #[schemars(range(min = -50.0, max = 50.0))]
    pub initial_log: f64,
    /// Entropy aimed at, per action dimension, in the units of log π (−1, so −|A| in all).
    #[schemars(range(min = -1000.0, max = 1000.0))]
    pub target_entropy_per_dim: f64,
}

fn learned() -> bool {
    true
}

/// log α and its optimiser.
#[derive(Clone, Debug)]
pub struct Temperature {
    /// log α.
    pub log_alpha: f64,
    /// Moments of log α.
    pub adam: Adam<f64>,
    /// Entropy aimed at, −|A| in environment units.
    pub target_entropy: f64,
    /// Whether log α is learned.
    pub automatic: bool,
}

impl Temperature {
    /// The temperature of a policy with `action_dim` actions.
    pub fn new(config: &TemperatureConfig, action_dim: usize) -> Self {
        Self {
            log_alpha: config.initial_log,
            adam: Adam::new(1, config.learning_rate),
            target_entropy: config.target_entropy_per_dim * action_dim as f64,
            automatic: config.automatic,
        }
    }

    /// α.
    pub fn alpha(&self) -> f64 {
        self.log_alpha.exp()
    }

    /// Saves or restores what is learned.
    ///
    /// # Errors
    /// When an entry is missing or of another size.
    pub fn visit(&mut self, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        let Self { log_alpha, adam, target_entropy: _, automatic: _ } = self;
        let mut numbers = [*log_alpha, adam.first[0], adam.second[0]];
        entries.array("temperature", &[3], &mut numbers)?;
        [*log_alpha, adam.first[0], adam.second[0]] = numbers;
        entries.value("temperature/updates", &mut adam.updates)
    }

    /// One step on −log α·(log π + target entropy), from the mean of log π over a minibatch; none where α is fixed.
    pub fn update(&mut self, mean_log_prob: f64) {
        if !self.automatic {
            return;
        }
        let gradient = [-(mean_log_prob + self.target_entropy)];
        let mut parameter = [self.log_alpha];
        self.adam.update_clipped(&mut parameter, &gradient, f64::INFINITY);
        self.log_alpha = parameter[0];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn temperature(automatic: bool) -> Temperature {
        let config = TemperatureConfig {
            automatic,
            learning_rate: 3e-4,
            initial_log: 0.0,
            target_entropy_per_dim: -1.0,
        };
        Temperature::new(&config, 3)
    }

    #[test]
    fn rises_when_entropy_is_short_falls_when_it_is_not_and_stays_when_fixed() {
        // Entropy −4 is below −3, and −2 is not.
        for (automatic, log_prob, expected) in
            [(true, 4.0, 3e-4), (true, 2.0, -3e-4), (false, 4.0, 0.0)]
        {
            let mut temperature = temperature(automatic);
            temperature.update(log_prob);
            assert!((temperature.log_alpha - expected).abs() < 1e-9, "{log_prob}");
        }
    }
}
