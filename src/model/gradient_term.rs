//! The gradient loss as a term of a model's loss, by whichever estimator: one part's share of a minibatch.

use super::dynamics::DynamicsModel;
use super::gradient_loss::{Estimator, GradientLoss};
use super::gradient_part::GradientPart;
use super::secant::{SecantPart, SecantUnits};
use crate::data::Replay;
use crate::nn::{Mlp, Real};
use crate::rng::Rng;

/// Rows that run through the network at a time for secants: a row and its neighbours.
const SECANT_ROWS: usize = 256;

/// Buffers of one part.
#[derive(Debug)]
pub(crate) enum GradientTerm<T> {
    /// R by tangents.
    Directional(Box<GradientPart<T>>),
    /// R̃ by two rows.
    Secant(Box<SecantBuffers<T>>),
}

/// Buffers of one part of R̃.
#[derive(Debug)]
pub(crate) struct SecantBuffers<T> {
    part: SecantPart<T>,
    rows: Vec<u32>,
    /// 1 for each output: labels are in the task's units, and so is the network's mean.
    label_scale: Vec<T>,
    weights: Vec<T>,
}

impl<T: Real> GradientTerm<T> {
    /// Buffers for up to `rows` rows.
    pub(crate) fn new(model: &DynamicsModel<T>, rows: usize, loss: GradientLoss<'_>) -> Self {
        let (m, n, labels) = (loss.directions, loss.neighbours.count(), model.label_dim());
        match loss.estimator {
            Estimator::Directional => {
                Self::Directional(Box::new(GradientPart::new(model, rows, m, n)))
            }
            Estimator::Secant => {
                let rows = (SECANT_ROWS / (1 + m)).clamp(1, rows);
                Self::Secant(Box::new(SecantBuffers {
                    part: SecantPart::new(model.shape(), labels, rows, (m, n)),
                    rows: vec![0; rows],
                    label_scale: vec![T::ONE; labels],
                    weights: vec![T::ONE; labels],
                }))
            }
        }
    }

    /// Adds `scale` times the gradient of Σ_{rows, directions, outputs} weight·residual² by one member's parameters, over the
    /// transitions whose push numbers are given; returns that sum.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn add(
        &mut self,
        model: &DynamicsModel<T>,
        network: &Mlp<T>,
        (replay, loss): (&Replay, GradientLoss<'_>),
        sequences: &[u64],
        scale: f64,
        rng: &mut Rng,
        gradient: &mut [T],
    ) -> f64 {
        match self {
            Self::Directional(part) => {
                part.add(model, network, (replay, loss), sequences, scale, rng, gradient)
            }
            Self::Secant(term) => {
                term.add(model, network, (replay, loss), sequences, scale, rng, gradient)
            }
        }
    }
}

