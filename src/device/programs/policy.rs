//! A Gaussian policy squashed by tanh, as `src/policy/gaussian.rs` has it.

use super::network::StackShape;
use crate::device::graph::{Graph, Number, Value};
use crate::policy::Head;

/// Bounds of log σ.
const LOG_SIGMA_RANGE: (f64, f64) = (-20.0, 2.0);
const SQUASH_EPSILON: f64 = 1e-6;
/// Least σ of [`Head::Softplus`].
const LEAST_SIGMA: f64 = 1e-5;
const HALF_LOG_TAU: f64 = 0.918_938_533_204_672_7;

/// What is fixed about a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyShape {
    /// One network a run.
    pub stack: StackShape,
    /// What its second half of outputs says of σ: not [`Head::Deterministic`].
    pub head: Head,
    /// Half the action range.
    pub scale: Vec<f32>,
    /// Middle of the action range.
    pub bias: Vec<f32>,
    /// Added to log π.
    pub log_prob_offset: f32,
}

/// Actions drawn in some states.
#[derive(Clone, Copy, Debug)]
pub struct DrawnActions<'g> {
    /// a, `[runs, 1, rows, action_dim]`.
    pub actions: Value<'g>,
    /// a scaled to [−1, 1], likewise.
    pub normalised: Value<'g>,
    /// log π(a|s), `[runs, 1, rows, 1]`.
    pub log_probs: Value<'g>,
}

/// tanh u and its slope. The slope is not taken as 1 − tanh² u: near the bounds that difference has few digits, and with it log π, its
/// gradient and the action's.
fn squash(u: Value<'_>) -> (Value<'_>, Value<'_>) {
    let q = (u.abs() * -2.0).exp();
    let slope = (q * 4.0 / ((q + 1.0) * (q + 1.0))).held();
    let t = u.tanh().held();
    (t.with_derivative_of(slope * u), slope.with_derivative_of(t * slope * u * -2.0))
}

impl PolicyShape {
    /// |A|.
    pub fn action_dim(&self) -> usize {
        self.scale.len()
    }

    /// Numbers of a row, `[1, 1, 1, numbers]`.
    fn row<'g>(graph: &'g Graph, numbers: &[f32]) -> Value<'g> {
        let one = |&x: &f32| graph.constant(f64::from(x), &[1, 1, 1, 1], Number::Single);
        Value::concatenate(&numbers.iter().map(one).collect::<Vec<_>>(), 3)
    }

    /// Actions in `states`, `[runs, 1, rows, observation_dim]`, from standard normal `noise`, `[runs, 1, rows, action_dim]`.
    pub fn sample<'g>(
        &self,
        graph: &'g Graph,
        parameters: &[Value<'g>],
        states: Value<'g>,
        noise: Value<'g>,
    ) -> DrawnActions<'g> {
        let a = self.action_dim();
        let output = self.stack.forward(parameters, states);
        let raw = output.slice(3, a, 2 * a);
        let log_sigma = match self.head {
            Head::Softplus => (raw.softplus() + LEAST_SIGMA).ln(),
            _ => raw.clamp(LOG_SIGMA_RANGE.0, LOG_SIGMA_RANGE.1),
        };
        let (t, squashed) = squash(output.slice(3, 0, a) + log_sigma.exp() * noise);
        let scale = Self::row(graph, &self.scale);
        let slope = scale * squashed;
        let constant = noise * noise * 0.5 + HALF_LOG_TAU;
        let density = constant + log_sigma + (slope + SQUASH_EPSILON).ln();
        let log_probs = -density.sum(3) + f64::from(self.log_prob_offset);
        let actions = scale * t + Self::row(graph, &self.bias);
        DrawnActions { actions, normalised: t, log_probs }
    }
}
