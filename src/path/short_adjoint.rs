//! The ways back of a short path. For the critic: the H-step expansion of its value at (s₀, a₀), a constant,
//!
//! y = Σ_{t<H} γᵗ·m_t·r_t − Σ_{0<t<H} γᵗ·m_t·α·log π_t + γᴴ·m_H·(min Q̄(s_H, a_H) − α·log π_H),
//!
//! clipped to the range of values. For the policy: the adjoint of
//!
//! −[Σ_{t<H} γᵗ·m_t·(r_t − α·log π_t) + γᴴ·m_H·(mean Q(s_H, a_H) − α·log π_H)],
//!
//! P_H = ∇ of the last term, P_j = D_jᵀ·P_{j+1} + ∇ of step j's, with D_j the mean derivative of the members drawn. All states are standardised.

use super::short::{ShortPart, ShortPath};
use super::step;
use crate::nn::cpu::vector;
use crate::nn::{Real, Tape};
use crate::policy::PolicyTape;

/// The states and normalised actions of a policy's tape as a critic's input.
pub(super) fn load<T: Real>(tape: &mut Tape<T>, point: &PolicyTape<T>) {
    let states = &point.network.input;
    let actions = point.normalised_actions();
    let a = actions.len() / states.rows();
    for (i, action) in actions.chunks_exact(a).enumerate() {
        let (to_s, to_a) = tape.input.row_mut(i).split_at_mut(states.columns());
        to_s.copy_from_slice(states.row(i));
        to_a.copy_from_slice(action);
    }
}

impl<T: Real> ShortPart<T> {
    /// Every row's target.
    pub(super) fn set_targets(&mut self, path: &ShortPath<'_, T>) {
        let (rows, horizon) = (self.rows.len(), path.config.horizon);
        let (centre, half_width) = path.range;
        let (low, high) = (centre - half_width, centre + half_width);
        let end = &self.points[horizon];
        let pair = [path.pair.0, path.pair.1];
        for (tape, q) in self.target_values.iter_mut().zip(pair) {
            load(tape, end);
            path.critic.networks[q].target.forward(tape, 0..rows);
        }
        self.clipped = 0;
        for i in 0..rows {
            let (mut y, mut weight) = (0.0, 1.0);
            for j in 0..horizon {
                let alive = weight * self.alive[j][i].to_f64();
                y += alive * self.rewards[j][i].to_f64();
                if j > 0 {
                    y -= alive * path.alpha * self.points[j].log_probs[i].to_f64();
                }
                weight *= path.discount;
            }
            let [one, other] = self.target_values.each_ref().map(|tape| tape.output.row(i)[0]);
            let value = centre + half_width * one.min(other).to_f64();
            let entropy = path.alpha * self.points[horizon].log_probs[i].to_f64();
            y += weight * self.alive[horizon][i].to_f64() * (value - entropy);
            self.clipped += u64::from(y < low || y > high);
            // NaN stays, so that it is noticed.
            self.targets[i] = T::from_f64(y.clamp(low, high));
        }
    }

    /// Forward and back through all networks at (s₀, a₀) for the rows' share of Σ_q mean (Q_q − y)², in units of the range; the tapes keep what
    /// the gradients need.
    pub(super) fn fit_critic(&mut self, path: &ShortPath<'_, T>, batch: usize) {
        let rows = self.rows.len();
        let (centre, half_width) = path.range;
        self.errors.fill(0.0);
        for (tape, q) in self.values.iter_mut().zip(&path.critic.networks) {
            load(tape, &self.points[0]);
            q.network.forward(tape, 0..rows);
            let scale = T::from_f64(2.0 / batch as f64);
            for i in 0..rows {
                let target = (self.targets[i].to_f64() - centre) / half_width;
                let error = tape.output.row(i)[0] - T::from_f64(target);
                tape.output_adjoint.row_mut(i)[0] = scale * error;
                self.errors[i] += error.to_f64() * error.to_f64();
            }
            q.network.backward(tape, 0..rows, None, false);
        }
    }

    /// The objective and its adjoints from H down to 0; what the policy's gradient needs stays on its tapes.
    pub(super) fn backward(&mut self, path: &ShortPath<'_, T>, batch: usize) {
        self.losses.fill(0.0);
        self.adjoint_sizes.fill(0.0);
        let horizon = path.config.horizon;
        self.start_adjoint(path, batch);
        self.through_policy(path, horizon);
        for j in (0..horizon).rev() {
            self.note_sizes(path, j + 1, batch);
            self.carry_adjoint(path, j, batch);
            self.through_policy(path, j);
        }
    }

    /// γʲ/B.
    fn weight(path: &ShortPath<'_, T>, j: usize, batch: usize) -> T {
        T::from_f64(path.discount.powi(j as i32) / batch as f64)
    }

