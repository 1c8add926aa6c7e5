//! The policy update of DDPPO (eq. 11): roll the policy through the prediction model, then carry the adjoint of the
//! state backwards through the *gradient model's* derivatives, evaluated at the prediction model's states
//! (SPEC section 2).
//!
//! The adjoint kept here is P_j = γʲ·λ_j/B, so that every step back is a plain reverse pass:
//! P_K = γᴷ·m_K/B·∇c_K and P_j = D_jᵀ·P_{j+1} + γʲ·m_j/B·∇c_j. (m_{j+1} ≤ m_j, so P_{j+1} carries its own mask.)

use rayon::prelude::*;

use crate::agent::{Policy, PolicyTape, TwinCritic};
use crate::config::GradientSource;
use crate::env::Task;
use crate::model::{DynamicsModel, StepTape};
use crate::nn::{Keep, Real, Tape, vector};
use crate::replay::Replay;
use crate::rng::Rng;

/// Rows of a minibatch that one piece of work takes; the pieces do not depend on the number of threads.
const ROWS_PER_PIECE: usize = 128;

/// All that the policy's objective is made of, fixed during an update.
#[derive(Clone, Copy)]
pub struct Objective<'a, T> {
    /// π, being improved.
    pub policy: &'a Policy<T>,
    /// M^p: where the imagined states come from.
    pub prediction_model: &'a DynamicsModel<T>,
    /// M^g: where the derivatives come from.
    pub gradient_model: &'a DynamicsModel<T>,
    /// Which model's derivatives are used after all.
    pub gradient_source: GradientSource,
    /// Takes over after the last model step.
    pub critic: &'a TwinCritic<T>,
    /// Ends imagined episodes.
    pub task: &'a dyn Task,
    /// α.
    pub alpha: f64,
    /// γ.
    pub discount: f64,
}

/// What one update saw, averaged over its minibatch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PolicyReport {
    /// Σ_j γʲ·m_j·c_j, the objective that is minimised.
    pub loss: f64,
    /// Mean |λ_j| over rows, steps 1..=K and state dimensions.
    pub mean_abs_adjoint: f64,
    /// Mean share of rows still alive at the last step.
    pub alive: f64,
}

/// Draws and buffers of one piece of a minibatch. The draws are all that is random about an update.
#[derive(Debug)]
pub struct Piece<T> {
    /// Rows of this piece.
    pub rows: usize,
    /// The policy at steps 0..=K: states, noise, actions.
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
    /// This piece's share of the gradient.
    pub gradient: Vec<T>,
    prediction: StepTape<T>,
    derivatives: Vec<StepTape<T>>,
    values: [Tape<T>; 2],
    action_adjoint: Vec<T>,
    log_prob_adjoint: Vec<T>,
    wide: Vec<f64>,
    rng: Rng,
    report: PolicyReport,
}

/// Buffers of a policy update, allocated once.
#[derive(Debug)]
pub struct PolicyWorkspace<T> {
    /// The minibatch, in pieces.
    pub pieces: Vec<Piece<T>>,
    batch: usize,
    horizon: usize,
}

impl<T: Real> PolicyWorkspace<T> {
    /// Buffers for minibatches of `batch` start states and K = `horizon` model steps.
    pub fn new(objective: &Objective<'_, T>, batch: usize, horizon: usize) -> Self {
        let pieces = (0..batch.div_ceil(ROWS_PER_PIECE))
            .map(|p| Piece::new(objective, ROWS_PER_PIECE.min(batch - p * ROWS_PER_PIECE), horizon))
            .collect();
        Self { pieces, batch, horizon }
    }

    /// Draws start states from the real transitions, noise and elites.
    pub fn draw(&mut self, objective: &Objective<'_, T>, real: &Replay, rng: &mut Rng) {
        for piece in &mut self.pieces {
            piece.rng = Rng::from_word(rng.next_u64());
        }
        self.pieces.par_iter_mut().for_each(|piece| piece.draw(objective, real));
    }

