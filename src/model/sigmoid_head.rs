//! A Gaussian output head whose log-variance lies between two bounds by a sigmoid, lv = low + range·sigmoid(raw), and the loss's derivatives.

use crate::nn::Real;

/// Bounds of the log-variance of all outputs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SigmoidHead<T> {
    low: T,
    range: T,
}

fn sigmoid<T: Real>(z: T) -> T {
    T::ONE / (T::ONE + (-z).exp())
}

impl<T: Real> SigmoidHead<T> {
    /// Log-variances between `low` and `high`.
    pub fn new(low: f64, high: f64) -> Self {
        Self { low: T::from_f64(low), range: T::from_f64(high - low) }
    }

    /// The same bounds in another float type.
    pub fn to<U: Real>(self) -> SigmoidHead<U> {
        let Self { low, range } = self;
        SigmoidHead { low: U::from_f64(low.to_f64()), range: U::from_f64(range.to_f64()) }
    }

    /// σ of an output whose raw log-variance is given.
    #[inline]
    pub fn deviation(self, raw: T) -> T {
        (T::from_f64(0.5) * (self.low + self.range * sigmoid(raw))).exp()
    }

    /// d σ/d raw.
    #[inline]
    pub fn deviation_slope(self, raw: T) -> T {
        T::from_f64(0.5) * self.deviation(raw) * self.slope(raw)
    }

    /// d lv/d raw.
    #[inline]
    fn slope(self, raw: T) -> T {
        let s = sigmoid(raw);
        self.range * s * (T::ONE - s)
    }

    /// Negative log-likelihood of one row, Σ_d (μ − y)²·e^{−lv} + lv, and `scale` times its derivatives. `output` and `adjoint` are
    /// (μ, raw), `2·dim`; `label` is `dim`.
    pub fn loss_row(self, output: &[T], label: &[T], scale: T, adjoint: &mut [T]) -> f64 {
        let (mean, raw) = output.split_at(label.len());
        let (mean_adjoint, raw_adjoint) = adjoint.split_at_mut(label.len());
        let mut loss = T::ZERO;
        for (d, &y) in label.iter().enumerate() {
            let log_variance = self.low + self.range * sigmoid(raw[d]);
            let error = mean[d] - y;
            let weighted = error * (-log_variance).exp();
            loss += error * weighted + log_variance;
            mean_adjoint[d] = scale * (weighted + weighted);
            raw_adjoint[d] = scale * (T::ONE - error * weighted) * self.slope(raw[d]);
        }
        loss.to_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_equal_central_differences() {
        let head = SigmoidHead::<f64>::new(-5.0, -1.0);
        let (label, output) = ([0.3, -1.2], [0.1, -1.0, 0.7, -2.0]);
        let mut adjoint = [0.0; 4];
        let loss = head.loss_row(&output, &label, 0.5, &mut adjoint);
        let definition = |o: &[f64]| -> f64 {
            let term = |d: usize| {
                let lv = -5.0 + 4.0 / (1.0 + (-o[2 + d]).exp());
                (o[d] - label[d]).powi(2) / lv.exp() + lv
            };
            term(0) + term(1)
        };
        assert!((loss - definition(&output)).abs() < 1e-12);
        for k in 0..4 {
            let at = |h: f64| {
                let mut moved = output;
                moved[k] += h;
                0.5 * definition(&moved)
            };
            let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
            assert!((difference - adjoint[k]).abs() < 1e-7 * (1.0 + difference.abs()), "{k}");
        }
        for raw in [-3.0_f64, 0.2, 4.0] {
            let lv = -5.0 + 4.0 / (1.0 + (-raw).exp());
            assert!((head.deviation(raw) - (0.5 * lv).exp()).abs() < 1e-12);
            let difference = (head.deviation(raw + 1e-6) - head.deviation(raw - 1e-6)) / 2e-6;
            assert!((difference - head.deviation_slope(raw)).abs() < 1e-8);
        }
    }
}
