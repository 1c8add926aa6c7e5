//! An axis: round ticks, and where values lie.

/// Round positions for an axis from `low` to `high`: about `count`, at multiples of 1, 2, 2.5 or 5 times a power of ten.
fn ticks(low: f64, high: f64, count: f64) -> Vec<f64> {
    let rough = (high - low) / count;
    let magnitude = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .find(|m| m * magnitude >= rough * 0.999)
        .unwrap_or(10.0)
        * magnitude;
    let first = (low / step).floor() as i64;
    let last = (high / step).ceil() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

/// A tick's number: thousands apart, no more decimals than its neighbours need.
fn number(value: f64, step: f64) -> String {
    // A difference of two ticks may be a little less than the whole number that it is meant to be.
    let is_whole = |x: f64| (x - x.round()).abs() < 1e-6;
    let decimals = (0..8).find(|&d| is_whole(step * 10_f64.powi(d))).unwrap_or(8) as usize;
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) =
        text.split_once('.').map_or((text.as_str(), ""), |(whole, fraction)| (whole, fraction));
    let mut out = if value < 0.0 { "−".to_owned() } else { String::new() };
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// What is farther from 0 is drawn here: differences of two numbers stay finite.
const FARTHEST: f64 = 1e300;

/// A linear map from values to the drawing's units.
pub(crate) struct Axis {
    ticks: Vec<f64>,
    start: f64,
    length: f64,
}

impl Axis {
    /// Covers the finite ones of `values` with about `count` ticks, from `start` on over `length` units of the drawing.
    pub(crate) fn new(
        values: impl Iterator<Item = f64>,
        start: f64,
        length: f64,
        count: f64,
    ) -> Self {
        let (low, high) = values
            .filter(|value| value.is_finite())
            .map(|value| value.clamp(-FARTHEST, FARTHEST))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
        // Zero belongs into the picture when it is near, and a flat line needs some height.
        let low = if low > 0.0 && low < 0.7 * high { 0.0 } else { low };
        let pad =
            if high - low > 1e-9 * high.abs().max(1e-9) { 0.0 } else { 0.05 * high.abs().max(1.0) };
        Self { ticks: ticks(low - pad, high + pad, count), start, length }
    }

    /// Where a value lies.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let (first, last) = (self.ticks[0], self.ticks[self.ticks.len() - 1]);
        let value = value.clamp(-FARTHEST, FARTHEST);
        self.start + (value - first) / (last - first) * self.length
    }

    /// Where each tick lies, and its number.
    pub(crate) fn labels(&self) -> impl Iterator<Item = (f64, String)> {
        let step = self.ticks[1] - self.ticks[0];
        self.ticks.iter().map(move |&tick| (self.at(tick), number(tick, step)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_range() {
        assert_eq!(
            ticks(0.0, 15_000.0, 6.0),
            [0.0, 2500.0, 5000.0, 7500.0, 10_000.0, 12_500.0, 15_000.0]
        );
        assert_eq!(ticks(-3.0, 9.0, 5.0), [-5.0, -2.5, 0.0, 2.5, 5.0, 7.5, 10.0]);
        for (low, high) in [(0.0, 1e-7), (-1e9, 1.0), (3.0, 3.1), (0.0, 99_999.0)] {
            let ticks = ticks(low, high, 5.0);
            assert!(
                ticks[0] <= low && ticks[ticks.len() - 1] >= high && (3..10).contains(&ticks.len()),
                "{ticks:?}"
            );
        }
    }

    #[test]
    fn numbers_of_any_size_have_a_place() {
        for values in [[-f64::MAX, f64::MAX], [0.0, f64::MAX], [1e-308, 2e-308], [-1e300, 1e300]] {
            let axis = Axis::new(values.into_iter(), 10.0, 100.0, 6.0);
            let places = values.map(|value| axis.at(value));
            assert!(places.iter().all(|place| (10.0..=110.0).contains(place)), "{places:?}");
            assert!(axis.labels().count() > 1 && places[0] <= places[1], "{places:?}");
        }
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(number(15_000.0, 2500.0), "15,000");
        assert_eq!(number(-1250.0, 250.0), "−1,250");
        assert_eq!(number(0.5, 0.25), "0.50");
        assert_eq!(number(2.5, 2.5), "2.5");
        assert_eq!(number(0.0, 1e6), "0");
        for (low, high) in [(0.981, 1.195), (0.7, 0.81), (-0.3, 0.1), (1e5, 1.00004e5)] {
            let axis = Axis::new([low, high].into_iter(), 0.0, 1.0, 6.0);
            let longest = axis.labels().map(|(_, text)| text.len()).max().unwrap();
            assert!(longest <= "100,000.05".len(), "{:?}", axis.labels().collect::<Vec<_>>());
        }
    }
}