    /// The gradient of the objective by the policy's parameters, on the present draws, in the first piece.
    pub fn differentiate(&mut self, objective: &Objective<'_, T>) -> PolicyReport {
        let batch = self.batch;
        self.pieces.par_iter_mut().for_each(|piece| {
            piece.forward(objective);
            piece.backward(objective, batch);
        });
        let (sum, rest) = self.pieces.split_at_mut(1);
        for piece in rest {
            vector::add_assign(&mut sum[0].gradient, &piece.gradient);
        }
        let mean =
            |of: fn(&PolicyReport) -> f64| self.pieces.iter().map(|p| of(&p.report)).sum::<f64>();
        let numbers = (self.horizon * objective.prediction_model.observation_dim()).max(1) as f64;
        PolicyReport {
            loss: mean(|r| r.loss) / batch as f64,
            mean_abs_adjoint: mean(|r| r.mean_abs_adjoint) / (batch as f64 * numbers),
            alive: mean(|r| r.alive) / batch as f64,
        }
    }

    /// The gradient of the last [`PolicyWorkspace::differentiate`].
    pub fn gradient(&self) -> &[T] {
        &self.pieces[0].gradient
    }
}

impl<T: Real> Piece<T> {
    fn new(objective: &Objective<'_, T>, rows: usize, horizon: usize) -> Self {
        let Objective { policy, prediction_model: model, critic, .. } = objective;
        let state = vec![T::ZERO; rows * model.observation_dim()];
        Self {
            rows,
            points: (0..=horizon).map(|_| PolicyTape::new(policy, rows, Keep::Slopes)).collect(),
            prediction_elites: vec![vec![0; rows]; horizon],
            gradient_elites: vec![vec![0; rows]; horizon],
            model_noise: vec![vec![T::ZERO; rows * model.label_dim()]; horizon],
            alive: vec![vec![T::ONE; rows]; horizon + 1],
            adjoints: vec![state; horizon + 1],
            gradient: vec![T::ZERO; policy.network.parameters().len()],
            prediction: StepTape::new(model, rows, Keep::Values),
            derivatives: (0..horizon)
                .map(|_| match objective.gradient_source {
                    GradientSource::GradientModel => {
                        StepTape::of_means(objective.gradient_model, rows, Keep::Slopes)
                    }
                    GradientSource::PredictionModel => StepTape::new(model, rows, Keep::Slopes),
                })
                .collect(),
            values: [0, 1].map(|_| Tape::new(critic.shape(), rows, Keep::Slopes)),
            action_adjoint: vec![T::ZERO; rows * policy.action_dim()],
            log_prob_adjoint: vec![T::ZERO; rows],
            wide: vec![0.0; model.observation_dim()],
            rng: Rng::from_word(0),
            report: PolicyReport::default(),
        }
    }

    fn draw(&mut self, objective: &Objective<'_, T>, real: &Replay) {
        for i in 0..self.rows {
            let start = real.get(self.rng.below(real.len())).observation;
            for (x, &s) in self.points[0].network.input.row_mut(i).iter_mut().zip(start) {
                *x = T::from_f32(s);
            }
        }
        for point in &mut self.points {
            self.rng.fill_normal(&mut point.noise);
        }
        for j in 0..self.model_noise.len() {
            objective.prediction_model.draw_elites(&mut self.rng, &mut self.prediction_elites[j]);
            objective.gradient_model.draw_elites(&mut self.rng, &mut self.gradient_elites[j]);
            self.rng.fill_normal(&mut self.model_noise[j]);
        }
    }

    /// Step 1 of SPEC section 2: actions, imagined states and masks for j = 0..=K.
    fn forward(&mut self, objective: &Objective<'_, T>) {
        let horizon = self.model_noise.len();
        for j in 0..=horizon {
            objective.policy.sample(&mut self.points[j], self.rows);
            if j < horizon {
                self.step_models(objective, j);
                self.sample_states(objective, j);
            }
        }
    }

