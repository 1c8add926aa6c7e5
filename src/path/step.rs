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
    by_next: &[T],
    noise: Option<&[T]>,
) {
    let labels = model.label_dim();
    // The mean head is (r, Δs). The log-variance's adjoint stays 0 but where the noise's size is differentiated.
    let (output, adjoint) = step.output_and_adjoint(i);
    adjoint[0] = by_reward;
    adjoint[1..labels].copy_from_slice(by_next);
    if let Some(noise) = noise {
        let (by_mean, by_raw) = adjoint.split_at_mut(labels);
        for (d, by_raw) in by_raw.iter_mut().enumerate() {
            let slope = model.bounds.deviation_slope(d, output[labels + d]);
            *by_raw = by_mean[d] * noise[d] * slope;
        }
    }
}

/// From the seeds of all rows to their derivatives by s and by a, `[rows, observation_dim]` and `[rows, action_dim]`; `by_next` are those
/// by s' that the rows were seeded with.
pub(super) fn back<T: Real>(
    model: &DynamicsModel<T>,
    step: &mut StepTape<T>,
    by_next: &[T],
    by_state: &mut [T],
    by_action: &mut [T],
) {
    let (s, a) = (model.observation_dim(), model.action_dim());
    model.backward_to_input(step);
    let rows = by_state.chunks_exact_mut(s).zip(by_action.chunks_exact_mut(a));
    for (i, ((by_state, by_action), by_next)) in rows.zip(by_next.chunks_exact(s)).enumerate() {
        let scaled = step.input_adjoint(i).iter().zip(&model.standardiser.deviation);
        for (d, (&g, &deviation)) in scaled.enumerate() {
            match d.checked_sub(s) {
                // s' = s + Δs: the identity passes on what came from s'.
                None => by_state[d] = by_next[d] + g / deviation,
                Some(d) => by_action[d] = g / deviation,
            }
        }
    }
}
