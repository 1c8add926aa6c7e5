//! The gradient of a policy's return along transitions that really happened (SVG): each recorded action and change of state is taken as
//! made by the present policy and model with a noise that is inferred from it, and the adjoint is carried backwards along the
//! recorded states with these noises held. So the derivatives are those of policy and model, and no error of the model adds up.
//!
//! With L ≤ H the recorded steps of a row that its episode has, the row's objective is w·(Σ_{j<L} γʲ·r_j + γᴸ·(1 − d)·V(s_L)), where w is
//! the importance weight of its actions, held constant and truncated. The adjoint kept is P_j = −w·γʲ·λ_j/B, as in `adjoint.rs`.

use std::ops::Range;

use super::step;
use crate::data::minibatch::RowStreams;
use crate::data::{Draws, Replay};
use crate::model::{DynamicsModel, StepTape};
use crate::nn::{Keep, Mlp, Real, Tape};
use crate::policy::{Policy, PolicyTape};

/// Real transitions, and how their actions were drawn.
#[derive(Clone, Copy, Debug)]
pub struct Recording<'a> {
    /// (s, a, r, s', d).
    pub real: &'a Replay,
    /// u and log densities, row by row of `real`.
    pub draws: &'a Draws,
    /// Rows start among this many of the newest.
    pub window: usize,
}

/// What the policy is improved on, fixed during an update.
#[derive(Clone, Copy, Debug)]
pub struct RecordedObjective<'a, T> {
    /// π, being improved.
    pub policy: &'a Policy<T>,
    /// π_old's network.
    pub old: &'a Mlp<T>,
    /// Gives the derivatives; trained.
    pub model: &'a DynamicsModel<T>,
    /// V, which takes over after a row's last recorded step.
    pub value: &'a Mlp<T>,
    /// γ.
    pub discount: f64,
    /// β, of KL(π‖π_old) at the first states.
    pub divergence_weight: f64,
}

/// Draws and buffers of some rows of a minibatch, a thread's work.
#[derive(Debug)]
pub struct RecordedPart<T> {
    /// Which rows.
    pub rows: Range<usize>,
    pub(super) streams: RowStreams,
    /// Sequence number of each row's first transition.
    pub starts: Vec<u64>,
    /// L, recorded steps of each row.
    pub lengths: Vec<usize>,
    /// The policy at s_j, with inferred noise, by step.
    pub points: Vec<PolicyTape<T>>,
    /// u, `[rows, action_dim]`, by step.
    pub pre_squash: Vec<Vec<T>>,
    /// a, `[rows, action_dim]`, by step.
    pub actions: Vec<Vec<T>>,
    /// Σ ln N(u; μ, σ) when u was drawn, `[rows]`, by step.
    pub drawn_densities: Vec<Vec<T>>,
    /// (r, Δs), `[rows, 1 + observation_dim]`, by step.
    pub labels: Vec<Vec<T>>,
    /// ξ of (r, Δs), `[rows, 1 + observation_dim]`, by step.
    pub model_noise: Vec<Vec<T>>,
    /// 1 − d of each row's last step.
    pub alive: Vec<T>,
    /// Elite of the model for each row, by step.
    pub elites: Vec<Vec<u32>>,
    /// Importance weight of each row's first action.
    pub first_weights: Vec<T>,
    /// w, the importance weight of all of a row's actions.
    pub weights: Vec<T>,
    /// V's pass over s_L.
    ends: Tape<T>,
    /// π_old's pass over s_0.
    old: Tape<T>,
    /// The model's pass over the present step.
    step: StepTape<T>,
    /// P_j, `[rows, observation_dim]`, by step; P_0 is not needed.
    adjoints: Vec<Vec<T>>,
    action_adjoint: Vec<T>,
    log_densities: Vec<T>,
    /// Zeros: log π has no part in the objective.
    log_prob_adjoint: Vec<T>,
    /// Each row's objective.
    pub(super) returns: Vec<f64>,
    /// Each row's KL(π‖π_old).
    pub(super) divergences: Vec<f64>,
    /// Each row's Σ |w·λ_1| over state dimensions.
    pub(super) adjoint_sizes: Vec<f64>,
    /// Whether all inferred model noise was finite.
    pub(super) finite_noise: bool,
}

