//! How far the policy gradient is off because the models' derivatives are: the adjoint of SPEC section 2 along *real*
//! trajectories of K steps, with the models' Jacobians and with the true ones. Start states, noise, critic and
//! temperature are the same, so that nothing but the derivative differs.

use rayon::prelude::*;
use serde::Serialize;

use super::gradient_error::cosine;
use super::mean_head::MeanHead;
use super::trajectory::{Trajectory, live};
use crate::critic::{Critic, LeastTape};
use crate::env::jacobian::project;
use crate::env::{EnvironmentError, Task};
use crate::lab::precision;
use crate::lab::theory::theorem1_terms::{ModelTerms, Terms};
use crate::model::{DynamicsModel, Models};
use crate::nn::{Keep, Matrix};
use crate::path::Objective;
use crate::policy::{Policy, PolicyTape};

/// Shares of M^g in the mixtures, beside 0 (M^p) and 1 (M^g).
pub const SHARES: [f64; 3] = [0.25, 0.5, 0.75];

/// The distance of a gradient g from the true one g*.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bias {
    /// ‖g − g*‖ / ‖g*‖.
    pub relative: f64,
    /// Cosine of the angle between them.
    pub cosine: f64,
}

/// The bias with (1 − c)·J(M^p) + c·J(M^g) as the derivative of each step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Mixture {
    /// c, the share of M^g.
    pub share: f64,
    /// What comes of it.
    #[serde(flatten)]
    pub bias: Bias,
}

/// Both models' policy-gradient bias, and what Theorem 1 holds to be its causes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PolicyGradientBias {
    /// K.
    pub horizon: usize,
    /// Trajectories in the gradient's mean: those that met neither a contact event nor an episode's end.
    pub trajectories: usize,
    /// M^p.
    pub prediction_model: Bias,
    /// M^g; `None` where the prediction model plays its role.
    pub gradient_model: Option<Bias>,
    /// In between, one for each of [`SHARES`]; none where there is one model.
    pub mixtures: Vec<Mixture>,
    /// At the states of these trajectories.
    pub theorem1: Terms,
}

/// The derivative of each step of each trajectory, `[trajectory][step]`, in the shape of the true ones.
pub(crate) type Jacobians = [Vec<Vec<f64>>];

/// What a model says at each step of each trajectory.
pub(crate) struct Learned {
    /// (s', r), `[trajectory][step][observation_dim + 1]`.
    pub predictions: Vec<Vec<Vec<f64>>>,
    /// [`Jacobians`], projected as the true ones are.
    pub jacobians: Vec<Vec<Vec<f64>>>,
}

impl Learned {
    fn new(model: &DynamicsModel<f32>, task: &dyn Task, trajectories: &[Trajectory]) -> Self {
        let model = precision::model(model);
        let of_step = |head: &mut MeanHead<'_>, s: &[f64], a: &[f64]| {
            let mut jacobian = head.jacobian(s, a);
            project(task, s, &mut jacobian);
            (head.predict(s, a), jacobian)
        };
        let all: Vec<(Vec<_>, Vec<_>)> = trajectories
            .par_iter()
            .map_init(
                || MeanHead::new(&model),
                |head, trajectory| {
                    let points = trajectory.points.iter();
                    points.map(|point| of_step(head, &point.observation, &point.action)).unzip()
                },
            )
            .collect();
        let (predictions, jacobians) = all.into_iter().unzip();
        Self { predictions, jacobians }
    }
}

/// (1 − c)·a + c·b.
fn mixed(a: &Jacobians, b: &Jacobians, c: f64) -> Vec<Vec<Vec<f64>>> {
    let entries = |a: &[f64], b: &[f64]| -> Vec<f64> {
        a.iter().zip(b).map(|(a, b)| (1.0 - c) * a + c * b).collect()
    };
    let steps = |a: &[Vec<f64>], b: &[Vec<f64>]| -> Vec<Vec<f64>> {
        a.iter().zip(b).map(|(a, b)| entries(a, b)).collect()
    };
    a.iter().zip(b).map(|(a, b)| steps(a, b)).collect()
}

/// The policy and what values it.
struct RealObjective<'a> {
    policy: &'a Policy<f64>,
    critic: &'a Critic<f64>,
    alpha: f64,
    discount: f64,
}

