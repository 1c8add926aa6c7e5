//! R of eq. 9 by tangents: one part's share of a minibatch, its sum and its gradient.

use super::dynamics::DynamicsModel;
use super::gradient_loss::GradientLoss;
use crate::data::Replay;
use crate::nn::{Keep, Mlp, Real, Tangent, Tape};
use crate::rng::Rng;

/// Tangent rows processed at a time: keeps a part's buffers in the cache whatever n is.
const TANGENT_ROWS: usize = 128;

/// Buffers of one part.
#[derive(Debug)]
pub struct GradientPart<T> {
    tape: Tape<T>,
    /// A tangent for each direction, or one for each input where that is fewer: J·v is linear in v, so J's columns give it for
    /// any number of directions.
    tangent: Tangent<T>,
    chunk: usize,
    /// m.
    directions: usize,
    /// Directions v of the standardised input, `[chunk·m, inputs]`, where the tangents are J's columns; else empty.
    combined: Vec<T>,
    /// Indices into a row's n neighbours, of which the first m are drawn.
    choice: Vec<usize>,
    /// Push numbers of the neighbours drawn for the present rows, `[chunk·m]`.
    drawn: Vec<u64>,
    /// Label differences y_i − y, `[chunk·m, label_dim]`.
    differences: Vec<T>,
    /// [`GradientLoss::direction_weight`] of the drawn neighbours, `[chunk·m]`.
    direction_weights: Vec<T>,
    /// ρ², `[label_dim]`.
    output_weights: Vec<T>,
}

impl<T: Real> GradientPart<T> {
    /// Buffers for up to `rows` rows with `directions` of `count` neighbours each.
    pub fn new(model: &DynamicsModel<T>, rows: usize, directions: usize, count: usize) -> Self {
        let inputs = model.shape().inputs();
        Self::with_tangents(model, rows, directions, count, directions.min(inputs))
    }

    /// `tangents` are as many as the directions, or as the inputs.
    fn with_tangents(
        model: &DynamicsModel<T>,
        rows: usize,
        directions: usize,
        count: usize,
        tangents: usize,
    ) -> Self {
        let inputs = model.shape().inputs();
        let chunk = (TANGENT_ROWS / tangents).clamp(1, rows);
        let mut tangent = Tangent::new(model.shape(), model.label_dim(), chunk, tangents);
        let mut combined = Vec::new();
        if tangents < directions {
            (0..chunk * inputs).for_each(|t| tangent.input.row_mut(t)[t % inputs] = T::ONE);
            combined = vec![T::ZERO; chunk * directions * inputs];
        }
        Self {
            tape: Tape::of_first_outputs(model.shape(), model.label_dim(), chunk, Keep::Curves),
            tangent,
            chunk,
            directions,
            combined,
            choice: (0..count).collect(),
            drawn: vec![0; chunk * directions],
            differences: vec![T::ZERO; chunk * directions * model.label_dim()],
            direction_weights: vec![T::ONE; chunk * directions],
            output_weights: vec![T::ONE; model.label_dim()],
        }
    }

