//! The gradient loss as a term of a model's loss, by whichever estimator: one piece's share of a minibatch.

use super::dynamics::DynamicsModel;
use super::gradient_loss::{Estimator, GradientLoss, GradientPiece};
use super::secant::{SecantPiece, SecantUnits};
use crate::data::Replay;
use crate::nn::{Mlp, Real};
use crate::rng::Rng;

/// Rows that run through the network at a time for secants: a row and its neighbours.
const SECANT_ROWS: usize = 256;

/// Buffers of one piece.
#[derive(Debug)]
pub(crate) enum GradientTerm<T> {
    /// R by tangents.
    Directional(GradientPiece<T>),
    /// R̃ by two rows.
    Secant(SecantTerm<T>),
}

/// Buffers of one piece of R̃.
#[derive(Debug)]
pub(crate) struct SecantTerm<T> {
    piece: SecantPiece<T>,
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
            Estimator::Directional => Self::Directional(GradientPiece::new(model, rows, m, n)),
            Estimator::Secant => {
                let rows = (SECANT_ROWS / (1 + m)).clamp(1, rows);
                Self::Secant(SecantTerm {
                    piece: SecantPiece::new(model.shape(), labels, rows, (m, n)),
                    rows: vec![0; rows],
                    label_scale: vec![T::ONE; labels],
                    weights: vec![T::ONE; labels],
                })
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
            Self::Directional(piece) => {
                piece.add(model, network, (replay, loss), sequences, scale, rng, gradient)
            }
            Self::Secant(term) => {
                term.add(model, network, (replay, loss), sequences, scale, rng, gradient)
            }
        }
    }
}

impl<T: Real> SecantTerm<T> {
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
        let Self { piece, rows, label_scale, weights } = self;
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
            sum += piece.add(network, units, replay, nth, rows, scale, rng, gradient);
        }
        sum
    }
}
