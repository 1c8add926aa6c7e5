//! The Gaussian output head (eq. 2): log-variance soft-bounded by two softplus folds, and the loss's derivatives.
//!
//! With q = e^{lv₁ − min}, lv₁ = max − softplus(max − raw) and lv = min + softplus(lv₁ − min), the bounded variance is
//! e^{min}·(1 + q): neither the loss's gradient nor a sample needs a logarithm.

use crate::nn::Real;

/// Bounds of the log-variance (SPEC section 1: −10 and 0.5).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogVarianceBounds {
    min: f64,
    max: f64,
}

/// One output's bounded variance and what its derivative needs.
struct Variance<T> {
    /// 1 + q, the variance in units of e^{min}.
    excess: T,
    /// d lv/d raw.
    slope: T,
}

impl LogVarianceBounds {
    /// Bounds `min` < `max`.
    pub fn new(min: f64, max: f64) -> Self {
        Self { min, max }
    }

    #[inline(always)]
    fn fold<T: Real>(self, raw: T) -> Variance<T> {
        let e = (T::from_f64(self.max) - raw).exp();
        let a = T::ONE / (T::ONE + e);
        let q = T::from_f64((self.max - self.min).exp()) * a;
        let excess = T::ONE + q;
        Variance { excess, slope: e * a * q / excess }
    }

    /// Standard deviation of an output whose raw log-variance is given.
    #[inline]
    pub fn deviation<T: Real>(self, raw: T) -> T {
        (T::from_f64(self.min.exp()) * self.fold(raw).excess).sqrt()
    }

    /// Negative log-likelihood of one row, Σ_d (μ − y)²·e^{−lv} + lv, and `scale` times its derivatives.
    /// `output` and `adjoint` are (μ, raw log-variance), `2·dim`; `label` is `dim`.
    pub fn loss_row<T: Real>(self, output: &[T], label: &[T], scale: T, adjoint: &mut [T]) -> f64 {
        let dim = label.len();
        let precision_at_min = T::from_f64((-self.min).exp());
        let (mean, raw) = output.split_at(dim);
        let (mean_adjoint, raw_adjoint) = adjoint.split_at_mut(dim);
        let mut squares = T::ZERO;
        let mut log_variance = self.min * dim as f64;
        // One logarithm for many factors, which lie between 1 and e^{max − min}.
        let mut product = 1.0_f64;
        for d in 0..dim {
            let variance = self.fold(raw[d]);
            let error = mean[d] - label[d];
            let precision = precision_at_min / variance.excess;
            let weighted = error * precision;
            squares += error * weighted;
            mean_adjoint[d] = scale * (weighted + weighted);
            raw_adjoint[d] = scale * (T::ONE - error * weighted) * variance.slope;
            product *= variance.excess.to_f64();
            if product > 1e200 {
                log_variance += product.ln();
                product = 1.0;
            }
        }
        squares.to_f64() + log_variance + product.ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn softplus(x: f64) -> f64 {
        x.max(0.0) + (-x.abs()).exp().ln_1p()
    }

    #[test]
    fn loss_is_the_definition_and_its_derivatives_are_right() {
        let bounds = LogVarianceBounds::new(-10.0, 0.5);
        let label = [0.3, -1.2, 0.0, 2.0];
        let output = [0.1, -1.0, 0.4, 1.9, -12.0, 0.4, 3.0, -4.0];
        let definition = |o: &[f64]| -> f64 {
            (0..4)
                .map(|d| {
                    let lv1 = 0.5 - softplus(0.5 - o[4 + d]);
                    let lv = -10.0 + softplus(lv1 + 10.0);
                    (o[d] - label[d]).powi(2) * (-lv).exp() + lv
                })
                .sum()
        };
        let mut adjoint = [0.0; 8];
        let loss = bounds.loss_row(&output, &label, 0.5, &mut adjoint);
        assert!((loss - definition(&output)).abs() < 1e-10 * loss.abs().max(1.0));
        for k in 0..8 {
            let at = |h: f64| {
                let mut o = output;
                o[k] += h;
                definition(&o)
            };
            let difference = 0.5 * (at(1e-6) - at(-1e-6)) / 2e-6;
            assert!((difference - adjoint[k]).abs() < 1e-6 * (1.0 + difference.abs()), "{k}");
        }
        let deviation = bounds.deviation(-4.0_f64);
        let lv = -10.0 + softplus(0.5 - softplus(4.5) + 10.0);
        assert!((deviation - (0.5 * lv).exp()).abs() < 1e-12);
    }
}
