//! The gradient of what the policy is improved on (eq. 11), along *real* paths and with any derivative of their steps.

use super::end_values::EndValues;
use super::learned_steps::StepJacobians;
use super::real_path::{RealPath, read};
use crate::nn::{Keep, Matrix};
use crate::policy::{Policy, PolicyTape};

/// The policy and what values it.
#[derive(Clone, Copy)]
pub(crate) struct RealObjective<'a> {
    pub policy: &'a Policy<f64>,
    pub values: &'a EndValues,
    pub alpha: f64,
    pub discount: f64,
}

impl RealObjective<'_> {
    /// The gradient by the policy's parameters of the mean over trajectories of Σ_j γʲ·c_j with c_j = −r_j + α·log π for
    /// j < K and c_K = −Q + α·log π, Q being the end's value, with `jacobians[i][j]` as the derivative of step j.
    pub(crate) fn gradient(
        &self,
        trajectories: &[RealPath],
        jacobians: &StepJacobians,
    ) -> Vec<f64> {
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
                for (d, (adjoint, through)) in adjoint.iter_mut().zip(through).enumerate() {
                    let scale = self.policy.input.as_ref().map_or(1.0, |input| input.deviation[d]);
                    *adjoint += through / scale;
                }
            }
        }
        gradient
    }

    /// Puts step j of all trajectories on the tape.
    fn act(&self, tape: &mut PolicyTape<f64>, trajectories: &[RealPath], j: usize) {
        let actions = self.policy.action_dim();
        for (i, trajectory) in trajectories.iter().enumerate() {
            let state = trajectory.points.get(j).map_or(&trajectory.last, |p| &p.observation);
            read(self.policy, state, tape.network.input.row_mut(i));
            tape.noise[i * actions..(i + 1) * actions].copy_from_slice(&trajectory.noise[j]);
        }
        self.policy.sample(tape, trajectories.len());
    }

    /// `weight`·∇Q at the last states and actions, by state and by action.
    fn value_slopes(
        &self,
        tape: &PolicyTape<f64>,
        trajectories: &[RealPath],
        weight: f64,
    ) -> (Vec<Vec<f64>>, Vec<f64>) {
        let rows = trajectories.len();
        let (states, actions) = (trajectories[0].last.len(), self.policy.action_dim());
        let mut last = Matrix::zeros(rows, states);
        for (i, trajectory) in trajectories.iter().enumerate() {
            last.row_mut(i).copy_from_slice(&trajectory.last);
        }
        let slopes = self.values.slopes(&last, &tape.actions[..rows * actions], weight);
        let by_action = slopes.iter().flat_map(|slopes| slopes[states..].to_vec()).collect();
        (slopes.iter().map(|slopes| slopes[..states].to_vec()).collect(), by_action)
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

    use super::super::real_path::live;
    use super::*;
    use crate::data::Standardiser;
    use crate::env::Task;
    use crate::lab::precision;
    use crate::path::{EndValue, Valuation};
    use crate::rng::Rng;

    /// The discounted cost along the real trajectories that a policy makes from the same starts with the same noise.
    fn cost(objective: &RealObjective<'_>, trajectories: &[RealPath], task: &dyn Task) -> f64 {
        let mut environment = task.make().unwrap();
        let mut tape = PolicyTape::new(objective.policy, 1, Keep::Nothing);
        let mut last = Matrix::zeros(1, task.observation_dim());
        let mut total = 0.0;
        for trajectory in trajectories {
            environment.set_state(&trajectory.points[0].state).unwrap();
            let mut state = trajectory.points[0].observation.clone();
            for (j, noise) in trajectory.noise.iter().enumerate() {
                read(objective.policy, &state, tape.network.input.row_mut(0));
                tape.noise.copy_from_slice(noise);
                objective.policy.sample(&mut tape, 1);
                let gain = if j < trajectory.points.len() {
                    environment.step(&tape.actions, &mut state).unwrap().reward
                } else {
                    last.row_mut(0).copy_from_slice(&state);
                    objective.values.values(&last, &tape.actions)[0]
                };
                total += objective.discount.powi(j as i32)
                    * (objective.alpha * tape.log_probs[0] - gain);
            }
        }
        total / trajectories.len() as f64
    }

    fn differentiates_the_real_cost(of: Valuation<'_, f32>, task: &dyn Task) {
        let policy = precision::policy(of.policy);
        let values = EndValues::new(of);
        let objective =
            RealObjective { policy: &policy, values: &values, alpha: 0.3, discount: 0.9 };
        let trajectories = live(of.policy, task, &policy, (3, 20), 1).unwrap();
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
                cost(&RealObjective { policy: &moved, ..objective }, &trajectories, task)
            };
            let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
            let product: f64 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
            assert!(
                (difference - product).abs() < 1e-4 * product.abs(),
                "{difference} for {product}"
            );
        }
    }

    #[test]
    fn the_true_gradient_is_the_derivative_of_the_real_cost() {
        let task = crate::env::task("PointMass").unwrap();
        let config = crate::methods::preset("ddppo", "PointMass").unwrap();
        let method = crate::methods::ddppo::Ddppo::new(&config, Arc::clone(&task));
        let (policy, critic, end) = (&method.policy, &method.critic, EndValue::Least);
        let (alpha, discount, horizon) = (0.3, 0.9, 3);
        let of = Valuation { policy, critic, end, alpha, discount, horizon };
        differentiates_the_real_cost(of, &*task);
    }

    /// States read through a standardiser, actions scaled, and the mean of critics whose outputs stand in a range.
    #[test]
    fn it_is_of_standardised_states_and_the_mean_of_the_critics_too() {
        let task = crate::env::task("Pendulum").unwrap();
        let config = crate::methods::preset("ddppo-plus", "Pendulum").unwrap();
        let mut method = crate::methods::ddppo_plus::DdppoPlus::new(&config, Arc::clone(&task));
        let (mean, deviation) = (vec![0.2, -0.1], vec![0.7, 2.0]);
        method.policy.input = Some(Standardiser { mean, deviation });
        let mut rng = Rng::new(1, "critics");
        for q in &mut method.critic.networks {
            q.network.update(|p, _| p.iter_mut().for_each(|p| *p += 0.05 * rng.normal() as f32));
        }
        let (policy, critic) = (&method.policy, &method.critic);
        let end = EndValue::Mean { centre: -3.0, half_width: 40.0 };
        let (alpha, discount, horizon) = (0.3, 0.9, 3);
        let of = Valuation { policy, critic, end, alpha, discount, horizon };
        differentiates_the_real_cost(of, &*task);

        // The end's value is what short paths take.
        let state = [0.3_f64, -0.9];
        let action = [-0.8_f64];
        let mut last = Matrix::zeros(1, 2);
        last.row_mut(0).copy_from_slice(&state);
        let found = EndValues::new(of).values(&last, &action)[0];
        let networks = critic.networks.iter().map(|q| {
            let network = precision::network::<f32, f64>(&q.network);
            let mut tape = crate::nn::Tape::new(network.shape(), 1, Keep::Nothing);
            read(&precision::policy(policy), &state, &mut tape.input.row_mut(0)[..2]);
            tape.input.row_mut(0)[2] = action[0] / f64::from(policy.scale[0]);
            network.forward(&mut tape, 0..1);
            tape.output.row(0)[0]
        });
        let expected = -3.0 + 40.0 * networks.sum::<f64>() / 5.0;
        assert!((found - expected).abs() < 1e-9 * expected.abs(), "{found} for {expected}");
    }
}
