//! How a network's weights are drawn, where that is a setting.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::mlp::Mlp;
use super::shape::Shape;
use crate::machine::Real;
use crate::rng::Rng;

/// How a network's weights are drawn. The wider the draw, the more do networks differ from each other where there are no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InitialWeights {
    /// From a normal of deviation 1/(2√fan_in), truncated at two deviations; biases 0.
    TruncatedNormal,
    /// With orthonormal columns or rows; biases 0.
    Orthogonal,
    /// From a normal of deviation √(2/fan_in); biases from one of 1/(2√fan_in).
    Kaiming,
}

impl InitialWeights {
    /// Draws a network.
    pub fn draw<T: Real>(self, shape: Shape, rng: &mut Rng) -> Mlp<T> {
        match self {
            Self::TruncatedNormal => Mlp::truncated_normal(shape, rng),
            Self::Orthogonal => Mlp::orthogonal(shape, rng),
            Self::Kaiming => Mlp::kaiming(shape, rng),
        }
    }
}
