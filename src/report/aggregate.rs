//! Figures over seeds, as the field reports them: mean and deviation, and the interquartile mean with a bootstrap
//! interval (Agarwal et al., *Deep RL at the edge of the statistical precipice*, 2021).

use crate::rng::Rng;

/// Resamples behind an interval.
const RESAMPLES: usize = 10_000;

/// What some numbers, one a seed, come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aggregate {
    /// How many.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation, with n − 1; 0 for a single one.
    pub deviation: f64,
    /// Mean of the middle half.
    pub interquartile_mean: f64,
    /// 95 % percentile-bootstrap interval of the interquartile mean.
    pub interval: (f64, f64),
}

impl Aggregate {
    /// Of at least one number.
    pub fn of(values: &[f64]) -> Self {
        Self {
            count: values.len(),
            mean: mean(values),
            deviation: deviation(values),
            interquartile_mean: interquartile_mean(values),
            interval: bootstrap_interval(values, interquartile_mean),
        }
    }
}

/// The arithmetic mean.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The standard deviation with n − 1; 0 for a single number.
pub fn deviation(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}

/// The mean of the middle half of the numbers. Where a quarter is no whole number of them, those on the border count in part.
pub fn interquartile_mean(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let (low, high) = (0.25 * n, 0.75 * n);
    let share = |i: usize| ((i + 1) as f64).min(high) - (i as f64).max(low);
    let weighted = sorted.iter().enumerate().map(|(i, &value)| share(i).max(0.0) * value);
    weighted.sum::<f64>() / (high - low)
}

/// The 95 % percentile-bootstrap interval of a statistic: its 2.5 % and 97.5 % quantiles over resamples with replacement.
/// With few seeds it is too narrow; with one, it is a point.
pub fn bootstrap_interval(values: &[f64], statistic: fn(&[f64]) -> f64) -> (f64, f64) {
    let mut rng = Rng::new(0, "bootstrap");
    let mut resample = vec![0.0; values.len()];
    let mut statistics: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            resample.iter_mut().for_each(|x| *x = values[rng.below(values.len())]);
            statistic(&resample)
        })
        .collect();
    statistics.sort_by(f64::total_cmp);
    let at = |quantile: f64| statistics[(quantile * (RESAMPLES - 1) as f64).round() as usize];
    (at(0.025), at(0.975))
}

/// The geometric mean of the ratios of two measurements on the same seeds, and its 95 % bootstrap interval over the seeds.
/// All numbers must be above 0.
pub fn paired_ratio(numerators: &[f64], denominators: &[f64]) -> (f64, (f64, f64)) {
    let logs: Vec<f64> = numerators.iter().zip(denominators).map(|(a, b)| (a / b).ln()).collect();
    let (low, high) = bootstrap_interval(&logs, mean);
    (mean(&logs).exp(), (low.exp(), high.exp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_their_definitions() {
        let values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(mean(&values), 2.5);
        assert!((deviation(&values) - (5.0_f64 / 3.0).sqrt()).abs() < 1e-15);
        assert_eq!(interquartile_mean(&values), 2.5);
        // Of five numbers the middle half is 0.75 of the second, the third, and 0.75 of the fourth.
        let expected = (0.75 * 1.0 + 2.0 + 0.75 * 4.0) / 2.5;
        assert!((interquartile_mean(&[100.0, 2.0, -50.0, 4.0, 1.0]) - expected).abs() < 1e-15);
        let one = Aggregate::of(&[7.0]);
        assert_eq!((one.mean, one.deviation, one.interquartile_mean), (7.0, 0.0, 7.0));
        assert_eq!(one.interval, (7.0, 7.0));
    }

    #[test]
    fn intervals_have_the_width_of_the_theory() {
        // 400 standard normal numbers: the interval of the mean is about ± 1.96/√400. It fails by chance once in 10⁴.
        let mut rng = Rng::new(1, "aggregate test");
        let values: Vec<f64> = (0..400).map(|_| rng.normal()).collect();
        let (low, high) = bootstrap_interval(&values, mean);
        assert!(((high - low) / (2.0 * 1.96 / 20.0) - 1.0).abs() < 0.2, "{low} to {high}");
        assert!(low < mean(&values) && mean(&values) < high);
        assert_eq!(bootstrap_interval(&values, mean), (low, high), "the same each time");
    }

    #[test]
    fn paired_ratios_forget_what_a_seed_shares() {
        let (ratio, (low, high)) = paired_ratio(&[2.0, 20.0, 200.0], &[1.0, 10.0, 100.0]);
        assert!(
            (ratio - 2.0).abs() < 1e-12 && (low - 2.0).abs() < 1e-12 && (high - 2.0).abs() < 1e-12
        );
    }
}
