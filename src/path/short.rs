//! Short imagined paths in standardised coordinates, on which critic and policy are updated together (docs/algorithm.md, "Short paths").
//!
//! This file has what such an update is made with, and the way forward; the ways back are in `short_adjoint.rs`.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::critic::Critic;
use crate::data::minibatch::RowStreams;
use crate::env::Task;
use crate::model::{NormalisedModel, NormalisedTape};
use crate::nn::{Keep, Real, Tape};
use crate::policy::{Policy, PolicyTape};
use crate::rng::Rng;

/// Which model's derivatives a short path goes back through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DerivativeSource {
    /// Those of the prediction model: of the member that made the step, first of all.
    Prediction,
    /// Those of the gradient model, at the prediction model's states.
    Gradient,
}

/// The short paths.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShortPathConfig {
    /// Model steps before the critic takes over, H (5).
    #[schemars(range(min = 1, max = 1000))]
    pub horizon: usize,
    /// Which model gives the derivatives.
    pub gradient_source: DerivativeSource,
    /// Members whose mean derivative is used, at most `model.members` (1). Each costs a pass forward and back.
    #[schemars(range(min = 1, max = 1000))]
    pub derivative_members: usize,
}

/// All that an update on short paths is made with, fixed during it.
#[derive(Clone, Copy)]
pub struct ShortPath<'a, T> {
    /// H, and where derivatives come from.
    pub config: ShortPathConfig,
    /// π. It reads standardised states.
    pub policy: &'a Policy<T>,
    /// Q₁ … Q_N, of standardised states and normalised actions. Their outputs are measured in `range`.
    pub critic: &'a Critic<T>,
    /// Middle and half-width of the values.
    pub range: (f64, f64),
    /// The two target networks that a target is the least of.
    pub pair: (usize, usize),
    /// M^p: where the imagined states come from.
    pub prediction_model: &'a NormalisedModel<T>,
    /// M^g, where it is used.
    pub gradient_model: Option<&'a NormalisedModel<T>>,
    /// α.
    pub alpha: f64,
    /// γ.
    pub discount: f64,
    /// Ends imagined episodes.
    pub task: &'a dyn Task,
}

impl<'a, T> ShortPath<'a, T> {
    /// The model whose derivatives are used.
    pub(super) fn differentiated(&self) -> &'a NormalisedModel<T> {
        self.gradient_model.unwrap_or(self.prediction_model)
    }
}

/// Draws and buffers of some rows of a minibatch, a thread's work.
#[derive(Debug)]
pub struct ShortPart<T> {
    /// Which rows.
    pub(super) rows: Range<usize>,
    /// The policy at steps 0..=H: standardised states, noise, actions.
    pub points: Vec<PolicyTape<T>>,
    /// Member of M^p for each row, by step.
    pub members: Vec<Vec<u32>>,
    /// Members whose derivatives are used, by step, then one of k, then row.
    pub derivative_members: Vec<Vec<Vec<u32>>>,
    /// ε of standardised Δs, `[rows, observation_dim]`, by step.
    pub noise: Vec<Vec<T>>,
    /// m_j, `[rows]`, by step.
    pub alive: Vec<Vec<T>>,
    /// Mean reward of step j, `[rows]`.
    pub rewards: Vec<Vec<T>>,
    /// M^p's pass over the present step, where M^g has passes of its own.
    prediction: Option<NormalisedTape<T>>,
    /// Passes of the model whose derivatives are used, by step, then one of k.
    pub(super) derivatives: Vec<Vec<NormalisedTape<T>>>,
    /// Each network at (s₀, a₀).
    pub(super) values: Vec<Tape<T>>,
    /// The pair of target networks at (s_H, a_H).
    pub(super) target_values: [Tape<T>; 2],
    /// Each network at (s_H, a_H).
    pub(super) end_values: Vec<Tape<T>>,
    /// y of every row, as a value.
    pub targets: Vec<T>,
    /// P_j of the present step, `[rows, observation_dim]`.
    pub(super) adjoint: Vec<T>,
    pub(super) action_adjoint: Vec<T>,
    pub(super) log_prob_adjoint: Vec<T>,
    raw: Vec<f64>,
    pub(super) streams: RowStreams,
    /// Each row's share of the policy's objective, to be minimised.
    pub(super) losses: Vec<f64>,
    /// Each row's Σ over the networks of squared errors, in units of the range.
    pub(super) errors: Vec<f64>,
    /// Each row's Σ_j |λ_j| over steps 1..=H and state dimensions.
    pub(super) adjoint_sizes: Vec<f64>,
    /// Targets that were clipped.
    pub(super) clipped: u64,
    /// Living rows whose next state was not finite.
    pub(super) broken: u64,
}

