//! The gradient loss R (eq. 9): the mean over members, rows, directions and outputs of (J·v − Δy)², where J is the
//! Jacobian of the mean head in raw units, v = x_i − x points to a nearest neighbour and Δy = y_i − y.
//!
//! With y = (r, s') the identity part of ∂s'/∂s cancels against s_i − s, so residuals are taken on (r, Δs), which the
//! network predicts; they are the same numbers (docs/algorithm.md, "The gradient loss").

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dynamics::DynamicsModel;
use super::neighbours::{InputCoordinates, Neighbours};
use crate::config::{ConfigError, require};
use crate::data::Replay;
use crate::nn::{Keep, Mlp, Real, Tangent, Tape};
use crate::rng::Rng;

/// Tangent rows processed at a time: keeps a part's buffers in the cache whatever n is.
const TANGENT_ROWS: usize = 128;

/// How a model's derivative is compared with the differences between neighbours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Estimator {
    /// The Jacobian at a row, times the direction to its neighbour (the paper's R).
    #[default]
    Directional,
    /// The difference between the model's means at the neighbour and at the row.
    Secant,
}

/// How much an output's residual counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputWeights {
    /// All alike, in the task's units (the paper).
    #[default]
    Equal,
    /// By 1/variance of the output over the window.
    Deviation,
    /// By the discounted mean square of the critic's slope along the output, and 1 for the reward; in all as much as by `deviation`.
    Value,
}

/// R's place in a training: its data and weights.
#[derive(Clone, Copy)]
pub struct GradientLoss<'a> {
    /// Neighbour lists of the newest real transitions.
    pub neighbours: &'a Neighbours,
    /// w.
    pub weight: f64,
    /// m: directions drawn from each row's n at each step.
    pub directions: usize,
    /// What is compared.
    pub estimator: Estimator,
    /// ρ² of each output, `[label_dim]`; empty where all are 1.
    pub output_weights: &'a [f64],
    /// ε, where squared residuals are divided by the direction's squared length + ε²; `None` where they are taken as they are.
    pub least_length: Option<f64>,
}

impl<'a> GradientLoss<'a> {
    /// The paper's R.
    pub fn of_paper(neighbours: &'a Neighbours, weight: f64, directions: usize) -> Self {
        let estimator = Estimator::Directional;
        Self { neighbours, weight, directions, estimator, output_weights: &[], least_length: None }
    }

    /// What the squared residual along a direction of this squared length is multiplied by.
    pub fn direction_weight(&self, squared_length: f64) -> f64 {
        let Some(least) = self.least_length else { return 1.0 };
        let squares = squared_length + least * least;
        // A row that is there twice, where many are: it says nothing of a derivative.
        if squares > 0.0 { 1.0 / squares } else { 0.0 }
    }
}

/// Buffers of one part.
#[derive(Debug)]
pub struct GradientPart<T> {
    tape: Tape<T>,
    tangent: Tangent<T>,
    chunk: usize,
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

/// R of eq. 9, in the gradient model's loss with weight w (eq. 10).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GradientLossConfig {
    /// Weight w (Table 1). 0 leaves R out.
    #[schemars(range(min = 0.0, max = 1e9))]
    pub weight: f64,
    /// Nearest neighbours of each row, n (Table 1).
    #[schemars(range(min = 1, max = 10_000))]
    pub neighbours: usize,
    /// Directions drawn from a row's n at each step, m ≤ n. m = n is the paper's loss.
    #[schemars(range(min = 1, max = 10_000))]
    pub directions_per_row: usize,
    /// Newest real transitions among which neighbours are sought (10 000).
    #[schemars(range(min = 2, max = 100_000_000))]
    pub window: usize,
    /// What the differences between neighbours are compared with.
    #[serde(default)]
    pub estimator: Estimator,
    /// What neighbours are near in, and the length of directions is taken in.
    #[serde(default)]
    pub coordinates: InputCoordinates,
    /// How much each output's residual counts.
    #[serde(default)]
    pub output_weights: OutputWeights,
    /// Divide residuals by the length of their direction, or rather by √(length² + ε²) with the length ε that 5 % of the neighbours
    /// stay below: each direction counts alike, however far the neighbour is.
    #[serde(default)]
    pub unit_directions: bool,
}