impl<T: Real> RecordedPart<T> {
    /// Buffers for the rows `of` a minibatch that go along up to `horizon` recorded steps.
    pub(super) fn new(
        policy: &Policy<T>,
        model: &DynamicsModel<T>,
        value: &Mlp<T>,
        horizon: usize,
        of: Range<usize>,
    ) -> Self {
        let rows = of.len();
        let (s, a) = (policy.observation_dim(), policy.action_dim());
        let table = |width: usize| vec![vec![T::ZERO; rows * width]; horizon];
        Self {
            streams: RowStreams::new(rows),
            starts: vec![0; rows],
            lengths: vec![1; rows],
            points: (0..horizon).map(|_| PolicyTape::new(policy, rows, Keep::Adjoints)).collect(),
            pre_squash: table(a),
            actions: table(a),
            drawn_densities: table(1),
            labels: table(1 + s),
            model_noise: table(1 + s),
            alive: vec![T::ONE; rows],
            elites: vec![vec![0; rows]; horizon],
            first_weights: vec![T::ONE; rows],
            weights: vec![T::ONE; rows],
            ends: Tape::new(value.shape(), rows, Keep::Slopes),
            old: Tape::new(policy.network.shape(), rows, Keep::Nothing),
            step: StepTape::new(model, rows, Keep::Slopes),
            adjoints: vec![vec![T::ZERO; rows * s]; horizon + 1],
            action_adjoint: vec![T::ZERO; rows * a],
            log_densities: vec![T::ZERO; rows],
            log_prob_adjoint: vec![T::ZERO; rows],
            returns: vec![0.0; rows],
            divergences: vec![0.0; rows],
            adjoint_sizes: vec![0.0; rows],
            finite_noise: true,
            rows: of,
        }
    }

    fn horizon(&self) -> usize {
        self.points.len()
    }

    /// Draws where rows start and, of a trained model, the elites.
    pub(super) fn draw(&mut self, recording: Recording<'_>, model: &DynamicsModel<T>) {
        let Recording { real, window, .. } = recording;
        let count = real.len().min(window);
        let first = real.pushed() - count as u64;
        for (rows, mut rng) in self.streams.groups() {
            for start in &mut self.starts[rows.clone()] {
                *start = first + rng.below(count) as u64;
                real.prefetch(real.row_of(*start));
            }
            if !model.elites.is_empty() {
                for elites in &mut self.elites {
                    model.draw_elites(&mut rng, &mut elites[rows.clone()]);
                }
            }
        }
    }

    /// Reads the rows' recorded steps: until the episode ended, the newest transition, or H.
    pub(super) fn load(&mut self, recording: Recording<'_>) {
        let Recording { real, draws, .. } = recording;
        for i in 0..self.rows.len() {
            let (mut sequence, mut goes_on) = (self.starts[i], true);
            for j in 0..self.horizon() {
                if j > 0 && goes_on {
                    sequence += 1;
                }
                // Steps that there are not repeat the last one and weigh nothing.
                self.load_step(i, j, recording, sequence);
                if goes_on {
                    self.lengths[i] = j + 1;
                }
                let last = real.ends_episode(real.row_of(sequence));
                goes_on = goes_on && !last && sequence + 1 < real.pushed();
            }
            let end = real.get(real.row_of(sequence));
            self.alive[i] = if end.terminated { T::ZERO } else { T::ONE };
            fill(self.ends.input.row_mut(i), end.next_observation);
            debug_assert_eq!(draws.pushed(), real.pushed());
        }
    }

    fn load_step(&mut self, i: usize, j: usize, recording: Recording<'_>, sequence: u64) {
        let row = recording.real.row_of(sequence);
        let transition = recording.real.get(row);
        let (pre_squash, log_density) = recording.draws.get(row);
        let a = pre_squash.len();
        fill(self.points[j].network.input.row_mut(i), transition.observation);
        fill(&mut self.actions[j][i * a..], transition.action);
        fill(&mut self.pre_squash[j][i * a..], pre_squash);
        self.drawn_densities[j][i] = T::from_f32(log_density);
        let labels = 1 + transition.observation.len();
        let label = &mut self.labels[j][i * labels..][..labels];
        label.iter_mut().enumerate().for_each(|(d, y)| *y = transition.label(d));
    }

    /// Infers the noise of the recorded actions and the importance weights, truncated at `cap`.
    pub(super) fn infer(&mut self, policy: &Policy<T>, cap: f64) {
        let (rows, cap) = (self.rows.len(), T::from_f64(cap));
        // Sums of log-ratios, until they become weights.
        self.weights.fill(T::ZERO);
        for j in 0..self.horizon() {
            let densities = &mut self.log_densities;
            policy.infer(&mut self.points[j], rows, &self.pre_squash[j], densities);
            let ratios = densities.iter().zip(&self.drawn_densities[j]);
            let sums = self.weights.iter_mut().zip(&self.lengths);
            for ((sum, &length), (&density, &drawn)) in sums.zip(ratios) {
                if j < length {
                    *sum += density - drawn;
                }
            }
            if j == 0 {
                let firsts = self.first_weights.iter_mut().zip(&self.weights);
                firsts.for_each(|(first, sum)| *first = sum.exp().min(cap));
            }
        }
        self.weights.iter_mut().for_each(|weight| *weight = weight.exp().min(cap));
    }