/// Measures the bias over trajectories from `starts` states of the run's stochastic policy. `None` if none of them is free
/// of contact events and ends.
///
/// # Errors
/// When the world fails, or cannot be displaced.
pub fn policy_gradient_bias(
    of: Objective<'_, f32>,
    models: Models<'_>,
    task: &dyn Task,
    horizon: usize,
    starts: usize,
    seed: u64,
) -> Result<Option<PolicyGradientBias>, EnvironmentError> {
    let policy = precision::policy(of.policy);
    let critic = precision::critic(of.critic);
    let (alpha, discount) = (of.alpha, of.discount);
    let objective = RealObjective { policy: &policy, critic: &critic, alpha, discount };
    let trajectories = live(of.policy, task, &policy, (horizon, starts), seed)?;
    if trajectories.is_empty() {
        return Ok(None);
    }
    let truth: Vec<Vec<Vec<f64>>> = trajectories.iter().map(|t| t.truth.clone()).collect();
    let g_true = objective.gradient(&trajectories, &truth);
    let bias = |jacobians: &Jacobians| {
        let g = objective.gradient(&trajectories, jacobians);
        let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>().sqrt();
        let off = norm(&mut g.iter().zip(&g_true).map(|(a, b)| a - b));
        Bias {
            relative: off / norm(&mut g_true.iter().copied()),
            cosine: cosine(&g, &g_true).unwrap_or(0.0),
        }
    };
    let learned = |model| Learned::new(model, task, &trajectories);
    let by_p = learned(models.prediction);
    let by_g = models.gradient.map(learned);
    let mixtures = by_g.iter().flat_map(|by_g| {
        SHARES.map(|share| Mixture {
            share,
            bias: bias(&mixed(&by_p.jacobians, &by_g.jacobians, share)),
        })
    });
    Ok(Some(PolicyGradientBias {
        horizon,
        trajectories: trajectories.len(),
        prediction_model: bias(&by_p.jacobians),
        gradient_model: by_g.as_ref().map(|by_g| bias(&by_g.jacobians)),
        mixtures: mixtures.collect(),
        theorem1: Terms {
            states: horizon * trajectories.len(),
            prediction_model: ModelTerms::new(&by_p, &trajectories),
            gradient_model: by_g.as_ref().map(|by_g| ModelTerms::new(by_g, &trajectories)),
        },
    }))
}

impl RealObjective<'_> {
    /// The gradient by the policy's parameters of the mean over trajectories of Σ_j γʲ·c_j with c_j = −r_j + α·log π for
    /// j < K and c_K = −min(Q₁, Q₂) + α·log π, with `jacobians[i][j]` as the derivative of step j.
    fn gradient(&self, trajectories: &[Trajectory], jacobians: &Jacobians) -> Vec<f64> {
        let rows = trajectories.len();
        let mut tape = PolicyTape::new(self.policy, rows, Keep::Values);
        let mut gradient = vec![0.0; self.policy.network.parameters().len()];
        let horizon = trajectories[0].points.len();
        let weight = |j: usize| self.discount.powi(j as i32) / rows as f64;

        self.act(&mut tape, trajectories, horizon);
        let (mut adjoints, mut by_action) =
            self.value_slopes(&tape, trajectories, -weight(horizon));
        for j in (0..=horizon).rev() {
            if j < horizon {
                self.act(&mut tape, trajectories, j);
                for (i, jacobian) in jacobians.iter().enumerate() {
                    let slopes = pull_back(&jacobian[j], &adjoints[i], -weight(j));
                    let (by_state, rest) = slopes.split_at(adjoints[i].len());
                    adjoints[i].copy_from_slice(by_state);
                    by_action[i * rest.len()..(i + 1) * rest.len()].copy_from_slice(rest);
                }
            }
            let by_log_prob = vec![self.alpha * weight(j); rows];
            let gradient = Some(&mut gradient[..]);
            self.policy.backward(&mut tape, rows, &by_action, &by_log_prob, gradient, true);
            for (i, adjoint) in adjoints.iter_mut().enumerate() {
                let through = tape.network.input_adjoint.row(i);
                adjoint.iter_mut().zip(through).for_each(|(p, t)| *p += t);
            }
        }
        gradient
    }

    /// Puts step j of all trajectories on the tape.
    fn act(&self, tape: &mut PolicyTape<f64>, trajectories: &[Trajectory], j: usize) {
        let actions = self.policy.action_dim();
        for (i, trajectory) in trajectories.iter().enumerate() {
            let state = trajectory.points.get(j).map_or(&trajectory.last, |p| &p.observation);
            tape.network.input.row_mut(i).copy_from_slice(state);
            tape.noise[i * actions..(i + 1) * actions].copy_from_slice(&trajectory.noise[j]);
        }
        self.policy.sample(tape, trajectories.len());
    }

    /// `weight`·∇ min(Q₁, Q₂) at the last states and actions, by state and by action.
    fn value_slopes(
        &self,
        tape: &PolicyTape<f64>,
        trajectories: &[Trajectory],
        weight: f64,
    ) -> (Vec<Vec<f64>>, Vec<f64>) {
        let rows = trajectories.len();
        let (states, actions) = (trajectories[0].last.len(), self.policy.action_dim());
        let mut last = Matrix::zeros(rows, states);
        for (i, trajectory) in trajectories.iter().enumerate() {
            last.row_mut(i).copy_from_slice(&trajectory.last);
        }
        let mut values = LeastTape::new(self.critic, rows);
        self.critic.least(&mut values, &last, &tape.actions[..rows * actions]);
        self.critic.least_slopes(&mut values, |_| weight);
        let slopes = |i: usize| values.slopes(i).collect::<Vec<f64>>();
        let by_action = (0..rows).flat_map(|i| slopes(i)[states..].to_vec()).collect();
        ((0..rows).map(|i| slopes(i)[..states].to_vec()).collect(), by_action)
    }
}

