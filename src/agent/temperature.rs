//! The entropy temperature α (eq. 13), learned through log α towards an entropy of −|A| (SPEC section 3).

use crate::nn::Adam;

/// log α and its optimiser.
#[derive(Clone, Debug)]
pub struct Temperature {
    /// log α.
    pub log_alpha: f64,
    /// Moments of log α.
    pub adam: Adam<f64>,
    /// Entropy aimed at, −|A| in environment units.
    pub target_entropy: f64,
}

impl Temperature {
    /// A temperature at e^`initial_log`.
    pub fn new(initial_log: f64, target_entropy: f64, learning_rate: f64) -> Self {
        Self { log_alpha: initial_log, adam: Adam::new(1, learning_rate), target_entropy }
    }

    /// α.
    pub fn alpha(&self) -> f64 {
        self.log_alpha.exp()
    }

    /// One step on −log α·(log π + target entropy), from the mean of log π over a minibatch.
    pub fn update(&mut self, mean_log_prob: f64) {
        let gradient = [-(mean_log_prob + self.target_entropy)];
        let mut parameter = [self.log_alpha];
        self.adam.update_clipped(&mut parameter, &gradient, f64::INFINITY);
        self.log_alpha = parameter[0];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_when_entropy_is_short_and_falls_when_it_is_not() {
        let mut temperature = Temperature::new(0.0, -3.0, 3e-4);
        temperature.update(4.0); // entropy −4 is below −3
        assert!((temperature.log_alpha - 3e-4).abs() < 1e-9);
        let mut temperature = Temperature::new(0.0, -3.0, 3e-4);
        temperature.update(2.0);
        assert!((temperature.log_alpha + 3e-4).abs() < 1e-9);
    }
}