impl GradientLossConfig {
    /// Checks the values against each other, and against those of the loop around them.
    ///
    /// # Errors
    /// On the first that is impossible.
    pub fn check(&self, min_transitions: usize, replay_capacity: usize) -> Result<(), ConfigError> {
        let &Self { neighbours, directions_per_row, window, .. } = self;
        if self.estimator == Estimator::Secant {
            let expected =
                "`standardised`: the length of a secant is that of its standardised input";
            let holds = self.coordinates == InputCoordinates::Standardised;
            require(holds, "gradient_loss.coordinates", "raw", expected)?;
            let expected = "`true`: residuals of secants are divided by their length";
            require(self.unit_directions, "gradient_loss.unit_directions", "false", expected)?;
        }
        // A row is no neighbour of its own.
        for (limit, name) in
            [(window, "gradient_loss.window"), (min_transitions, "training.min_transitions")]
        {
            let expected = format!("below `{name}` ({limit})");
            require(neighbours < limit, "gradient_loss.neighbours", neighbours, expected)?;
        }
        // Rows of the window must still be there when they are trained on.
        let expected = format!("at most `training.replay_capacity` ({replay_capacity})");
        require(window <= replay_capacity, "gradient_loss.window", window, expected)?;
        let expected = format!("from 1 to `gradient_loss.neighbours` ({neighbours})");
        let key = "gradient_loss.directions_per_row";
        require(directions_per_row <= neighbours, key, directions_per_row, expected)
    }
}

impl<T: Real> GradientPart<T> {
    /// Buffers for up to `rows` rows with `directions` of `count` neighbours each.
    pub fn new(model: &DynamicsModel<T>, rows: usize, directions: usize, count: usize) -> Self {
        let chunk = (TANGENT_ROWS / directions).clamp(1, rows);
        Self {
            tape: Tape::of_first_outputs(model.shape(), model.label_dim(), chunk, Keep::Curves),
            tangent: Tangent::new(model.shape(), model.label_dim(), chunk, directions),
            chunk,
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
            sum += self.run(
                network,
                model.label_dim(),
                rows.len(),
                T::from_f64(2.0 * scale),
                gradient,
            );
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
        let m = self.tangent.directions();
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
        let (m, labels) = (self.tangent.directions(), model.label_dim());
        let own = replay.get(replay.row_of(sequence));
        let inputs = model.shape().inputs();
        model.standardiser.apply((0..inputs).map(|d| own.input(d)), self.tape.input.row_mut(i));
        for k in i * m..(i + 1) * m {
            let other = replay.get(replay.row_of(self.drawn[k]));
            // dx/d(standardised x) divides by the deviation: J of the raw input is taken through it.
            for (d, v) in self.tangent.input.row_mut(k).iter_mut().enumerate() {
                *v = (other.input::<T>(d) - own.input(d)) / model.standardiser.deviation[d];
            }
            let differences = &mut self.differences[k * labels..][..labels];
            for (d, y) in differences.iter_mut().enumerate() {
                *y = other.label::<T>(d) - own.label(d);
            }
        }
    }

    fn run(
        &mut self,
        network: &Mlp<T>,
        labels: usize,
        rows: usize,
        scale: T,
        gradient: &mut [T],
    ) -> f64 {
        network.forward(&mut self.tape, 0..rows);
        network.tangent(&self.tape, &mut self.tangent, 0..rows);
        let mut sum = 0.0;
        for t in 0..rows * self.tangent.directions() {
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
        network.tangent_backward(&mut self.tape, &mut self.tangent, 0..rows, Some(gradient), false);
        sum
    }
}
