//! The settings of ensembles that are trained for a budget of steps.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, require};
use crate::nn::InitialWeights;

/// The ensembles and their training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BudgetConfig {
    /// Members of an ensemble (8). All are used.
    #[schemars(range(min = 1, max = 1000))]
    pub members: usize,
    /// Units of each hidden layer (256).
    #[schemars(range(min = 1, max = 16_384))]
    pub hidden: usize,
    /// Hidden layers (3).
    #[schemars(range(min = 1, max = 64))]
    pub layers: usize,
    /// How a member's weights are drawn.
    #[serde(default = "initial_weights")]
    pub initial_weights: InitialWeights,
    /// Layer normalisation behind each hidden layer, without gain and bias, so that what a member says far from its data stays bounded.
    #[serde(default)]
    pub layer_norm: bool,
    /// Adam's step size (1e-3).
    #[schemars(extend("exclusiveMinimum" = 0.0), range(max = 1.0))]
    pub learning_rate: f64,
    /// Weight decay of each layer beside Adam's step (AdamW), `layers + 1` numbers (2.5e-4, 5e-4, 7.5e-4, 1e-3).
    #[schemars(inner(range(min = 0.0, max = 1e3)))]
    pub weight_decay: Vec<f64>,
    /// Rows of a minibatch of a member (512).
    #[schemars(range(min = 1, max = 1_000_000))]
    pub batch_size: usize,
    /// Steps of a member in the first training (3000).
    #[schemars(range(min = 1, max = 100_000_000))]
    pub first_steps: usize,
    /// Steps of a member in each later training (1000).
    #[schemars(range(min = 1, max = 100_000_000))]
    pub steps: usize,
    /// Steps between two looks at the held-out transitions (100).
    #[schemars(range(min = 1, max = 100_000_000))]
    pub look_every: usize,
    /// Chance of a transition to be held out for good (0.2).
    #[schemars(extend("exclusiveMinimum" = 0.0), range(max = 0.9))]
    pub holdout_fraction: f64,
}

fn initial_weights() -> InitialWeights {
    InitialWeights::TruncatedNormal
}

impl BudgetConfig {
    /// Checks the values against each other.
    ///
    /// # Errors
    /// On the first that is impossible.
    pub fn check(&self) -> Result<(), ConfigError> {
        let Self { layers, weight_decay, .. } = self;
        let expected = format!(
            "a list of {} numbers: one for each of the {layers} hidden layers and the output",
            layers + 1
        );
        let given = format!("a list of {}", weight_decay.len());
        require(weight_decay.len() == layers + 1, "model.weight_decay", given, expected)
    }
}
