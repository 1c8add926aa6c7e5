//! The steps of the adjoint that all paths share, whether they were imagined or really happened: back through a model's step, from the
//! derivatives of a loss by r and s' to those by s and a; back through the policy that chose a; and the sizes of what is carried.

use crate::model::{DynamicsModel, StepTape};
use crate::nn::Real;
use crate::nn::cpu::vector;
use crate::policy::{Policy, PolicyTape};

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

/// From the derivatives by the policy's outputs that `point` holds to those by its parameters, and, where there is an `adjoint`
/// `[rows, observation_dim]`, to those by its states, which are added to it. The first go to `gradient` where that is given; what they
/// need stays on the tape else.
pub(super) fn back_through_policy<T: Real>(
    policy: &Policy<T>,
    point: &mut PolicyTape<T>,
    rows: usize,
    gradient: Option<&mut [T]>,
    adjoint: Option<&mut [T]>,
) {
    policy.network.backward(&mut point.network, 0..rows, gradient, adjoint.is_some());
    if let Some(adjoint) = adjoint {
        let states = adjoint.chunks_exact_mut(policy.observation_dim());
        for (i, row) in states.enumerate() {
            vector::add_assign(row, point.network.input_adjoint.row(i));
        }
    }
}

/// Adds |λ_j| = |P_j|/(γʲ/B), summed over state dimensions, to each row's `sizes`; `share` is γʲ/B as the adjoint was weighted with it.
/// Where that has vanished, so has P_j, and there is no way back to λ_j.
pub(super) fn add_sizes<T: Real>(
    sizes: &mut [f64],
    adjoint: &[T],
    share: T,
    (discount, j, batch): (f64, usize, usize),
) {
    if share == T::ZERO {
        return;
    }
    let unscale = batch as f64 / discount.powi(j as i32);
    let dim = adjoint.len() / sizes.len();
    for (size, row) in sizes.iter_mut().zip(adjoint.chunks_exact(dim)) {
        *size += unscale * row.iter().map(|p| p.to_f64().abs()).sum::<f64>();
    }
}