impl<T: Real> ShortPart<T> {
    pub(super) fn new(path: &ShortPath<'_, T>, of: Range<usize>) -> Self {
        let (rows, horizon, k) = (of.len(), path.config.horizon, path.config.derivative_members);
        let (s, a) = (path.policy.observation_dim(), path.policy.action_dim());
        let value = |keep| Tape::new(path.critic.shape(), rows, keep);
        let values = |keep| path.critic.networks.iter().map(|_| value(keep)).collect::<Vec<_>>();
        let derivative = |_| NormalisedTape::new(path.differentiated(), rows, Keep::Slopes);
        let step = |_| (0..k).map(derivative).collect();
        let prediction = path
            .gradient_model
            .map(|_| NormalisedTape::new(path.prediction_model, rows, Keep::Nothing));
        Self {
            rows: of,
            points: (0..=horizon)
                .map(|_| PolicyTape::new(path.policy, rows, Keep::Adjoints))
                .collect(),
            members: vec![vec![0; rows]; horizon],
            derivative_members: vec![vec![vec![0; rows]; k]; horizon],
            noise: vec![vec![T::ZERO; rows * s]; horizon],
            alive: vec![vec![T::ONE; rows]; horizon + 1],
            rewards: vec![vec![T::ZERO; rows]; horizon],
            prediction,
            derivatives: (0..horizon).map(step).collect(),
            values: values(Keep::Adjoints),
            target_values: [value(Keep::Nothing), value(Keep::Nothing)],
            end_values: values(Keep::Slopes),
            targets: vec![T::ZERO; rows],
            adjoint: vec![T::ZERO; rows * s],
            action_adjoint: vec![T::ZERO; rows * a],
            log_prob_adjoint: vec![T::ZERO; rows],
            raw: vec![0.0; s],
            streams: RowStreams::new(rows),
            losses: vec![0.0; rows],
            errors: vec![0.0; rows],
            adjoint_sizes: vec![0.0; rows],
            clipped: 0,
            broken: 0,
        }
    }

    /// Draws what is random about an update; the start state of row i, raw, is `start(i, rng)`.
    pub(super) fn draw<'s>(
        &mut self,
        path: &ShortPath<'_, T>,
        start: &(impl Fn(usize, &mut Rng) -> &'s [f32] + Sync),
    ) {
        let (s, a) = (path.policy.observation_dim(), path.policy.action_dim());
        let (model, count) = (path.prediction_model, path.differentiated().members.len());
        let own_members = path.gradient_model.is_none();
        for (rows, mut rng) in self.streams.groups() {
            for i in rows.clone() {
                let state = start(self.rows.start + i, &mut rng).iter();
                let input = self.points[0].network.input.row_mut(i);
                model.inputs.apply(state.map(|&s| T::from_f32(s)), input);
            }
            for point in &mut self.points {
                rng.fill_normal(&mut point.noise[rows.start * a..rows.end * a]);
            }
            for (j, noise) in self.noise.iter_mut().enumerate() {
                rng.fill_normal(&mut noise[rows.start * s..rows.end * s]);
                for i in rows.clone() {
                    self.members[j][i] = rng.below(model.members.len()) as u32;
                    // Drawn for either source, so that both have the same paths.
                    let other = rng.below(count);
                    // Members are alike, so that any k of them that differ are a fair draw if the first is.
                    let first = if own_members { self.members[j][i] as usize } else { other };
                    for (k, members) in self.derivative_members[j].iter_mut().enumerate() {
                        members[i] = ((first + k) % count) as u32;
                    }
                }
            }
        }
    }

    /// Actions, imagined states, rewards and masks for j = 0..=H.
    pub(super) fn forward(&mut self, path: &ShortPath<'_, T>) {
        self.broken = 0;
        let (rows, horizon) = (self.rows.len(), path.config.horizon);
        for j in 0..=horizon {
            path.policy.sample(&mut self.points[j], rows);
            if j < horizon {
                self.step(path, j);
            }
        }
    }

    /// s_{j+1} of M^p, r_j and the masks m_{j+1} = m_j·(1 − d_j); and the forward passes of all derivatives.
    fn step(&mut self, path: &ShortPath<'_, T>, j: usize) {
        let model = path.prediction_model;
        let s = model.observation_dim();
        let (before, after) = self.points.split_at_mut(j + 1);
        let (point, next) = (&before[j], &mut after[0].network.input);
        let states = &point.network.input;
        let derivatives = self.derivatives[j].iter_mut().zip(&self.derivative_members[j]);
        for (tape, members) in derivatives {
            path.differentiated().forward(tape, members, |i| states.row(i), &point.actions);
        }
        let tape = match &mut self.prediction {
            Some(tape) => {
                model.forward(tape, &self.members[j], |i| states.row(i), &point.actions);
                &*tape
            }
            // The first derivative's pass is that of the member that makes the step.
            None => &self.derivatives[j][0],
        };
        for i in 0..self.rows.len() {
            let (state, next) = (states.row(i), next.row_mut(i));
            let noise = &self.noise[j][i * s..(i + 1) * s];
            self.rewards[j][i] = model.step(self.members[j][i], tape.mean(i), noise, state, next);
            if next.iter().any(|x| !x.is_finite()) || !self.rewards[j][i].is_finite() {
                // The caller stops at a living row's. A dead row is masked, but what it holds must be finite.
                self.broken += u64::from(self.alive[j][i] != T::ZERO);
                next.copy_from_slice(state);
                self.rewards[j][i] = T::ZERO;
                self.alive[j + 1][i] = T::ZERO;
                continue;
            }
            model.raw_state(next, &mut self.raw);
            let ended = path.task.terminated(&self.raw);
            self.alive[j + 1][i] = if ended { T::ZERO } else { self.alive[j][i] };
        }
    }

    /// Hands every living step's r_j − α·log π(a_j|s_j) to `take`, row by row.
    pub(super) fn rewards_with_entropy(&self, alpha: f64, mut take: impl FnMut(f64)) {
        for i in 0..self.rows.len() {
            for (j, rewards) in self.rewards.iter().enumerate() {
                if self.alive[j][i] != T::ZERO {
                    let log_prob = self.points[j].log_probs[i].to_f64();
                    take(rewards[i].to_f64() - alpha * log_prob);
                }
            }
        }
    }
}