/// Jᵀ·(adjoint of s', adjoint of r), by (s, a).
fn pull_back(jacobian: &[f64], next: &[f64], reward: f64) -> Vec<f64> {
    let columns = jacobian.len() / (next.len() + 1);
    let mut slopes = vec![0.0; columns];
    let weights = next.iter().copied().chain([reward]);
    for (row, weight) in jacobian.chunks(columns).zip(weights) {
        slopes.iter_mut().zip(row).for_each(|(slope, x)| *slope += weight * x);
    }
    slopes
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::methods::ddppo::Ddppo;
    use crate::rng::Rng;

    /// The discounted cost along the real trajectories that a policy makes from the same starts with the same noise.
    fn cost(objective: &RealObjective<'_>, trajectories: &[Trajectory], task: &dyn Task) -> f64 {
        let mut world = task.make().unwrap();
        let mut tape = PolicyTape::new(objective.policy, 1, Keep::Nothing);
        let mut values = LeastTape::new(objective.critic, 1);
        let mut last = Matrix::zeros(1, task.observation_dim());
        let mut total = 0.0;
        for trajectory in trajectories {
            world.set_state(&trajectory.points[0].state).unwrap();
            let mut state = trajectory.points[0].observation.clone();
            for (j, noise) in trajectory.noise.iter().enumerate() {
                tape.network.input.row_mut(0).copy_from_slice(&state);
                tape.noise.copy_from_slice(noise);
                objective.policy.sample(&mut tape, 1);
                let gain = if j < trajectory.points.len() {
                    world.step(&tape.actions, &mut state).unwrap().reward
                } else {
                    last.row_mut(0).copy_from_slice(&state);
                    objective.critic.least(&mut values, &last, &tape.actions);
                    values.value(0)
                };
                total += objective.discount.powi(j as i32)
                    * (objective.alpha * tape.log_probs[0] - gain);
            }
        }
        total / trajectories.len() as f64
    }

    #[test]
    fn the_true_gradient_is_the_derivative_of_the_real_cost() {
        let task = crate::env::task("PointMass").unwrap();
        let config = crate::methods::preset("ddppo", "PointMass").unwrap();
        let method = Ddppo::new(&config, Arc::clone(&task));
        let policy = precision::policy(&method.policy);
        let critic = precision::critic(&method.critic);
        let objective =
            RealObjective { policy: &policy, critic: &critic, alpha: 0.3, discount: 0.9 };
        let trajectories = live(&method.policy, &*task, &policy, (3, 20), 1).unwrap();
        assert!(trajectories.len() >= 15);
        let truth: Vec<_> = trajectories.iter().map(|t| t.truth.clone()).collect();
        let gradient = objective.gradient(&trajectories, &truth);
        let mut rng = Rng::new(0, "policy gradient test");
        for _ in 0..4 {
            let direction: Vec<f64> = policy
                .network
                .parameters()
                .iter()
                .map(|&p| if p == 0.0 { 0.0 } else { rng.normal() })
                .collect();
            let at = |h: f64| {
                let mut moved = policy.clone();
                moved
                    .network
                    .update(|p, _| p.iter_mut().zip(&direction).for_each(|(p, d)| *p += h * d));
                cost(&RealObjective { policy: &moved, ..objective }, &trajectories, &*task)
            };
            let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
            let product: f64 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
            assert!(
                (difference - product).abs() < 1e-4 * product.abs(),
                "{difference} for {product}"
            );
        }
    }
}