    /// Runs (s_j, a_j) through the elites of M^p and of M^g.
    fn step_models(&mut self, objective: &Objective<'_, T>, j: usize) {
        let Objective { prediction_model, gradient_model, gradient_source, .. } = objective;
        let (states, actions) = (&self.points[j].network.input, &self.points[j].actions);
        match gradient_source {
            GradientSource::GradientModel => {
                prediction_model.forward(
                    &mut self.prediction,
                    &self.prediction_elites[j],
                    states,
                    actions,
                );
                gradient_model.forward(
                    &mut self.derivatives[j],
                    &self.gradient_elites[j],
                    states,
                    actions,
                );
            }
            // One pass serves both: the derivative is that of the very elite that made the step.
            GradientSource::PredictionModel => {
                prediction_model.forward(
                    &mut self.derivatives[j],
                    &self.prediction_elites[j],
                    states,
                    actions,
                );
            }
        }
    }

    /// s_{j+1} = s_j + μ + σ·ε of M^p, and the masks m_{j+1} = m_j·(1 − d_j).
    fn sample_states(&mut self, objective: &Objective<'_, T>, j: usize) {
        let model = objective.prediction_model;
        let step = match objective.gradient_source {
            GradientSource::GradientModel => &self.prediction,
            GradientSource::PredictionModel => &self.derivatives[j],
        };
        let (before, after) = self.points.split_at_mut(j + 1);
        let (states, next_states) = (&before[j].network.input, &mut after[0].network.input);
        for (i, noise) in self.model_noise[j].chunks_exact(model.label_dim()).enumerate() {
            let (state, next) = (states.row(i), next_states.row_mut(i));
            model.sample(step.output(i), noise, state, next);
            if next.iter().any(|x| !x.is_finite()) {
                // A state beyond all numbers ends the episode; what stands in its place is masked, but must be finite.
                next.copy_from_slice(state);
                self.alive[j + 1][i] = T::ZERO;
                continue;
            }
            self.wide.iter_mut().zip(&*next).for_each(|(w, n)| *w = n.to_f64());
            let ended = objective.task.terminated(&self.wide);
            self.alive[j + 1][i] = if ended { T::ZERO } else { self.alive[j][i] };
        }
    }

    /// Steps 2 and 3 of SPEC section 2: costs, adjoints from K down to 0, and the policy's gradient.
    fn backward(&mut self, objective: &Objective<'_, T>, batch: usize) {
        self.report = PolicyReport::default();
        self.gradient.fill(T::ZERO);
        let horizon = self.model_noise.len();
        self.start_adjoint(objective, horizon, batch);
        for j in (0..horizon).rev() {
            self.carry_adjoint(objective, j, batch);
        }
        let alive = &self.alive[horizon];
        self.report.alive = alive.iter().map(|m| m.to_f64()).sum();
        for (j, adjoints) in self.adjoints.iter().enumerate().skip(1) {
            let unscale = batch as f64 / objective.discount.powi(j as i32);
            let sum: f64 = adjoints.iter().map(|p| p.to_f64().abs()).sum();
            self.report.mean_abs_adjoint += sum * unscale;
        }
    }

    /// γʲ/B.
    fn weight(objective: &Objective<'_, T>, j: usize, batch: usize) -> T {
        T::from_f64(objective.discount.powi(j as i32) / batch as f64)
    }