    /// The adjoint from each row's end to its start; what the policy's gradient needs stays on its tapes.
    pub(super) fn backward(&mut self, objective: &RecordedObjective<'_, T>, batch: usize) {
        self.start_adjoint(objective, batch);
        self.finite_noise = true;
        for j in (0..self.horizon()).rev() {
            self.end_rows(j + 1);
            if j == 0 {
                self.measure_adjoint(objective, batch);
            }
            self.carry_adjoint(objective, j, batch);
            self.through_policy(objective, j, batch);
        }
    }

    /// γʲ/B.
    fn share(objective: &RecordedObjective<'_, T>, j: usize, batch: usize) -> T {
        T::from_f64(objective.discount.powi(j as i32) / batch as f64)
    }

    /// V(s_L) and its slopes, and each row's objective.
    fn start_adjoint(&mut self, objective: &RecordedObjective<'_, T>, batch: usize) {
        let rows = self.rows.len();
        objective.value.forward(&mut self.ends, 0..rows);
        let labels = objective.model.label_dim();
        for i in 0..rows {
            let (length, weight) = (self.lengths[i], self.weights[i] * self.alive[i]);
            let adjoint = -(weight * Self::share(objective, length, batch));
            self.ends.output_adjoint.row_mut(i)[0] = adjoint;
            let value = (self.alive[i] * self.ends.output.row(i)[0]).to_f64();
            let sum = (0..length).rev().fold(value, |after, j| {
                self.labels[j][i * labels].to_f64() + objective.discount * after
            });
            self.returns[i] = self.weights[i].to_f64() * sum;
        }
        objective.value.backward(&mut self.ends, 0..rows, None, true);
    }

    /// P_j of the rows that end before step j: V's slopes, and 0 beyond a row's end.
    fn end_rows(&mut self, j: usize) {
        let s = self.ends.input.columns();
        for (i, row) in self.adjoints[j].chunks_exact_mut(s).enumerate() {
            if self.lengths[i] == j {
                row.copy_from_slice(self.ends.input_adjoint.row(i));
            } else if self.lengths[i] < j {
                row.fill(T::ZERO);
            }
        }
    }

    /// Σ |w·λ_1| of each row; 0 where γ vanishes, and with it P_1.
    fn measure_adjoint(&mut self, objective: &RecordedObjective<'_, T>, batch: usize) {
        self.adjoint_sizes.fill(0.0);
        let (share, at) = (Self::share(objective, 1, batch), (objective.discount, 1, batch));
        step::add_sizes(&mut self.adjoint_sizes, &self.adjoints[1], share, at);
    }

    /// The part of P_j, and of the derivatives by a_j, that goes through the model's step j.
    fn carry_adjoint(&mut self, objective: &RecordedObjective<'_, T>, j: usize, batch: usize) {
        let (model, labels) = (objective.model, objective.model.label_dim());
        let (states, actions) = (&self.points[j].network.input, &self.actions[j]);
        model.forward(&mut self.step, &self.elites[j], states, actions);
        let share = Self::share(objective, j, batch);
        let s = model.observation_dim();
        let noises = self.model_noise[j].chunks_exact_mut(labels);
        let noises = noises.zip(self.labels[j].chunks_exact(labels));
        for (i, (noise, label)) in noises.enumerate() {
            model.infer_noise(self.step.output(i), label, noise);
            self.finite_noise &= noise.iter().all(|x| x.is_finite());
            let weight = if j < self.lengths[i] { self.weights[i] * share } else { T::ZERO };
            let by_next = &self.adjoints[j + 1][i * s..(i + 1) * s];
            let by_next = by_next.iter().copied();
            step::seed_row(model, &mut self.step, i, -weight, by_next, Some(noise));
        }
        let (low, high) = self.adjoints.split_at_mut(j + 1);
        let by_next = Some(&high[0][..]);
        step::back(model, &mut self.step, by_next, &mut low[j], &mut self.action_adjoint);
    }

    /// The part of step j that goes through a_j = π(s_j), with the divergence where j is 0: adds to P_j where it is needed.
    fn through_policy(&mut self, objective: &RecordedObjective<'_, T>, j: usize, batch: usize) {
        let rows = self.rows.len();
        let (policy, point) = (objective.policy, &mut self.points[j]);
        policy.output_adjoints(point, rows, &self.action_adjoint, &self.log_prob_adjoint);
        if j == 0 {
            for i in 0..rows {
                self.old.input.row_mut(i).copy_from_slice(point.network.input.row(i));
            }
            objective.old.forward(&mut self.old, 0..rows);
            let weight = T::from_f64(objective.divergence_weight / batch as f64);
            policy.add_divergence(point, &self.old, weight, &mut self.divergences);
        }
        let adjoint = (j > 0).then_some(&mut self.adjoints[j][..]);
        step::back_through_policy(policy, point, rows, None, adjoint);
    }
}

fn fill<T: Real>(target: &mut [T], source: &[f32]) {
    target.iter_mut().zip(source).for_each(|(t, &s)| *t = T::from_f32(s));
}