    /// P_H = −γᴴ·m_H/B·∇_s (mean Q(s_H, a_H) − α·log π(a_H|s_H)).
    fn start_adjoint(&mut self, path: &ShortPath<'_, T>, batch: usize) {
        let (rows, h) = (self.rows.len(), path.config.horizon);
        let (s, a) = (path.policy.observation_dim(), path.policy.action_dim());
        let (weight, alpha) = (Self::weight(path, h, batch), T::from_f64(path.alpha));
        let (centre, half_width) = (T::from_f64(path.range.0), T::from_f64(path.range.1));
        let share = T::from_f64(1.0 / path.critic.networks.len() as f64);
        self.adjoint.fill(T::ZERO);
        self.action_adjoint.fill(T::ZERO);
        for i in 0..rows {
            let masked = weight * self.alive[h][i];
            self.log_prob_adjoint[i] = masked * alpha;
            let cost = masked * (alpha * self.points[h].log_probs[i] - centre);
            self.losses[i] += cost.to_f64() * batch as f64;
        }
        for (tape, q) in self.end_values.iter_mut().zip(&path.critic.networks) {
            load(tape, &self.points[h]);
            q.network.forward(tape, 0..rows);
            for i in 0..rows {
                let masked = weight * self.alive[h][i] * share * half_width;
                self.losses[i] -= (masked * tape.output.row(i)[0]).to_f64() * batch as f64;
                tape.output_adjoint.row_mut(i)[0] = -masked;
            }
            q.network.backward(tape, 0..rows, None, true);
            for i in 0..rows {
                let (by_state, by_action) = tape.input_adjoint.row(i).split_at(s);
                vector::add_assign(&mut self.adjoint[i * s..(i + 1) * s], by_state);
                vector::add_assign(&mut self.action_adjoint[i * a..(i + 1) * a], by_action);
            }
        }
        // The critics read normalised actions, the policy's way back starts from those in environment units.
        for row in self.action_adjoint.chunks_exact_mut(a) {
            row.iter_mut().zip(&path.policy.scale).for_each(|(x, &scale)| *x = *x / scale);
        }
    }

    /// P_j = D_jᵀ·P_{j+1} + γʲ·m_j/B·∇_s (−r_j + α·log π(a_j|s_j)), but for what goes through the policy.
    fn carry_adjoint(&mut self, path: &ShortPath<'_, T>, j: usize, batch: usize) {
        let (states, model) = (path.prediction_model, path.differentiated());
        let (s, a) = (model.observation_dim(), model.action_dim());
        let (weight, alpha) = (Self::weight(path, j, batch), T::from_f64(path.alpha));
        let share = T::from_f64(1.0 / path.config.derivative_members as f64);
        for i in 0..self.rows.len() {
            let masked = weight * self.alive[j][i];
            let cost = masked * (alpha * self.points[j].log_probs[i] - self.rewards[j][i]);
            self.losses[i] += cost.to_f64() * batch as f64;
            self.log_prob_adjoint[i] = masked * alpha;
        }
        self.action_adjoint.fill(T::ZERO);
        for tape in &mut self.derivatives[j] {
            for i in 0..self.rows.len() {
                let by_reward = weight * self.alive[j][i] * share * model.labels.deviation[0];
                let after = &self.adjoint[i * s..(i + 1) * s];
                let adjoint = tape.adjoint_mut(i);
                adjoint[0] = -by_reward;
                for (d, (adjoint, &after)) in adjoint[1..].iter_mut().zip(after).enumerate() {
                    *adjoint = share * after * states.state_scale(d);
                }
            }
            model.backward_to_input(tape);
        }
        // Only now, since every member's way back starts from P_{j+1}: s' = s + Δs, so it also stays.
        for tape in &self.derivatives[j] {
            for i in 0..self.rows.len() {
                let (by_state, by_action) = tape.input_adjoint(i).split_at(s);
                vector::add_assign(&mut self.adjoint[i * s..(i + 1) * s], by_state);
                let deviations = &states.inputs.deviation[s..];
                let sum = &mut self.action_adjoint[i * a..(i + 1) * a];
                for ((sum, &g), &deviation) in sum.iter_mut().zip(by_action).zip(deviations) {
                    *sum += g / deviation;
                }
            }
        }
    }

    /// The part of step j that goes through a_j = π(s_j): adds to P_j.
    fn through_policy(&mut self, path: &ShortPath<'_, T>, j: usize) {
        let (policy, point, rows) = (path.policy, &mut self.points[j], self.rows.len());
        policy.output_adjoints(point, rows, &self.action_adjoint, &self.log_prob_adjoint);
        let adjoint = (j > 0).then_some(&mut self.adjoint[..]);
        step::back_through_policy(policy, point, rows, None, adjoint);
    }

    /// Adds |λ_j| = |P_j|·B/γʲ of the present step to each row's sum.
    fn note_sizes(&mut self, path: &ShortPath<'_, T>, j: usize, batch: usize) {
        let share = Self::weight(path, j, batch);
        step::add_sizes(&mut self.adjoint_sizes, &self.adjoint, share, (path.discount, j, batch));
    }
}