    /// P_K = γᴷ·m_K/B·∇_s c_K with c_K = −min(Q₁, Q₂)(s_K, a_K) + α·log π(a_K|s_K).
    fn start_adjoint(&mut self, objective: &Objective<'_, T>, k: usize, batch: usize) {
        let (s, a) = (objective.prediction_model.observation_dim(), objective.policy.action_dim());
        let weight = Self::weight(objective, k, batch);
        let alpha = T::from_f64(objective.alpha);
        for (twin, tape) in objective.critic.twins.iter().zip(&mut self.values) {
            for i in 0..self.rows {
                let (to_s, to_a) = tape.input.row_mut(i).split_at_mut(s);
                to_s.copy_from_slice(self.points[k].network.input.row(i));
                to_a.copy_from_slice(&self.points[k].actions[i * a..(i + 1) * a]);
            }
            twin.network.forward(tape, 0..self.rows);
        }
        let [first, second] = &mut self.values;
        for i in 0..self.rows {
            let mask = self.alive[k][i];
            let (q1, q2) = (first.output.row(i)[0], second.output.row(i)[0]);
            let adjoint = -(weight * mask);
            let (by_q1, by_q2) = if q1 <= q2 { (adjoint, T::ZERO) } else { (T::ZERO, adjoint) };
            first.output_adjoint.row_mut(i)[0] = by_q1;
            second.output_adjoint.row_mut(i)[0] = by_q2;
            self.log_prob_adjoint[i] = weight * mask * alpha;
            let cost = alpha * self.points[k].log_probs[i] - q1.min(q2);
            self.report.loss += (weight * mask * cost).to_f64() * batch as f64;
        }
        for (twin, tape) in objective.critic.twins.iter().zip(&mut self.values) {
            twin.network.backward(tape, 0..self.rows, None, true);
        }
        let [first, second] = &self.values;
        for i in 0..self.rows {
            let sums = first
                .input_adjoint
                .row(i)
                .iter()
                .zip(second.input_adjoint.row(i))
                .map(|(&x, &y)| x + y);
            for (d, g) in sums.enumerate() {
                match d.checked_sub(s) {
                    None => self.adjoints[k][i * s + d] = g,
                    Some(d) => self.action_adjoint[i * a + d] = g,
                }
            }
        }
        self.through_policy(objective, k);
    }

    /// P_j = D_jᵀ·P_{j+1} + γʲ·m_j/B·∇_s c_j with c_j = −r_j + α·log π(a_j|s_j).
    fn carry_adjoint(&mut self, objective: &Objective<'_, T>, j: usize, batch: usize) {
        let model = match objective.gradient_source {
            GradientSource::GradientModel => objective.gradient_model,
            GradientSource::PredictionModel => objective.prediction_model,
        };
        let (s, a) = (model.observation_dim(), model.action_dim());
        let weight = Self::weight(objective, j, batch);
        let alpha = T::from_f64(objective.alpha);
        let step = &mut self.derivatives[j];
        for i in 0..self.rows {
            let cost_weight = weight * self.alive[j][i];
            let reward = step.output(i)[0];
            let cost = alpha * self.points[j].log_probs[i] - reward;
            self.report.loss += (cost_weight * cost).to_f64() * batch as f64;
            self.log_prob_adjoint[i] = cost_weight * alpha;
            // The mean head is (r, Δs); the log-variance's adjoint stays 0.
            let adjoint = step.output_adjoint(i);
            adjoint[0] = -cost_weight;
            adjoint[1..=s].copy_from_slice(&self.adjoints[j + 1][i * s..(i + 1) * s]);
        }
        model.backward_to_input(step);
        let (low, high) = self.adjoints.split_at_mut(j + 1);
        let (adjoints, after) = (&mut low[j], &high[0]);
        for i in 0..self.rows {
            let scaled = step.input_adjoint(i).iter().zip(&model.standardiser.deviation);
            for (d, (&g, &deviation)) in scaled.enumerate() {
                match d.checked_sub(s) {
                    // s' = s + Δs: the identity passes P_{j+1} on.
                    None => adjoints[i * s + d] = after[i * s + d] + g / deviation,
                    Some(d) => self.action_adjoint[i * a + d] = g / deviation,
                }
            }
        }
        self.through_policy(objective, j);
    }

    /// The part of step j that goes through a_j = π(s_j): adds to the gradient, and to P_j.
    fn through_policy(&mut self, objective: &Objective<'_, T>, j: usize) {
        let point = &mut self.points[j];
        let to_input = j > 0;
        objective.policy.backward(
            point,
            self.rows,
            &self.action_adjoint,
            &self.log_prob_adjoint,
            &mut self.gradient,
            to_input,
        );
        let adjoints = &mut self.adjoints[j];
        if !to_input {
            adjoints.fill(T::ZERO);
            return;
        }
        let s = objective.prediction_model.observation_dim();
        for (i, row) in adjoints.chunks_exact_mut(s).enumerate() {
            vector::add_assign(row, point.network.input_adjoint.row(i));
        }
    }
}
