//! Where values can lie, as `src/critic/range.rs` has it: low end, high end and number of batches, `[runs, 1, 1, 3]` in double precision.

use crate::device::graph::Value;

/// The constants of `src/critic/range.rs`.
const SHARE: f64 = 0.01;
const RATE: f64 = 3e-4;
const LEAST_HALF_WIDTH: f64 = 1e-6;

/// Middle and half-width of the values, `[runs, 1, 1, 1]` each.
pub fn middle_and_half_width(range: Value<'_>) -> [Value<'_>; 2] {
    let (low, high) = (range.slice(3, 0, 1), range.slice(3, 1, 2));
    let half = (high - low) / 2.0;
    [(low + high) / 2.0, half.max(half.filled(LEAST_HALF_WIDTH))]
}

/// The range after a batch of `rewards`, of which those count that have 1 in `living`, both `[runs, 1, n, 1]` in double precision; at
/// least one counts.
pub fn noted<'g>(
    range: Value<'g>,
    rewards: Value<'g>,
    living: Value<'g>,
    discount: f64,
) -> Value<'g> {
    let (runs, n) = (rewards.shape()[0], rewards.shape()[2]);
    // Ranks by comparing each with each: that is one sum on a device, where sorting is many steps.
    let others = rewards.reshape(&[runs, 1, 1, n]);
    let weights = living.reshape(&[runs, 1, 1, n]);
    let counted = |holds: Value<'g>| holds.select(weights, weights.filled(0.0)).sum(3);
    let (below, up_to) = (counted(others.less(rewards)), counted(others.at_most(rewards)));
    let last = living.sum(2) - 1.0;
    let quantile = |share: f64| {
        // The one whose place is ⌊place⌋: as many lie below it or fewer, and more up to it. Equal ones are all it.
        let place = last * share + 0.5;
        let is_it = below.at_most(place).and(place.less(up_to));
        let is_it = is_it.and(living.equals(living.filled(1.0)));
        let sum = |x: Value<'g>| is_it.select(x, x.filled(0.0)).sum(2);
        sum(rewards) / sum(living) / (1.0 - discount)
    };
    let batches = range.slice(3, 2, 3);
    let rate =
        batches.equals(batches.filled(0.0)).select(batches.filled(1.0), batches.filled(RATE));
    let moved = |k: usize, to: Value<'g>| {
        let from = range.slice(3, k, k + 1);
        from + rate * (to - from)
    };
    let ends = [moved(0, quantile(SHARE)), moved(1, quantile(1.0 - SHARE)), batches + 1.0];
    Value::concatenate(&ends, 3)
}
