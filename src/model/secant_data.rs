//! What the secant loss is told by the real transitions, renewed at each training: neighbours, weights and ε.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::gradient_data::by_value;
use super::secant::SecantNeighbours;
use super::split::Split;
use crate::config::{ConfigError, require};
use crate::data::{Replay, Standardiser, Transition, moments};
use crate::nn::Real;

/// The secant loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SecantConfig {
    /// Weight w beside the likelihood (1000).
    #[schemars(range(min = 0.0, max = 1e9))]
    pub weight: f64,
    /// Nearest neighbours of each row, n (25).
    #[schemars(range(min = 1, max = 10_000))]
    pub neighbours: usize,
    /// Secants drawn from a row's n at each step, m ≤ n (1).
    #[schemars(range(min = 1, max = 10_000))]
    pub directions_per_row: usize,
    /// ε is this quantile of the neighbours' distances (0.05).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub distance_quantile: f64,
    /// Weigh each output's residual by the discounted mean square of the value's slope along it, and the reward's by 1, in place of all
    /// alike in deviations; in all as much.
    #[serde(default)]
    pub value_weights: bool,
    /// Newest transitions that have secants, to neighbours among each other (50 000). All others are learned from by likelihood alone. The
    /// lists are made anew at each training, in time that grows with the square of their number.
    #[serde(default = "default_window")]
    #[schemars(range(min = 2, max = 100_000_000))]
    pub window: usize,
}

/// Of runs that do not say.
fn default_window() -> usize {
    50_000
}

impl SecantConfig {
    /// Checks the values against each other.
    ///
    /// # Errors
    /// On the first that is impossible.
    pub fn check(&self) -> Result<(), ConfigError> {
        let &Self { neighbours, directions_per_row, window, .. } = self;
        let expected = format!("from 1 to `gradient_loss.neighbours` ({neighbours})");
        let key = "gradient_loss.directions_per_row";
        require(directions_per_row <= neighbours, key, directions_per_row, expected)?;
        let expected = format!("below `gradient_loss.window` ({window})");
        require(neighbours < window, "gradient_loss.neighbours", neighbours, expected)
    }

    /// Whether enough of the window's rows are trained on to be each other's neighbours.
    pub fn has_neighbours(&self, real: &Replay, split: &Split) -> bool {
        split.training.iter().filter(|&&row| self.is_inside(real, row)).count() > self.neighbours
    }

    /// Whether a row of the replay lies in the window.
    fn is_inside(&self, real: &Replay, row: u32) -> bool {
        real.sequence_of(row as usize) + self.window as u64 >= real.pushed()
    }
}

/// The secant loss's place in a training.
#[derive(Clone, Copy, Debug)]
pub struct SecantTerm<'a, T> {
    /// Of the window's rows, among those that are trained on.
    pub neighbours: &'a SecantNeighbours,
    /// Secants of a row at each step.
    pub directions: usize,
    /// w.
    pub weight: f64,
    /// ρ_d² in the network's units, `[label_dim]`.
    pub weights: &'a [T],
    /// ε².
    pub least_square: f64,
}

impl<T> SecantTerm<'_, T> {
    /// The far end of a row's secant to its `k`-th neighbour: the row itself where it has none.
    #[inline]
    pub fn end(&self, row: u32, k: usize) -> u32 {
        if self.neighbours.has(row) { self.neighbours.nth(row, k) } else { row }
    }
}

/// Data of the secant loss.
#[derive(Debug)]
pub struct SecantData<T> {
    neighbours: SecantNeighbours,
    config: SecantConfig,
    weights: Vec<T>,
    least_square: f64,
}

impl<T: Real> SecantData<T> {
    /// For transitions of these many observation and action entries; nothing is known of them yet.
    pub fn new(config: &SecantConfig, (s, a): (usize, usize)) -> Self {
        Self {
            neighbours: SecantNeighbours::new(config.neighbours, s + a),
            config: *config,
            // Labels are standardised: ρ_d = 1/deviation(y_d) in their own units is 1 in these.
            weights: vec![T::ONE; 1 + s],
            least_square: 0.0,
        }
    }