impl<T: Real> SecantBuffers<T> {
    #[allow(clippy::too_many_arguments)]
    fn add(
        &mut self,
        model: &DynamicsModel<T>,
        network: &Mlp<T>,
        (replay, loss): (&Replay, GradientLoss<'_>),
        sequences: &[u64],
        scale: f64,
        rng: &mut Rng,
        gradient: &mut [T],
    ) -> f64 {
        let Self { part, rows, label_scale, weights } = self;
        for (own, &weight) in weights.iter_mut().zip(loss.output_weights) {
            *own = T::from_f64(weight);
        }
        let least_square = loss.least_length.unwrap_or(0.0).powi(2);
        let units = SecantUnits {
            inputs: &model.standardiser,
            label_scale,
            weights,
            least_square: T::from_f64(least_square),
        };
        // Lists are by push number, rows by place.
        let nth = |row: u32, k: usize| {
            let sequence = loss.neighbours.nth(replay.sequence_of(row as usize), k);
            replay.row_of(sequence) as u32
        };
        let mut sum = 0.0;
        for sequences in sequences.chunks(rows.len()) {
            let rows = &mut rows[..sequences.len()];
            for (row, &sequence) in rows.iter_mut().zip(sequences) {
                *row = replay.row_of(sequence) as u32;
            }
            sum += part.add(network, units, replay, nth, rows, scale, rng, gradient);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Standardiser, Transition};
    use crate::model::gradient_loss::{GradientLossConfig, OutputWeights};
    use crate::model::neighbours::InputCoordinates;
    use crate::model::{GradientData, ModelConfig};
    use crate::nn::{Keep, Tape};

    /// So many labels, 18, that these and all 36 outputs fill different numbers of panels.
    const SIZES: (usize, usize) = (17, 1);
    const INPUTS: usize = SIZES.0 + SIZES.1;
    const LABELS: usize = 1 + SIZES.0;

    fn replay() -> Replay {
        let mut rng = Rng::new(0, "gradient term");
        let mut replay = Replay::new(SIZES.0, SIZES.1, 60);
        for i in 0..80_u16 {
            let mut x = [0.0_f32; INPUTS + LABELS];
            rng.fill_normal(&mut x);
            // Entries of different sizes, an exact duplicate now and then.
            x[0] *= 100.0;
            if i % 10 == 9 {
                let t = replay.get(replay.row_of(replay.pushed() - 1));
                x[..SIZES.0].copy_from_slice(t.observation);
                x[SIZES.0] = t.action[0];
            }
            replay.push(Transition {
                observation: &x[..SIZES.0],
                action: &x[SIZES.0..INPUTS],
                reward: 0.1 * x[INPUTS],
                next_observation: &x[INPUTS + 1..],
                terminated: false,
            });
        }
        replay
    }

    fn model(replay: &Replay) -> DynamicsModel<f64> {
        let config = ModelConfig {
            members: 1,
            elites: 1,
            hidden: 12,
            layers: 2,
            learning_rate: 1e-3,
            weight_decay: vec![0.0; 3],
            min_log_variance: -10.0,
            max_log_variance: 0.5,
            train_bounds: false,
            holdout_fraction: 0.2,
            max_holdout: 100,
            bootstrap: false,
            patience_epochs: 1,
            improvement: 0.01,
            restore_best: false,
            termination: crate::model::TerminationSource::Given,
        };
        let mut model =
            DynamicsModel::new(SIZES.0, SIZES.1, &config, &mut Rng::new(1, "gradient term"));
        let rows: Vec<u32> = (0..replay.len() as u32).collect();
        model.standardiser = Standardiser::fit(replay, &rows, SIZES.0 + SIZES.1);
        model
    }

    fn config(estimator: Estimator, output_weights: OutputWeights) -> GradientLossConfig {
        let plain = output_weights == OutputWeights::Equal;
        let coordinates =
            if plain { InputCoordinates::Raw } else { InputCoordinates::Standardised };
        let (weight, neighbours, directions_per_row, window) = (1.0, 5, 3, 50);
        GradientLossConfig {
            weight,
            neighbours,
            directions_per_row,
            window,
            estimator,
            coordinates,
            output_weights,
            unit_directions: !plain,
        }
    }

    /// The mean head at a transition's (s, a), or where a share of the way to another one lies.
    fn mean(
        model: &DynamicsModel<f64>,
        own: Transition<'_>,
        other: Transition<'_>,
        share: f64,
    ) -> Vec<f64> {
        let mut tape = Tape::new(model.shape(), 1, Keep::Nothing);
        let between =
            |d| own.input::<f64>(d) + share * (other.input::<f64>(d) - own.input::<f64>(d));
        model.standardiser.apply((0..INPUTS).map(between), tape.input.row_mut(0));
        model.members[0].network.forward(&mut tape, 0..1);
        tape.output.row(0)[..LABELS].to_vec()
    }

    #[test]
    fn each_estimators_sum_is_its_definition_and_its_gradient_that_of_the_sum() {
        let (replay, model) = (replay(), model(&replay()));
        let cases = [
            (Estimator::Directional, OutputWeights::Equal),
            (Estimator::Directional, OutputWeights::Deviation),
            (Estimator::Directional, OutputWeights::Value),
            (Estimator::Secant, OutputWeights::Deviation),
            (Estimator::Secant, OutputWeights::Value),
        ];
        for (estimator, weights) in cases {
            let mut data = GradientData::new(&config(estimator, weights), SIZES);
            data.update(&replay, || (0..SIZES.0).map(|d| 0.5 * (d % 3) as f64).collect());
            let loss = data.loss();
            let sequences: Vec<u64> = loss.neighbours.sequences().skip(3).take(20).collect();
            let mut term = GradientTerm::new(&model, 7, loss);
            let mut at = |model: &DynamicsModel<f64>| {
                let network = &model.members[0].network;
                let mut gradient = vec![0.0; network.parameters().len()];
                let rng = &mut Rng::new(2, "gradient term");
                let of = (&replay, loss);
                let sum = term.add(model, network, of, &sequences, 0.25, rng, &mut gradient);
                (sum, gradient)
            };
            let (sum, gradient) = at(&model);

            // The same draws, from the same stream.
            let mut expected = 0.0;
            let mut rng = Rng::new(2, "gradient term");
            for &sequence in &sequences {
                let own = replay.get(replay.row_of(sequence));
                let mut choice: Vec<usize> = (0..5).collect();
                for k in 0..3 {
                    let other = k + rng.below(5 - k);
                    choice.swap(k, other);
                    let other = replay.get(replay.row_of(loss.neighbours.nth(sequence, choice[k])));
                    let change: Vec<f64> = match estimator {
                        Estimator::Directional => {
                            let [ahead, behind] =
                                [1e-5, -1e-5].map(|share| mean(&model, own, other, share));
                            ahead.iter().zip(behind).map(|(a, b)| (a - b) / 2e-5).collect()
                        }
                        Estimator::Secant => {
                            let [end, start] =
                                [1.0, 0.0].map(|share| mean(&model, own, other, share));
                            end.iter().zip(start).map(|(a, b)| a - b).collect()
                        }
                    };
                    let squared = (0..INPUTS).map(|d| {
                        let deviation = match estimator {
                            // The lists' own deviations are those of the window, the model's those of its training split.
                            Estimator::Directional => return None,
                            Estimator::Secant => model.standardiser.deviation[d],
                        };
                        Some(((other.input::<f64>(d) - own.input::<f64>(d)) / deviation).powi(2))
                    });
                    let squared: Option<f64> = squared.sum();
                    let squared = squared.unwrap_or_else(|| {
                        f64::from(loss.neighbours.squared_distance(sequence, choice[k]))
                    });
                    for (d, change) in change.iter().enumerate() {
                        let residual = change - (other.label::<f64>(d) - own.label::<f64>(d));
                        let weight = loss.output_weights.get(d).copied().unwrap_or(1.0);
                        expected += weight * loss.direction_weight(squared) * residual * residual;
                    }
                }
            }
            assert!(
                (sum / expected - 1.0).abs() < 1e-6,
                "{estimator:?}, {weights:?}: {sum}, {expected}"
            );

            let largest = gradient.iter().fold(0.0_f64, |a, g| a.max(g.abs()));
            let mut seen = 0;
            for k in (0..gradient.len()).step_by(11) {
                let mut moved = |h: f64| {
                    let mut model = model.clone();
                    model.members[0].network.update(|p, _| p[k] += h);
                    at(&model).0
                };
                let difference = 0.25 * (moved(1e-5) - moved(-1e-5)) / 2e-5;
                // Padding has no gradient, but a difference.
                if gradient[k] == 0.0 {
                    continue;
                }
                seen += 1;
                let close = (difference - gradient[k]).abs() < 1e-6 * largest;
                assert!(close, "{estimator:?}, {weights:?}, {k}: {difference}, {}", gradient[k]);
            }
            assert!(seen > 10, "{seen} parameters");
        }
    }

    #[test]
    fn nothing_is_learned_of_a_derivative_from_a_duplicate() {
        let neighbours = crate::model::Neighbours::new(1, 2, 1);
        let mut loss = GradientLoss::of_paper(&neighbours, 1.0, 1);
        assert_eq!((loss.direction_weight(0.0), loss.direction_weight(4.0)), (1.0, 1.0));
        loss.least_length = Some(0.0);
        assert_eq!((loss.direction_weight(0.0), loss.direction_weight(4.0)), (0.0, 0.25));
        loss.least_length = Some(1.0);
        assert_eq!((loss.direction_weight(0.0), loss.direction_weight(3.0)), (1.0, 0.25));
    }
}
