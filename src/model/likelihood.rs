//! The Gaussian output head (eq. 2): log-variance soft-bounded by two softplus folds, and the loss's derivatives.
//!
//! With q = e^{lv₁ − min}, lv₁ = max − softplus(max − raw) and lv = min + softplus(lv₁ − min), the bounded variance is
//! e^{min}·(1 + q): neither the loss's gradient nor a sample needs a logarithm.

use crate::machine::isa::dispatched;
use crate::nn::Real;

/// Bounds of the log-variance of each output (docs/algorithm.md, "The models": −10 and 0.5, constants in DDPPO, trained in MBPO).
#[derive(Clone, Debug, PartialEq)]
pub struct LogVarianceBounds<T> {
    /// The lower bounds, then the upper ones, `[2·dim]`.
    numbers: Vec<f64>,
    folds: Folds<T>,
}

/// The bounds in the form in which they are used, `[dim]` each.
#[derive(Clone, Debug, Default, PartialEq)]
struct Folds<T> {
    max: Vec<T>,
    /// e^{max − min}.
    range: Vec<T>,
    /// e^{min}.
    least_variance: Vec<T>,
    /// e^{−min}.
    most_precision: Vec<T>,
}

impl<T: Real> Folds<T> {
    /// Replaces all by those of the bounds `[2·dim]`.
    fn set(&mut self, numbers: &[f64]) {
        let (low, high) = numbers.split_at(numbers.len() / 2);
        let renew = |column: &mut Vec<T>, of: fn(f64, f64) -> f64| {
            column.clear();
            column.extend(low.iter().zip(high).map(|(&min, &max)| T::from_f64(of(min, max))));
        };
        renew(&mut self.max, |_, max| max);
        renew(&mut self.range, |min, max| (max - min).exp());
        renew(&mut self.least_variance, |min, _| min.exp());
        renew(&mut self.most_precision, |min, _| (-min).exp());
    }
}

dispatched! {
    /// As [`LogVarianceBounds::sample`], with the same roundings as [`LogVarianceBounds::deviation`].
    fn sample<T, I>(folds: [&[T]; 3], terms: [&[T]; 4], out: &mut [T]) {
        let [max, range, least_variance] = folds.map(|column| &column[..out.len()]);
        let [start, mean, raw, noise] = terms.map(|term| &term[..out.len()]);
        for (d, out) in out.iter_mut().enumerate() {
            let a = T::ONE / (T::ONE + (max[d] - raw[d]).exp());
            let deviation = (least_variance[d] * (T::ONE + range[d] * a)).sqrt();
            *out = start[d] + (mean[d] + deviation * noise[d]);
        }
    }
}

/// One output's bounded variance and what its derivatives need.
struct Variance<T> {
    /// 1 + q, the variance in units of e^{min}.
    excess: T,
    /// d lv/d raw.
    slope: T,
    /// d lv/d max.
    by_max: T,
}

impl<T: Real> LogVarianceBounds<T> {
    /// Bounds `min` < `max` of all `dim` outputs.
    pub fn new(min: f64, max: f64, dim: usize) -> Self {
        Self::from_numbers([vec![min; dim], vec![max; dim]].concat())
    }

    /// The lower bounds, then the upper ones, `[2·dim]`.
    pub fn from_numbers(numbers: Vec<f64>) -> Self {
        let mut folds = Folds::default();
        folds.set(&numbers);
        Self { numbers, folds }
    }

    /// The lower bounds, then the upper ones, `[2·dim]`.
    pub fn numbers(&self) -> &[f64] {
        &self.numbers
    }

    /// Lets `change` write the numbers.
    pub fn update(&mut self, change: impl FnOnce(&mut [f64])) {
        change(&mut self.numbers);
        self.folds.set(&self.numbers);
    }

    #[inline(always)]
    fn variance(&self, d: usize, raw: T) -> Variance<T> {
        let e = (self.folds.max[d] - raw).exp();
        let a = T::ONE / (T::ONE + e);
        let q = self.folds.range[d] * a;
        let excess = T::ONE + q;
        Variance { excess, slope: e * a * q / excess, by_max: a * q / excess }
    }

    /// Standard deviation of output `d` whose raw log-variance is given.
    #[inline]
    pub fn deviation(&self, d: usize, raw: T) -> T {
        (self.folds.least_variance[d] * self.variance(d, raw).excess).sqrt()
    }

    /// start + μ + σ·ε of the outputs from number `first` on, as many as `out` has: all are `[out.len()]`.
    #[inline]
    pub fn sample(&self, first: usize, terms: [&[T]; 4], out: &mut [T]) {
        let outputs = first..first + out.len();
        let Folds { max, range, least_variance, .. } = &self.folds;
        let folds = [max, range, least_variance].map(|column| &column[outputs.clone()]);
        sample(folds, terms, out);
    }

    /// d σ/d raw = ½·σ·d lv/d raw of output `d`.
    #[inline]
    pub fn deviation_slope(&self, d: usize, raw: T) -> T {
        T::from_f64(0.5) * self.deviation(d, raw) * self.variance(d, raw).slope
    }

