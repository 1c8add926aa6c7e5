//! One run's training of an ensemble, on the host: what is held out, the members' walks over the rows, and when it is over
//! (`src/model/fit.rs` draws and decides the same).

use super::fit_staging::FitMinibatch;
use crate::data::{Replay, Standardiser};
use crate::model::fit::{ROWS_PER_PART, best_members};
use crate::model::{DynamicsModel, FitReport, GradientLoss, ModelConfig};
use crate::rng::Rng;

/// A training in progress.
pub(super) struct FitJob<'m> {
    pub model: &'m mut DynamicsModel<f32>,
    pub stream: &'m mut Rng,
    pub real: &'m Replay,
    /// R, where it is part of the loss.
    pub loss: Option<GradientLoss<'m>>,
    pub config: &'m ModelConfig,
    pub report: FitReport,
    /// Rows held out.
    pub holdout: Vec<u32>,
    /// Rows of the training split, in each member's order.
    rows: Vec<Vec<u32>>,
    /// Push numbers of the neighbour window, in each member's order.
    windows: Vec<Vec<u64>>,
    /// Each member's lowest error.
    best: Vec<f64>,
    stale: usize,
    /// What the parts of a minibatch draw from.
    words: Vec<u64>,
    /// Places of the neighbours, those that were drawn first.
    choice: Vec<usize>,
}

impl<'m> FitJob<'m> {
    /// Begins a training on all of `real`: the split, the standardiser, and the rows that each member walks over.
    pub fn begin(
        model: &'m mut DynamicsModel<f32>,
        stream: &'m mut Rng,
        real: &'m Replay,
        loss: Option<GradientLoss<'m>>,
        config: &'m ModelConfig,
    ) -> Self {
        let mut order: Vec<u32> = (0..real.len() as u32).collect();
        stream.shuffle(&mut order);
        let held_out = (real.len() as f64 * config.holdout_fraction) as usize;
        let (holdout, training) = order.split_at(held_out.clamp(1, config.max_holdout));
        model.standardiser = Standardiser::fit(real, training, model.shape().inputs());
        let members = model.members.len();
        let mut rows = vec![training.to_vec(); members];
        if config.bootstrap {
            for row in rows.iter_mut().flatten() {
                *row = training[stream.below(training.len())];
            }
        }
        let window: Vec<u64> = loss.map_or_else(Vec::new, |l| l.neighbours.sequences().collect());
        let report = FitReport {
            epochs: 0,
            holdout_errors: Vec::new(),
            nll: 0.0,
            gradient_loss: loss.map(|_| 0.0),
        };
        Self {
            holdout: holdout.to_vec(),
            rows,
            windows: vec![window; members],
            best: vec![f64::INFINITY; members],
            stale: 0,
            words: Vec::new(),
            choice: Vec::new(),
            model,
            stream,
            real,
            loss,
            config,
            report,
        }
    }

    /// Puts every member's walk into a new order.
    pub fn shuffle(&mut self) {
        for (rows, window) in self.rows.iter_mut().zip(&mut self.windows) {
            self.stream.shuffle(rows);
            self.stream.shuffle(window);
        }
    }

    /// Minibatches of an epoch.
    pub fn minibatches(&self, batch: usize) -> usize {
        self.rows[0].len().div_ceil(batch)
    }

    /// Draws minibatch number `at` of the epoch, and counts its step. Rows of the replay are counted from `first_row` on.
    pub fn minibatch(
        &mut self,
        at: usize,
        batch: usize,
        first_row: i32,
        to: &mut FitMinibatch<'_>,
    ) {
        let parts = batch.div_ceil(ROWS_PER_PART);
        let members = self.rows.len();
        let Self { stream, words, .. } = self;
        words.clear();
        words.extend((0..members * parts).map(|_| stream.next_u64()));
        let first = at * batch;
        let last = self.rows[0].len().min(first + batch);
        for (to, rows) in to.rows.chunks_exact_mut(batch).zip(&self.rows) {
            // Rows that are missing in the last minibatch have no share.
            to[last - first..].fill(first_row);
            to.iter_mut()
                .zip(&rows[first..last])
                .for_each(|(to, &row)| *to = first_row + row as i32);
        }
        let share = 1.0 / ((last - first) * self.model.label_dim()) as f64;
        to.shares[..last - first].fill(share as f32);
        to.shares[last - first..].fill(0.0);
        self.count_step(to.factors);
        if let Some(loss) = self.loss {
            self.draw_directions(loss, first, batch, first_row, to);
        }
    }