    /// Adds `scale` times the gradient of Σ_{rows, directions, outputs} weight·residual² by one member's parameters, over the
    /// transitions whose push numbers are given; returns that sum.
    #[allow(clippy::too_many_arguments)]
    pub fn add(
        &mut self,
        model: &DynamicsModel<T>,
        network: &Mlp<T>,
        (replay, loss): (&Replay, GradientLoss<'_>),
        sequences: &[u64],
        scale: f64,
        rng: &mut Rng,
        gradient: &mut [T],
    ) -> f64 {
        let mut sum = 0.0;
        for (own, &weight) in self.output_weights.iter_mut().zip(loss.output_weights) {
            *own = T::from_f64(weight);
        }
        for rows in sequences.chunks(self.chunk) {
            for (i, &sequence) in rows.iter().enumerate() {
                self.draw_neighbours(i, replay, loss, sequence, rng);
            }
            for (i, &sequence) in rows.iter().enumerate() {
                self.load_row(i, model, replay, sequence);
            }
            sum += self.run(network, rows.len(), T::from_f64(2.0 * scale), gradient);
        }
        sum
    }

    /// Rows processed at a time.
    pub fn chunk(&self) -> usize {
        self.chunk
    }

    /// Push numbers of the neighbours drawn for the last rows, `[rows·m]`.
    pub fn drawn(&self) -> &[u64] {
        &self.drawn
    }

    /// Draws m of a row's n neighbours, without replacement. They lie anywhere in memory, so they are asked for here and
    /// read when all rows have drawn.
    fn draw_neighbours(
        &mut self,
        i: usize,
        replay: &Replay,
        loss: GradientLoss<'_>,
        sequence: u64,
        rng: &mut Rng,
    ) {
        replay.prefetch(replay.row_of(sequence));
        let m = self.directions;
        // Anew for each row: a permutation carried over would be state that no checkpoint holds.
        self.choice.iter_mut().enumerate().for_each(|(k, choice)| *choice = k);
        for k in 0..m {
            if m < self.choice.len() {
                let other = k + rng.below(self.choice.len() - k);
                self.choice.swap(k, other);
            }
            self.drawn[i * m + k] = loss.neighbours.nth(sequence, self.choice[k]);
            let squared = loss.neighbours.squared_distance(sequence, self.choice[k]);
            self.direction_weights[i * m + k] =
                T::from_f64(loss.direction_weight(f64::from(squared)));
            replay.prefetch(replay.row_of(self.drawn[i * m + k]));
        }
    }

    /// Row x, the directions to its drawn neighbours, and the differences of their labels.
    fn load_row(&mut self, i: usize, model: &DynamicsModel<T>, replay: &Replay, sequence: u64) {
        let (m, labels) = (self.directions, model.label_dim());
        let own = replay.get(replay.row_of(sequence));
        let inputs = model.shape().inputs();
        model.standardiser.apply((0..inputs).map(|d| own.input(d)), self.tape.input.row_mut(i));
        for k in i * m..(i + 1) * m {
            let other = replay.get(replay.row_of(self.drawn[k]));
            // dx/d(standardised x) divides by the deviation: J of the raw input is taken through it.
            let direction = match self.combined.chunks_exact_mut(inputs).nth(k) {
                Some(direction) => direction,
                None => self.tangent.input.row_mut(k),
            };
            for (d, v) in direction.iter_mut().enumerate() {
                *v = (other.input::<T>(d) - own.input(d)) / model.standardiser.deviation[d];
            }
            let differences = &mut self.differences[k * labels..][..labels];
            for (d, y) in differences.iter_mut().enumerate() {
                *y = other.label::<T>(d) - own.label(d);
            }
        }
    }

    fn run(&mut self, network: &Mlp<T>, rows: usize, scale: T, gradient: &mut [T]) -> f64 {
        network.forward(&mut self.tape, 0..rows);
        network.tangent(&self.tape, &mut self.tangent, 0..rows);
        let sum = if self.combined.is_empty() {
            self.compare(rows, scale)
        } else {
            self.compare_combined(rows, scale)
        };
        network.tangent_backward(&mut self.tape, &mut self.tangent, 0..rows, Some(gradient), false);
        sum
    }

    /// Residuals of the tangents themselves, and their adjoints.
    fn compare(&mut self, rows: usize, scale: T) -> f64 {
        let labels = self.output_weights.len();
        let mut sum = 0.0;
        for t in 0..rows * self.directions {
            let mut row = T::ZERO;
            let product = self.tangent.output.row(t);
            let adjoint = self.tangent.output_adjoint.row_mut(t);
            let differences = &self.differences[t * labels..(t + 1) * labels];
            let weights = self.output_weights.iter().map(|&w| w * self.direction_weights[t]);
            let terms = product.iter().zip(differences).zip(weights);
            for (a, ((&p, &y), weight)) in adjoint.iter_mut().zip(terms) {
                let residual = p - y;
                let weighted = residual * weight;
                row += residual * weighted;
                *a = scale * weighted;
            }
            sum += row.to_f64();
        }
        sum
    }

    /// Residuals of J·v = Σ_d v_d·J_d where the tangents are J's columns J_d, and the columns' adjoints Σ_v v_d·(adjoint of J·v).
    fn compare_combined(&mut self, rows: usize, scale: T) -> f64 {
        let (m, labels, inputs) =
            (self.directions, self.output_weights.len(), self.tangent.directions());
        let mut sum = 0.0;
        for row in 0..rows {
            let columns = row * inputs..(row + 1) * inputs;
            columns.clone().for_each(|t| self.tangent.output_adjoint.row_mut(t).fill(T::ZERO));
            for t in row * m..(row + 1) * m {
                let direction = &self.combined[t * inputs..(t + 1) * inputs];
                for label in 0..labels {
                    let mut residual = -self.differences[t * labels + label];
                    for (column, &v) in columns.clone().zip(direction) {
                        residual += v * self.tangent.output.row(column)[label];
                    }
                    let weighted =
                        residual * self.output_weights[label] * self.direction_weights[t];
                    sum += (residual * weighted).to_f64();
                    for (column, &v) in columns.clone().zip(direction) {
                        self.tangent.output_adjoint.row_mut(column)[label] += scale * weighted * v;
                    }
                }
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Standardiser, Transition};
    use crate::methods::{ddppo::DdppoConfig, preset};
    use crate::model::Neighbours;

    /// A row's ten directions in a space of three inputs, each by a tangent of its own and by the Jacobian's columns.
    #[test]
    fn columns_give_what_directions_give() {
        let mut rng = Rng::new(0, "columns");
        let mut replay = Replay::new(2, 1, 60);
        for _ in 0..60 {
            let mut x = [0.0; 6];
            rng.fill_normal(&mut x);
            replay.push(Transition {
                observation: &x[..2],
                action: &x[2..3],
                reward: x[3],
                next_observation: &x[4..],
                terminated: false,
            });
        }
        let mut config = preset("ddppo", "PointMass").unwrap().view::<DdppoConfig>().model.ensemble;
        (config.hidden, config.members) = (9, 1);
        let mut model = DynamicsModel::<f64>::new(2, 1, &config, &mut rng);
        let rows: Vec<u32> = (0..60).collect();
        model.standardiser = Standardiser::fit(&replay, &rows, 3);
        let mut neighbours = Neighbours::new(12, 60, 3);
        neighbours.update(&replay);
        let mut loss = GradientLoss::of_paper(&neighbours, 1.0, 10);
        loss.output_weights = &[0.5, 2.0, 3.0];
        loss.least_length = Some(0.1);
        let sequences: Vec<u64> = neighbours.sequences().take(25).collect();
        let network = &model.members[0].network;
        let [each, columns] = [10, 3].map(|tangents| {
            let mut part = GradientPart::with_tangents(&model, 20, 10, 12, tangents);
            assert_eq!(part.combined.is_empty(), tangents == 10);
            let mut gradient = vec![0.0; network.parameters().len()];
            let rng = &mut Rng::new(1, "columns");
            let of = (&replay, loss);
            let sum = part.add(&model, network, of, &sequences, 0.25, rng, &mut gradient);
            (sum, gradient)
        });
        assert!(each.0 > 0.0 && (columns.0 / each.0 - 1.0).abs() < 1e-12);
        let largest = each.1.iter().fold(0.0_f64, |a, g| a.max(g.abs()));
        assert!(largest > 0.0);
        for (a, b) in each.1.iter().zip(&columns.1) {
            assert!((a - b).abs() < 1e-12 * largest, "{a}, {b}");
        }
    }
}