    /// Negative log-likelihood of one row, Σ_d (μ − y)²·e^{−lv} + lv, and `scale` times its derivatives.
    /// `output` and `adjoint` are (μ, raw log-variance), `2·dim`; `label` is `dim`.
    pub fn loss_row(&self, output: &[T], label: &[T], scale: T, adjoint: &mut [T]) -> f64 {
        let dim = label.len();
        let (mean, raw) = output.split_at(dim);
        let (mean_adjoint, raw_adjoint) = adjoint.split_at_mut(dim);
        let mut squares = T::ZERO;
        let mut log_variance: f64 = self.numbers[..dim].iter().sum();
        // One logarithm for many factors, which lie between 1 and e^{max − min}.
        let mut product = 1.0_f64;
        for d in 0..dim {
            let variance = self.variance(d, raw[d]);
            let error = mean[d] - label[d];
            let precision = self.folds.most_precision[d] / variance.excess;
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

    /// Adds `scale` times the derivatives of [`LogVarianceBounds::loss_row`] by the bounds, in the order of
    /// [`LogVarianceBounds::numbers`]: d lv/d min = 1/(1 + q) and d lv/d max = q/(1 + q)·(1 − σ(max − raw)).
    pub fn add_gradient_row(&self, output: &[T], label: &[T], scale: f64, gradient: &mut [f64]) {
        let dim = label.len();
        let (mean, raw) = output.split_at(dim);
        let (by_min, by_max) = gradient.split_at_mut(dim);
        for d in 0..dim {
            let variance = self.variance(d, raw[d]);
            let error = mean[d] - label[d];
            let weighted = error * self.folds.most_precision[d] / variance.excess;
            let by_log_variance = scale * (T::ONE - error * weighted).to_f64();
            by_min[d] += by_log_variance / variance.excess.to_f64();
            by_max[d] += by_log_variance * variance.by_max.to_f64();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn softplus(x: f64) -> f64 {
        x.max(0.0) + (-x.abs()).exp().ln_1p()
    }

    /// The loss of a row by its definition; `numbers` are the bounds.
    fn definition(numbers: &[f64], o: &[f64], label: &[f64]) -> f64 {
        let dim = label.len();
        (0..dim)
            .map(|d| {
                let (min, max) = (numbers[d], numbers[dim + d]);
                let lv1 = max - softplus(max - o[dim + d]);
                let lv = min + softplus(lv1 - min);
                (o[d] - label[d]).powi(2) * (-lv).exp() + lv
            })
            .sum()
    }

    /// Derivative of `f` by entry `k` of `at`, by central differences.
    fn difference(at: &[f64], k: usize, f: impl Fn(&[f64]) -> f64) -> f64 {
        let moved = |h: f64| {
            let mut x = at.to_vec();
            x[k] += h;
            f(&x)
        };
        (moved(1e-6) - moved(-1e-6)) / 2e-6
    }

    const LABEL: [f64; 4] = [0.3, -1.2, 0.0, 2.0];
    const OUTPUT: [f64; 8] = [0.1, -1.0, 0.4, 1.9, -12.0, 0.4, 3.0, -4.0];

    #[test]
    fn loss_is_the_definition_and_its_derivatives_are_right() {
        let bounds = LogVarianceBounds::new(-10.0, 0.5, 4);
        let mut adjoint = [0.0; 8];
        let loss = bounds.loss_row(&OUTPUT, &LABEL, 0.5, &mut adjoint);
        let expected = definition(bounds.numbers(), &OUTPUT, &LABEL);
        assert!((loss - expected).abs() < 1e-10 * loss.abs().max(1.0));
        for (k, adjoint) in adjoint.iter().enumerate() {
            let expected =
                0.5 * difference(&OUTPUT, k, |o| definition(bounds.numbers(), o, &LABEL));
            assert!((expected - adjoint).abs() < 1e-6 * (1.0 + expected.abs()), "{k}");
        }
    }

    #[test]
    fn derivatives_by_the_bounds_are_right() {
        // Each output has bounds of its own: near the raw log-variance, and far from it on either side.
        let numbers = vec![-10.0, -1.0, 1.0, -9.0, 0.5, 0.6, 2.5, -3.5];
        let bounds = LogVarianceBounds::from_numbers(numbers.clone());
        let mut gradient = [0.25; 8];
        bounds.add_gradient_row(&OUTPUT, &LABEL, 0.5, &mut gradient);
        for (k, gradient) in gradient.iter().enumerate() {
            let expected = 0.25 + 0.5 * difference(&numbers, k, |n| definition(n, &OUTPUT, &LABEL));
            assert!((expected - gradient).abs() < 1e-6 * (1.0 + expected.abs()), "{k}");
        }
    }

    #[test]
    fn samples_are_mean_and_deviation() {
        let bounds = LogVarianceBounds::new(-10.0, 0.5, 40);
        let column = |k: usize| (0..39).map(|d| ((d * k) % 17) as f64 - 8.0).collect::<Vec<_>>();
        let [start, mean, raw, noise] = [1, 2, 3, 5].map(column);
        let mut out = vec![0.0; 39];
        bounds.sample(1, [&start, &mean, &raw, &noise], &mut out);
        for (d, &sample) in out.iter().enumerate() {
            let expected = start[d] + (mean[d] + bounds.deviation(1 + d, raw[d]) * noise[d]);
            assert_eq!(sample, expected, "{d}");
        }
    }

    #[test]
    fn deviation_and_its_slope_are_right() {
        let bounds = LogVarianceBounds::new(-10.0, 0.5, 2);
        for raw in [-13.0, -4.0, 0.3, 6.0] {
            let lv = -10.0 + softplus(0.5 - softplus(0.5 - raw) + 10.0);
            assert!((bounds.deviation(1, raw) - (0.5 * lv).exp()).abs() < 1e-12);
            let expected = difference(&[raw], 0, |x| bounds.deviation(1, x[0]));
            let slope = bounds.deviation_slope(1, raw);
            assert!((slope - expected).abs() < 1e-8 * (1.0 + expected.abs()), "{raw}");
        }
    }
}
