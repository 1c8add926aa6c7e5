//! The values that end a real path, of raw states and actions, and their slopes.

use crate::critic::{Critic, LeastTape};
use crate::lab::precision;
use crate::nn::{Keep, Matrix, Mlp, Tape};
use crate::path::{EndValue, Valuation};
use crate::policy::Policy;

/// What a critic says of the end of a path, in double precision.
#[derive(Clone, Debug)]
pub(crate) enum EndValues {
    /// The least of its networks.
    Least(Critic<f64>),
    /// The mean of networks with their standardiser, their action's scale and their range of values worked into first and last layer.
    Mean(Vec<Mlp<f64>>),
}

impl EndValues {
    /// Those of a method.
    pub fn new(of: Valuation<'_, f32>) -> Self {
        let critic = precision::critic(of.critic);
        match of.end {
            EndValue::Least => Self::Least(critic),
            EndValue::Mean { centre, half_width } => {
                let policy = precision::policy(of.policy);
                let raw = |network| in_raw_units(network, &policy, (centre, half_width));
                Self::Mean(critic.networks.into_iter().map(|q| raw(q.network)).collect())
            }
        }
    }

    /// Values of some rows: s of `states`, a of `actions` `[rows, action_dim]`.
    pub fn values(&self, states: &Matrix<f64>, actions: &[f64]) -> Vec<f64> {
        let rows = states.rows();
        match self {
            Self::Least(critic) => {
                let mut tape = LeastTape::new(critic, rows);
                critic.least(&mut tape, states, actions);
                (0..rows).map(|i| tape.value(i)).collect()
            }
            Self::Mean(networks) => {
                let mut values = vec![0.0; rows];
                let mut tape = load(&networks[0], states, actions, Keep::Nothing);
                for network in networks {
                    network.forward(&mut tape, 0..rows);
                    for (i, value) in values.iter_mut().enumerate() {
                        *value += tape.output.row(i)[0] / networks.len() as f64;
                    }
                }
                values
            }
        }
    }

    /// `weight` times each row's derivative by (s, a), `[rows][observation_dim + action_dim]`.
    pub fn slopes(&self, states: &Matrix<f64>, actions: &[f64], weight: f64) -> Vec<Vec<f64>> {
        let rows = states.rows();
        match self {
            Self::Least(critic) => {
                let mut tape = LeastTape::new(critic, rows);
                critic.least(&mut tape, states, actions);
                critic.least_slopes(&mut tape, |_| weight);
                (0..rows).map(|i| tape.slopes(i).collect()).collect()
            }
            Self::Mean(networks) => {
                let mut slopes = vec![vec![0.0; networks[0].shape().inputs()]; rows];
                let mut tape = load(&networks[0], states, actions, Keep::Slopes);
                for network in networks {
                    network.forward(&mut tape, 0..rows);
                    let each = weight / networks.len() as f64;
                    (0..rows).for_each(|i| tape.output_adjoint.row_mut(i)[0] = each);
                    network.backward(&mut tape, 0..rows, None, true);
                    for (i, slopes) in slopes.iter_mut().enumerate() {
                        let own = tape.input_adjoint.row(i);
                        slopes.iter_mut().zip(own).for_each(|(sum, slope)| *sum += slope);
                    }
                }
                slopes
            }
        }
    }
}

fn load(network: &Mlp<f64>, states: &Matrix<f64>, actions: &[f64], keep: Keep) -> Tape<f64> {
    let (rows, s) = (states.rows(), states.columns());
    let a = actions.len() / rows;
    let mut tape = Tape::new(network.shape(), rows, keep);
    for i in 0..rows {
        let (to_s, to_a) = tape.input.row_mut(i).split_at_mut(s);
        to_s.copy_from_slice(states.row(i));
        to_a.copy_from_slice(&actions[i * a..(i + 1) * a]);
    }
    tape
}

/// The network of raw (s, a) that says centre + half_width·network(what `policy` reads of s, a scaled to [−1, 1]).
fn in_raw_units(
    mut network: Mlp<f64>,
    policy: &Policy<f64>,
    (centre, half_width): (f64, f64),
) -> Mlp<f64> {
    let input = policy.input.as_ref().expect("such a critic's policy reads standardised states");
    let of_states = input.mean.iter().zip(&input.deviation);
    let numbers: Vec<(f64, f64)> = of_states
        .chain(policy.bias.iter().zip(&policy.scale))
        .map(|(&mean, &deviation)| (mean, deviation))
        .collect();
    network.update(|parameters, shape| {
        let (mut weight, mut bias) = shape.export(0, parameters);
        for (row, &(mean, deviation)) in weight.chunks_exact_mut(bias.len()).zip(&numbers) {
            for (weight, bias) in row.iter_mut().zip(&mut bias) {
                *weight /= deviation;
                *bias -= *weight * mean;
            }
        }
        shape.import(0, &weight, &bias, parameters);
        let last = shape.layers.len() - 1;
        let (mut weight, mut bias) = shape.export(last, parameters);
        weight.iter_mut().for_each(|weight| *weight *= half_width);
        bias.iter_mut().for_each(|bias| *bias = *bias * half_width + centre);
        shape.import(last, &weight, &bias, parameters);
    });
    network
}
