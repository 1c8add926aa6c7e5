//! When an episode ends: ranges of coordinates, the same for real states and for imagined observations.

use std::sync::Arc;

use mujoco_rs::wrappers::{MjData, MjModel};

use super::observation::{Shown, coordinates, observed};
use super::task_file::{HealthyRange, Source, StatePart, TaskFile};
use crate::env::EnvironmentError;

/// The healthy ranges of a task file, checked against the model and what is shown of it.
pub(super) fn healthy(
    source: Source,
    file: &TaskFile,
    model: &MjModel,
    observation: &[Shown],
) -> Result<Vec<Healthy>, EnvironmentError> {
    file
        .healthy
        .iter()
        .map(|written| {
            let (raw, place) = (written.get_ref(), written.span().start);
            let coordinates = coordinates(source, place, (raw.part, raw.from, raw.to), model)?;
            let observed = observed(observation, raw.part, &coordinates).ok_or_else(|| {
                source.error(
                    place,
                    "a healthy range must lie within one [[observation]], so that a learned model can end an episode too",
                )
            })?;
            Healthy::new(source, written, coordinates, observed)
        })
        .collect()
}

/// Bounds on a run of coordinates. A value that is not a number lies outside all bounds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Healthy {
    /// Positions or velocities.
    pub part: StatePart,
    /// The coordinates `from..to` of the part.
    pub coordinates: std::ops::Range<usize>,
    /// Where the observation shows them.
    pub observed: std::ops::Range<usize>,
    low: f64,
    high: f64,
    /// Whether a value equal to the bound is healthy.
    low_inclusive: bool,
    high_inclusive: bool,
}

impl Healthy {
    /// Bounds as written, on coordinates that the observation shows at `observed`.
    pub fn new(
        source: Source,
        written: &toml::Spanned<HealthyRange>,
        coordinates: std::ops::Range<usize>,
        observed: std::ops::Range<usize>,
    ) -> Result<Self, EnvironmentError> {
        let raw = written.get_ref();
        let fail = |message: &str| Err(source.error(written.span().start, message));
        let (low, low_inclusive) = match (raw.above, raw.at_least) {
            (Some(_), Some(_)) => {
                return fail("a healthy range takes `above` or `at_least`, not both");
            }
            (Some(low), None) => (low, false),
            (None, Some(low)) => (low, true),
            (None, None) => (f64::NEG_INFINITY, false),
        };
        let (high, high_inclusive) = match (raw.below, raw.at_most) {
            (Some(_), Some(_)) => {
                return fail("a healthy range takes `below` or `at_most`, not both");
            }
            (Some(high), None) => (high, false),
            (None, Some(high)) => (high, true),
            (None, None) => (f64::INFINITY, false),
        };
        if low.is_nan() || high.is_nan() || low >= high {
            return fail("the lower bound of a healthy range must be less than its upper bound");
        }
        Ok(Self { part: raw.part, coordinates, observed, low, high, low_inclusive, high_inclusive })
    }

    /// Whether all `values` lie within the bounds.
    pub fn holds(&self, values: &[f64]) -> bool {
        values.iter().all(|&x| self.holds_low(x) && self.holds_high(x))
    }

    /// The least and the largest single-precision number within the bounds.
    pub fn narrow(&self) -> (f32, f32) {
        let (low, high) = (self.low as f32, self.high as f32);
        let above = |x: f32| self.holds_low(f64::from(x));
        let below = |x: f32| self.holds_high(f64::from(x));
        // The nearest number lies within the bounds, or the next one does.
        (
            if above(low) { low } else { low.next_up() },
            if below(high) { high } else { high.next_down() },
        )
    }

    fn holds_low(&self, x: f64) -> bool {
        x > self.low || (self.low_inclusive && x == self.low)
    }

    fn holds_high(&self, x: f64) -> bool {
        x < self.high || (self.high_inclusive && x == self.high)
    }

    /// Whether the simulation's coordinates lie within the bounds.
    pub fn holds_in(&self, data: &MjData<Arc<MjModel>>) -> bool {
        let values = match self.part {
            StatePart::Qpos => data.qpos(),
            StatePart::Qvel => data.qvel(),
        };
        self.holds(&values[self.coordinates.clone()])
    }
}
