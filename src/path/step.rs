//! One step of a model on the way back, whether it was imagined or really happened: from the derivatives of a loss by r and s' to those by
//! s and a.

use crate::model::{DynamicsModel, StepTape};
use crate::nn::Real;

/// Row `i`'s derivatives of a loss by the model's output: `by_reward` by r and `by_next` `[observation_dim]` by s'. With the `noise` of
/// (r, Δs) the step was μ + σ·ε, and σ is differentiated, too; without it, μ.
pub(super) fn seed_row<T: Real>(
    model: &DynamicsModel<T>,
    step: &mut StepTape<T>,
    i: usize,
    by_reward: T,
    by_next: impl Iterator<Item = T>,
    noise: Option<&[T]>,
) {
    let labels = model.label_dim();
    // The mean head is (r, Δs). The log-variance's adjoint stays 0 but where the noise's size is differentiated.
    let (output, adjoint) = step.output_and_adjoint(i);
    adjoint[0] = by_reward;
    adjoint[1..labels].iter_mut().zip(by_next).for_each(|(to, p)| *to = p);
    if let Some(noise) = noise {
        let (by_mean, by_raw) = adjoint.split_at_mut(labels);
        for (d, by_raw) in by_raw.iter_mut().enumerate() {
            let slope = model.bounds.deviation_slope(d, output[labels + d]);
            *by_raw = by_mean[d] * noise[d] * slope;
        }
    }
}

/// From the seeds of all rows to their derivatives by s and by a, `[rows, observation_dim]` and `[rows, action_dim]`. With `by_next`, the
/// derivatives by s' that all members together were seeded with, they are written, the identity part of s' = s + Δs included; without
/// it, those of one more member are added.
pub(super) fn back<T: Real>(
    model: &DynamicsModel<T>,
    step: &mut StepTape<T>,
    by_next: Option<&[T]>,
    by_state: &mut [T],
    by_action: &mut [T],
) {
    let (s, a) = (model.observation_dim(), model.action_dim());
    model.backward_to_input(step);
    let rows = by_state.chunks_exact_mut(s).zip(by_action.chunks_exact_mut(a));
    for (i, (by_state, by_action)) in rows.enumerate() {
        let scaled = step.input_adjoint(i).iter().zip(&model.standardiser.deviation);
        for (d, (&g, &deviation)) in scaled.enumerate() {
            let slope = g / deviation;
            match (d.checked_sub(s), by_next) {
                (None, Some(by_next)) => by_state[d] = by_next[i * s + d] + slope,
                (None, None) => by_state[d] += slope,
                (Some(d), Some(_)) => by_action[d] = slope,
                (Some(d), None) => by_action[d] += slope,
            }
        }
    }
}
