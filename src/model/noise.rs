//! The noise with which a model would have made what really happened.

use super::dynamics::DynamicsModel;
use crate::nn::Real;

impl<T: Real> DynamicsModel<T> {
    /// ξ = (y − μ)/σ of a row from its output (μ, raw log-variance), `[2·label_dim]`: μ + σ·ξ is the label y = (r, Δs) again. `label`
    /// and `noise` are `[label_dim]`.
    pub fn infer_noise(&self, output: &[T], label: &[T], noise: &mut [T]) {
        let (mean, raw) = output.split_at(label.len());
        for (d, noise) in noise.iter_mut().enumerate() {
            *noise = (label[d] - mean[d]) / self.bounds.deviation(d, raw[d]);
        }
    }
}