    /// Writes Adam's factors of the next step, and that the run takes it.
    fn count_step(&mut self, factors: &mut [f32]) {
        let model = &mut *self.model;
        let adam = &model.members[0].adam;
        let of_networks = adam.factors_of(adam.updates + 1);
        let of_bounds = model.bounds_adam.as_ref();
        let of_bounds = of_bounds.map_or([0.0; 2], |adam| adam.factors_of(adam.updates + 1));
        let numbers = of_networks.into_iter().chain(of_bounds).chain([1.0]);
        factors.iter_mut().zip(numbers).for_each(|(to, x)| *to = x as f32);
        model.members.iter_mut().for_each(|member| member.adam.updates += 1);
        model.bounds_adam.iter_mut().for_each(|adam| adam.updates += 1);
    }

    /// R's rows and their neighbours: the window's minibatch starts where the likelihood's does, modulo its length, and wraps around.
    fn draw_directions(
        &mut self,
        loss: GradientLoss<'_>,
        first: usize,
        batch: usize,
        first_row: i32,
        to: &mut FitMinibatch<'_>,
    ) {
        let (members, length) = (self.windows.len(), self.windows[0].len());
        let (size, m, n) = (batch.min(length), loss.directions, loss.neighbours.count());
        let parts = batch.div_ceil(ROWS_PER_PART);
        let numbers = members * size * m * self.model.label_dim();
        let scale = loss.weight / numbers as f64;
        let Self { real, windows, words, choice, .. } = self;
        let row_of = |sequence: u64| first_row + real.row_of(sequence) as i32;
        choice.resize(n, 0);
        for (p, &word) in words.iter().enumerate() {
            let (member, part) = (p / parts, p % parts);
            let mut rng = Rng::from_word(word);
            let from = part * ROWS_PER_PART;
            for i in from.min(size)..(from + ROWS_PER_PART).min(size) {
                let sequence = windows[member][(first + i) % length];
                let at = member * size + i;
                to.own[at] = row_of(sequence);
                choice.iter_mut().enumerate().for_each(|(k, choice)| *choice = k);
                for k in 0..m {
                    if m < n {
                        let other = k + rng.below(n - k);
                        choice.swap(k, other);
                    }
                    let neighbour = loss.neighbours.nth(sequence, choice[k]);
                    let squared = loss.neighbours.squared_distance(sequence, choice[k]);
                    let weight = loss.direction_weight(f64::from(squared));
                    to.neighbours[k * members * size + at] = row_of(neighbour);
                    to.weights[at * m + k] = (scale * weight) as f32;
                }
            }
        }
    }

    /// Notes the errors after an epoch: which members have improved, and whether the training is over.
    pub fn note(&mut self, errors: Vec<f64>) -> (Vec<usize>, bool) {
        let mut improved = Vec::new();
        for (member, (best, &error)) in self.best.iter_mut().zip(&errors).enumerate() {
            if *best == f64::INFINITY || (*best - error) / *best > self.config.improvement {
                *best = error;
                improved.push(member);
            }
        }
        self.stale = if improved.is_empty() { self.stale + 1 } else { 0 };
        let broken = errors.iter().any(|e| !e.is_finite());
        self.report.holdout_errors = errors;
        self.report.epochs += 1;
        (improved, broken || self.stale >= self.config.patience_epochs)
    }

    /// Whether the members get back the weights that they had at their lowest errors.
    pub fn restores(&self) -> bool {
        self.config.restore_best && self.report.holdout_errors.iter().all(|e| e.is_finite())
    }

    /// Chooses the elites.
    pub fn finish(&mut self) {
        if self.restores() {
            // On the same rows and weights.
            self.report.holdout_errors.clone_from(&self.best);
        }
        self.model.elites = best_members(&self.report.holdout_errors, self.config.elites);
    }
}
