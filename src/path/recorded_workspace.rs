//! A minibatch of recorded steps, shared out among threads, and the policy's gradient that all parts sum.

use rayon::prelude::*;

use super::recorded::{RecordedObjective, RecordedPart, Recording};
use crate::data::minibatch;
use crate::model::DynamicsModel;
use crate::nn::cpu::vector;
use crate::nn::{LearnError, Mlp, Real};
use crate::policy::Policy;
use crate::rng::Rng;

/// What an update along recorded steps saw, averaged over its minibatch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RecordedReport {
    /// −w·(Σ γʲ·r_j + γᴸ·(1 − d)·V(s_L)) + β·KL, which is minimised.
    pub loss: f64,
    /// Mean |w·λ_1| over rows and state dimensions.
    pub mean_abs_adjoint: f64,
    /// KL(π‖π_old).
    pub divergence: f64,
    /// Whether all inferred model noise was finite.
    pub finite_noise: bool,
    /// Whether every entry of the gradient was finite.
    pub finite_gradient: bool,
}

impl RecordedReport {
    /// Refuses numbers that cannot be learned from, or a loss beyond the guard `limit`.
    ///
    /// # Errors
    /// As said.
    pub fn check(&self, limit: f64) -> Result<(), LearnError> {
        if !self.finite_noise {
            return Err(LearnError::NonFinite("the prediction model's output"));
        }
        LearnError::check("the policy's loss", self.loss, limit)?;
        if !self.mean_abs_adjoint.is_finite() {
            return Err(LearnError::NonFinite("the policy's adjoint"));
        }
        if !self.finite_gradient {
            return Err(LearnError::NonFinite("the policy's gradient"));
        }
        Ok(())
    }
}

/// Buffers of updates along recorded steps, allocated once.
#[derive(Debug)]
pub struct RecordedWorkspace<T> {
    parts: Vec<RecordedPart<T>>,
    gradient: Vec<T>,
    batch: usize,
}

impl<T: Real> RecordedWorkspace<T> {
    /// Buffers for minibatches of `batch` rows that go along up to `horizon` recorded steps each, shared out for the present number of
    /// threads.
    pub fn new(
        policy: &Policy<T>,
        model: &DynamicsModel<T>,
        value: &Mlp<T>,
        horizon: usize,
        batch: usize,
    ) -> Self {
        let parts = minibatch::parts(0..batch, rayon::current_num_threads());
        let part = |rows| RecordedPart::new(policy, model, value, horizon, rows);
        let gradient = vec![T::ZERO; policy.network.shape().parameter_len()];
        Self { parts: parts.map(part).collect(), gradient, batch }
    }

    /// The minibatch, in the order of its rows.
    pub fn parts(&self) -> &[RecordedPart<T>] {
        &self.parts
    }

    /// Draws rows of a recording, and infers the policy's noise and the importance weights, truncated at `cap`.
    pub fn draw(
        &mut self,
        recording: Recording<'_>,
        (policy, model): (&Policy<T>, &DynamicsModel<T>),
        cap: f64,
        rng: &mut Rng,
    ) {
        self.parts.iter_mut().for_each(|part| part.streams.renew(rng));
        self.parts.par_iter_mut().for_each(|part| {
            part.draw(recording, model);
            part.load(recording);
            part.infer(policy, cap);
        });
    }

    /// Sequence number of row `row`'s first transition, and the importance weight of its action.
    pub fn first(&self, row: usize) -> (u64, T) {
        let part = self.parts.partition_point(|part| part.rows.end <= row);
        let part = &self.parts[part];
        let i = row - part.rows.start;
        (part.starts[i], part.first_weights[i])
    }

    /// Mean importance weight of the first actions, and the share that `cap` truncates.
    pub fn weights(&self, cap: f64) -> (f64, f64) {
        let weights = || self.parts.iter().flat_map(|part| &part.first_weights);
        let truncated = weights().filter(|&&weight| weight >= T::from_f64(cap)).count();
        let sum: f64 = weights().map(|weight| weight.to_f64()).sum();
        (sum / self.batch as f64, truncated as f64 / self.batch as f64)
    }

    /// Mean σ of the policy at the first states, over rows and coordinates of the action.
    pub fn mean_deviation(&self) -> f64 {
        let deviations = || self.parts.iter().flat_map(|part| part.points[0].deviations());
        deviations().map(|sigma| sigma.to_f64()).sum::<f64>() / deviations().count() as f64
    }

    /// The gradient of the loss by the policy's parameters, on the present draws.
    pub fn differentiate(&mut self, objective: &RecordedObjective<'_, T>) -> RecordedReport {
        let Self { parts, gradient, batch } = self;
        parts.par_iter_mut().for_each(|part| part.backward(objective, *batch));
        let (parts, steps) = (&*parts, parts[0].points.len());
        let step = |j: usize| parts.iter().map(move |part| &part.points[j].network);
        objective.policy.network.gradient((0..steps).rev().flat_map(step), gradient);
        let rows = *batch as f64;
        let mean = |of: fn(&RecordedPart<T>) -> &[f64]| -> f64 {
            parts.iter().flat_map(of).sum::<f64>() / rows
        };
        let divergence = mean(|part| &part.divergences);
        let sizes = mean(|part| &part.adjoint_sizes);
        RecordedReport {
            loss: objective.divergence_weight * divergence - mean(|part| &part.returns),
            mean_abs_adjoint: sizes / objective.policy.observation_dim() as f64,
            divergence,
            finite_noise: parts.iter().all(|part| part.finite_noise),
            finite_gradient: vector::all_finite(gradient),
        }
    }

    /// The gradient of the last [`RecordedWorkspace::differentiate`].
    pub fn gradient(&self) -> &[T] {
        &self.gradient
    }
}
