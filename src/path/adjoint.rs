//! The gradient of a policy's objective (eq. 11), as an adjoint: the policy is rolled through the prediction model
//! (`imagine.rs`), then the adjoint of the state is carried backwards through the derivatives of the *gradient model's* mean head
//! at the prediction model's states (docs/algorithm.md, "The policy's gradient"), or through those of the prediction model's own steps.
//!
//! The derivative of a step is that of one elite, or the mean of several members': each has a reverse pass of its own, and D_jᵀ·P is the
//! mean of what they give.
//!
//! The adjoint kept here is P_j = γʲ·λ_j/B, so that every step back is a plain reverse pass:
//! P_H = γᴴ·m_H/B·∇c_H and P_j = D_jᵀ·P_{j+1} + γʲ·m_j/B·∇c_j. (m_{j+1} ≤ m_j, so P_{j+1} carries its own mask.)
//!
//! With H = 0 nothing is imagined, and what remains is soft actor-critic's gradient of −min Q + α·log π at the start states.

use std::ops::Range;

use super::objective::{GradientSource, Imagination, Objective};
use super::step;
use crate::critic::LeastTape;
use crate::data::minibatch::RowStreams;
use crate::model::{EndingTape, StepTape};
use crate::nn::{Keep, Real};
use crate::policy::PolicyTape;

/// Draws and buffers of one part of a minibatch, a thread's work. The draws are all that is random about an update.
#[derive(Debug)]
pub struct PathPart<T> {
    /// How many rows it has.
    pub rows: usize,
    /// Its first row's number within the minibatch.
    pub(super) first: usize,
    /// The policy at steps 0..=H: states, noise, actions.
    pub points: Vec<PolicyTape<T>>,
    /// Elite of M^p for each row, by step.
    pub prediction_elites: Vec<Vec<u32>>,
    /// Elite of M^g for each row, by step.
    pub gradient_elites: Vec<Vec<u32>>,
    /// ε of (r, Δs), `[rows, 1 + observation_dim]`, by step.
    pub model_noise: Vec<Vec<T>>,
    /// m_j, `[rows]`, by step.
    pub alive: Vec<Vec<T>>,
    /// P_j, `[rows, observation_dim]`, by step; P_0 is not needed and stays 0.
    pub adjoints: Vec<Vec<T>>,
    /// M^p's pass over the present step, where M^g has one of its own.
    pub(super) prediction: Option<StepTape<T>>,
    /// Passes of the model whose derivatives are used, by step: one for each member of the mean, that of the drawn elite first.
    pub(super) derivatives: Vec<Vec<StepTape<T>>>,
    /// Members of the present pass beyond the drawn elite, `[rows]`.
    pub(super) others: Vec<u32>,
    values: LeastTape<T>,
    action_adjoint: Vec<T>,
    log_prob_adjoint: Vec<T>,
    /// None where nothing is imagined.
    pub(super) ending: Option<EndingTape<T>>,
    pub(super) streams: RowStreams,
    /// Each row's Σ_j γʲ·m_j·c_j.
    pub(super) losses: Vec<f64>,
    /// Each row's Σ_j |λ_j|, over steps 1..=H and state dimensions.
    pub(super) adjoint_sizes: Vec<f64>,
    /// Living rows whose next state the prediction model made non-finite.
    pub(super) broken: u64,
}