    /// Takes in the window's rows of `real`, with neighbours among those that are trained on, in the models' standardised inputs. `value_slopes` are
    /// γ²·E[(∂V/∂s'_d)²] in raw units, `[observation_dim]`, and are asked for only where outputs are weighed by them.
    pub fn update(
        &mut self,
        real: &Replay,
        inputs: &Standardiser<f32>,
        split: &Split,
        value_slopes: impl FnOnce() -> Vec<f64>,
    ) {
        let Self { neighbours, config, weights, least_square } = self;
        let inside = |rows: &[u32]| -> Vec<u32> {
            rows.iter().copied().filter(|&row| config.is_inside(real, row)).collect()
        };
        let among = inside(&split.training);
        let others = inside(&split.holdout);
        neighbours.update(real, inputs, &among, &others);
        *least_square = neighbours.least_square(config.distance_quantile);
        if config.value_weights {
            let rows = (0..real.len()).map(|row| real.get(row));
            let outputs = moments(rows, weights.len(), Transition::label::<f64>);
            let slopes = value_slopes();
            weights.fill(T::ONE);
            // Critics that have not learned anything yet know of no output that matters less than the reward.
            let squares =
                slopes.iter().any(|&slope| slope > 0.0).then(|| by_value(&outputs, &slopes));
            let squares = squares.into_iter().flatten();
            for ((weight, output), square) in weights.iter_mut().zip(&outputs).zip(squares) {
                *weight = T::from_f64(square * output.deviation().powi(2));
            }
        }
    }

    /// R̃ with these data.
    pub fn term(&self) -> SecantTerm<'_, T> {
        let Self { neighbours, config, weights, least_square } = self;
        SecantTerm {
            neighbours,
            directions: config.directions_per_row,
            weight: config.weight,
            weights,
            least_square: *least_square,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::split::RowDraws;
    use crate::rng::Rng;

    fn data(window: usize, value_weights: bool, slopes: [f64; 2]) -> (SecantData<f64>, Split) {
        let mut rng = Rng::new(0, "secant data");
        // Older rows have been overwritten, so that rows are not in order of age.
        let mut real = Replay::new(2, 1, 100);
        for _ in 0..130 {
            let mut x = [0.0_f32; 6];
            rng.fill_normal(&mut x);
            real.push(Transition {
                observation: &x[..2],
                action: &x[2..3],
                reward: 3.0 * x[3],
                next_observation: &[x[0] + x[4], x[1] + 0.1 * x[5]],
                terminated: false,
            });
        }
        let config = SecantConfig {
            weight: 1.0,
            neighbours: 4,
            directions_per_row: 1,
            distance_quantile: 0.05,
            value_weights,
            window,
        };
        let mut split = Split::default();
        split.renew(&real, RowDraws::new(0, "secant data"), 0.2);
        assert!(config.has_neighbours(&real, &split));
        let mut data = SecantData::new(&config, (2, 1));
        data.update(&real, &Standardiser::identity(3), &split, || slopes.to_vec());
        (data, split)
    }

    #[test]
    fn the_windows_rows_alone_have_secants_and_are_their_far_ends() {
        let (data, split) = data(40, false, [0.0; 2]);
        // The newest 40 of 130 are rows 90 to 99 and, overwritten, 0 to 29.
        let inside = |row: u32| !(30..90).contains(&row);
        let term = data.term();
        for row in 0..100 {
            assert_eq!(term.neighbours.has(row), inside(row), "row {row}");
            for k in 0..4 {
                let end = term.end(row, k);
                let expected = if inside(row) {
                    inside(end) && split.training.contains(&end) && end != row
                } else {
                    end == row
                };
                assert!(expected, "row {row}, neighbour {k}: {end}");
            }
        }
        let wide = super::tests::data(1000, false, [0.0; 2]).0;
        assert!((0..100).all(|row| wide.term().neighbours.has(row)));
    }

    #[test]
    fn value_weights_go_by_the_slopes_and_count_as_much_in_all() {
        let (data_of_value, _) = data(1000, true, [2.0, 0.5]);
        let weights = data_of_value.term().weights;
        // var(r) is about 9, var(Δs) about 1 and 0.01: within a factor that 100 rows stay below but once in thousands.
        assert!((weights.iter().sum::<f64>() - 3.0).abs() < 1e-12, "{weights:?}");
        assert!(weights[0] > 2.0 * weights[1] && weights[1] > 50.0 * weights[2], "{weights:?}");
        for (asked, slopes) in [(false, [2.0, 0.5]), (true, [0.0, 0.0])] {
            assert_eq!(data(1000, asked, slopes).0.term().weights, [1.0; 3]);
        }
    }
}
