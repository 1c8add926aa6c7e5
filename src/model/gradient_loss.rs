//! The gradient loss R (eq. 9): the mean over members, rows, directions and outputs of (J·v − Δy)², where J is the
//! Jacobian of the mean head in raw units, v = x_i − x points to a nearest neighbour and Δy = y_i − y.
//!
//! With y = (r, s') the identity part of ∂s'/∂s cancels against s_i − s, so residuals are taken on (r, Δs), which the
//! network predicts; they are the same numbers (docs/algorithm.md, "The gradient loss").

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::neighbours::{InputCoordinates, Neighbours};
use crate::config::{ConfigError, require};

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