impl<T: Real> PathPart<T> {
    /// Buffers for the rows `of` a minibatch.
    pub(super) fn new(objective: &Objective<'_, T>, of: Range<usize>) -> Self {
        let (rows, horizon) = (of.len(), objective.horizon());
        let Objective { policy, imagination, critic, .. } = objective;
        let observations = policy.observation_dim();
        let imagined = |i: &Imagination<'_, T>| {
            let apart = i.gradient_source == GradientSource::GradientModel;
            let of = if apart { StepTape::of_means } else { StepTape::new };
            let step = |_| of(i.differentiated(), rows, Keep::Slopes);
            let steps = (0..horizon).map(|_| (0..i.derivative_members).map(step).collect());
            let prediction = apart.then(|| StepTape::new(i.prediction_model, rows, Keep::Nothing));
            (prediction, steps.collect::<Vec<Vec<_>>>())
        };
        let (prediction, derivatives) = imagination.as_ref().map(imagined).unzip();
        Self {
            rows,
            first: of.start,
            points: (0..=horizon).map(|_| PolicyTape::new(policy, rows, Keep::Adjoints)).collect(),
            prediction_elites: vec![vec![0; rows]; horizon],
            gradient_elites: vec![vec![0; rows]; horizon],
            model_noise: vec![vec![T::ZERO; rows * (1 + observations)]; horizon],
            alive: vec![vec![T::ONE; rows]; horizon + 1],
            adjoints: vec![vec![T::ZERO; rows * observations]; horizon + 1],
            prediction: prediction.flatten(),
            derivatives: derivatives.unwrap_or_default(),
            others: vec![0; rows],
            values: LeastTape::new(critic, rows),
            action_adjoint: vec![T::ZERO; rows * policy.action_dim()],
            log_prob_adjoint: vec![T::ZERO; rows],
            ending: imagination.map(|i| EndingTape::new(i.ending, observations, rows)),
            streams: RowStreams::new(rows),
            losses: vec![0.0; rows],
            adjoint_sizes: vec![0.0; rows],
            broken: 0,
        }
    }

    /// The way back (docs/algorithm.md, "The policy's gradient"): costs, adjoints from H down to 0, and the policy's gradient, which is added to `gradient` where it
    /// is given; what it needs stays on the policy's tapes.
    pub(super) fn backward(
        &mut self,
        objective: &Objective<'_, T>,
        batch: usize,
        mut gradient: Option<&mut [T]>,
    ) {
        self.losses.fill(0.0);
        self.adjoint_sizes.fill(0.0);
        let horizon = self.model_noise.len();
        self.start_adjoint(objective, horizon, batch);
        self.through_policy(objective, horizon, gradient.as_deref_mut());
        if let Some(imagination) = objective.imagination {
            for j in (0..horizon).rev() {
                self.carry_adjoint(objective, imagination, j, batch);
                self.through_policy(objective, j, gradient.as_deref_mut());
            }
        }
        for (j, adjoint) in self.adjoints.iter().enumerate().skip(1) {
            let share = Self::weight(objective, j, batch);
            let at = (objective.discount, j, batch);
            step::add_sizes(&mut self.adjoint_sizes, adjoint, share, at);
        }
    }

    /// The derivative of each row's own Σ_j γʲ·m_j·c_j by t at step 0, its sign turned, but for c_0's log π: left in
    /// [`PathPart::action_adjoint`]. a = scale·t + bias.
    pub(super) fn action_slopes(&mut self, objective: &Objective<'_, T>) {
        self.losses.fill(0.0);
        let horizon = self.model_noise.len();
        self.start_adjoint(objective, horizon, 1);
        if let Some(imagination) = objective.imagination {
            for j in (0..horizon).rev() {
                self.through_policy(objective, j + 1, None);
                self.carry_adjoint(objective, imagination, j, 1);
            }
        }
        let scale = &objective.policy.scale;
        for row in self.action_adjoint.chunks_exact_mut(scale.len()) {
            row.iter_mut().zip(scale).for_each(|(k, &scale)| *k = -*k * scale);
        }
    }

    /// What the last way back left for the actions of step 0, `[rows, action_dim]`.
    pub(super) fn action_adjoint(&self) -> &[T] {
        &self.action_adjoint
    }

    /// γʲ/B.
    fn weight(objective: &Objective<'_, T>, j: usize, batch: usize) -> T {
        T::from_f64(objective.discount.powi(j as i32) / batch as f64)
    }

    /// P_H = γᴴ·m_H/B·∇_s c_H with c_H = −min_i Q_i(s_H, a_H) + α·log π(a_H|s_H).
    fn start_adjoint(&mut self, objective: &Objective<'_, T>, h: usize, batch: usize) {
        let (s, a) = (objective.policy.observation_dim(), objective.policy.action_dim());
        let weight = Self::weight(objective, h, batch);
        let alpha = T::from_f64(objective.alpha);
        let (point, values) = (&self.points[h], &mut self.values);
        objective.critic.least(values, &point.network.input, &point.actions);
        for i in 0..self.rows {
            let mask = self.alive[h][i];
            self.log_prob_adjoint[i] = weight * mask * alpha;
            let cost = alpha * point.log_probs[i] - values.value(i);
            self.losses[i] += (weight * mask * cost).to_f64() * batch as f64;
        }
        let alive = &self.alive[h];
        objective.critic.least_slopes(values, |i| -(weight * alive[i]));
        for i in 0..self.rows {
            for (d, slope) in values.slopes(i).enumerate() {
                match d.checked_sub(s) {
                    None => self.adjoints[h][i * s + d] = slope,
                    Some(d) => self.action_adjoint[i * a + d] = slope,
                }
            }
        }
    }

    /// P_j = D_jᵀ·P_{j+1} + γʲ·m_j/B·∇_s c_j with c_j = −r_j + α·log π(a_j|s_j). Each member of the mean has an equal share of the adjoint.
    fn carry_adjoint(
        &mut self,
        objective: &Objective<'_, T>,
        imagination: Imagination<'_, T>,
        j: usize,
        batch: usize,
    ) {
        let model = imagination.differentiated();
        let sampled = imagination.gradient_source == GradientSource::SampledStep;
        let s = model.observation_dim();
        let weight = Self::weight(objective, j, batch);
        let alpha = T::from_f64(objective.alpha);
        let members = &mut self.derivatives[j];
        let share = T::ONE / T::from_f64(members.len() as f64);
        for i in 0..self.rows {
            let cost_weight = weight * self.alive[j][i];
            let noise = &self.model_noise[j][i * (1 + s)..(i + 1) * (1 + s)];
            let mut reward = T::ZERO;
            for step in members.iter_mut() {
                let output = step.output(i);
                let mut own = output[0];
                if sampled {
                    own += model.bounds.deviation(0, output[1 + s]) * noise[0];
                }
                reward += share * own;
                let by_next = &self.adjoints[j + 1][i * s..(i + 1) * s];
                let by_next = by_next.iter().map(|&p| share * p);
                let noise = sampled.then_some(noise);
                step::seed_row(model, step, i, -(share * cost_weight), by_next, noise);
            }
            let cost = alpha * self.points[j].log_probs[i] - reward;
            self.losses[i] += (cost_weight * cost).to_f64() * batch as f64;
            self.log_prob_adjoint[i] = cost_weight * alpha;
        }
        let (low, high) = self.adjoints.split_at_mut(j + 1);
        for (k, step) in members.iter_mut().enumerate() {
            let by_next = (k == 0).then_some(&high[0][..]);
            step::back(model, step, by_next, &mut low[j], &mut self.action_adjoint);
        }
    }

    /// The part of step j that goes through a_j = π(s_j): adds to P_j, and to `gradient`.
    fn through_policy(
        &mut self,
        objective: &Objective<'_, T>,
        j: usize,
        gradient: Option<&mut [T]>,
    ) {
        let (policy, point, rows) = (objective.policy, &mut self.points[j], self.rows);
        policy.output_adjoints(point, rows, &self.action_adjoint, &self.log_prob_adjoint);
        let adjoint = (j > 0).then_some(&mut self.adjoints[j][..]);
        step::back_through_policy(policy, point, rows, gradient, adjoint);
        if j == 0 {
            self.adjoints[0].fill(T::ZERO);
        }
    }
}
