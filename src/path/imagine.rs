//! The way forward of a policy update (docs/algorithm.md, "The policy's gradient"): the draws, and the policy's way through the prediction model.

use std::ops::Range;

use super::adjoint::PathPart;
use super::objective::{GradientSource, Imagination, Objective};
use crate::nn::Real;
use crate::rng::Rng;

impl<T: Real> PathPart<T> {
    /// Draws what is random about an update; the start state of row i is `start(i, rng)`.
    pub(super) fn draw<'s>(
        &mut self,
        objective: &Objective<'_, T>,
        start: impl Fn(usize, &mut Rng) -> &'s [f32],
    ) {
        let (a, label) = (objective.policy.action_dim(), 1 + objective.policy.observation_dim());
        let numbers = |rows: &Range<usize>, each: usize| rows.start * each..rows.end * each;
        for (rows, mut rng) in self.streams.groups() {
            for i in rows.clone() {
                let state = start(i, &mut rng);
                for (x, &s) in self.points[0].network.input.row_mut(i).iter_mut().zip(state) {
                    *x = T::from_f32(s);
                }
            }
            for point in &mut self.points {
                rng.fill_normal(&mut point.noise[numbers(&rows, a)]);
            }
            let Some(imagination) = objective.imagination else { continue };
            let Imagination { prediction_model, gradient_model, .. } = imagination;
            for j in 0..self.model_noise.len() {
                prediction_model
                    .draw_elites(&mut rng, &mut self.prediction_elites[j][rows.clone()]);
                gradient_model.draw_elites(&mut rng, &mut self.gradient_elites[j][rows.clone()]);
                rng.fill_normal(&mut self.model_noise[j][numbers(&rows, label)]);
            }
        }
    }

    /// The way forward (docs/algorithm.md, "The policy's gradient"): actions, imagined states and masks for j = 0..=H.
    pub(super) fn forward(&mut self, objective: &Objective<'_, T>) {
        self.broken = 0;
        let horizon = self.model_noise.len();
        for j in 0..=horizon {
            objective.policy.sample(&mut self.points[j], self.rows);
            if let Some(imagination) = objective.imagination.filter(|_| j < horizon) {
                self.step_models(imagination, j);
                self.sample_states(imagination, j);
            }
        }
    }

    /// Runs (s_j, a_j) through the elites of M^p and of M^g, and through the other members whose derivatives are taken.
    fn step_models(&mut self, imagination: Imagination<'_, T>, j: usize) {
        let Imagination { prediction_model, gradient_model, .. } = imagination;
        let (states, actions) = (&self.points[j].network.input, &self.points[j].actions);
        let (first, others) =
            self.derivatives[j].split_first_mut().expect("a derivative is of a member");
        let drawn = match (imagination.gradient_source, &mut self.prediction) {
            (GradientSource::GradientModel, Some(prediction)) => {
                prediction_model.forward(prediction, &self.prediction_elites[j], states, actions);
                gradient_model.forward(first, &self.gradient_elites[j], states, actions);
                &self.gradient_elites[j]
            }
            // One pass serves both: the derivative is that of the very elite that made the step.
            _ => {
                prediction_model.forward(first, &self.prediction_elites[j], states, actions);
                &self.prediction_elites[j]
            }
        };
        let model = imagination.differentiated();
        for (beyond, step) in others.iter_mut().enumerate() {
            model.elites_after(beyond + 1, drawn, &mut self.others);
            model.forward(step, &self.others, states, actions);
        }
    }

    /// s_{j+1} = s_j + μ + σ·ε of M^p, and the masks m_{j+1} = m_j·(1 − d_j).
    fn sample_states(&mut self, imagination: Imagination<'_, T>, j: usize) {
        let model = imagination.prediction_model;
        let step = self.prediction.as_ref().unwrap_or(&self.derivatives[j][0]);
        let (before, after) = self.points.split_at_mut(j + 1);
        let (states, next_states) = (&before[j].network.input, &mut after[0].network.input);
        for (i, noise) in self.model_noise[j].chunks_exact(model.label_dim()).enumerate() {
            let (state, next) = (states.row(i), next_states.row_mut(i));
            model.sample(step.output(i), noise, state, next);
            if next.iter().any(|x| !x.is_finite()) {
                // The caller stops at a living row's. A dead row is masked, but what it holds must be finite.
                self.broken += u64::from(self.alive[j][i] != T::ZERO);
                next.copy_from_slice(state);
                self.alive[j + 1][i] = T::ZERO;
                continue;
            }
            self.alive[j + 1][i] = self.alive[j][i];
        }
        let Some(tape) = &mut self.ending else { return };
        let (actions, rows) = (&before[j].actions, self.rows);
        let ended = imagination.ending.evaluate(tape, rows, states, actions, next_states);
        for (alive, &ended) in self.alive[j + 1].iter_mut().zip(ended) {
            if ended {
                *alive = T::ZERO;
            }
        }
    }
}
