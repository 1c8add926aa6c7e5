//! One run's training of an ensemble, on the host: what is held out, the members' walks over the rows, and when it is over
//! (`src/model/fit.rs` draws and decides the same).

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
    /// Each member's parameters when it had it, where they are to come back.
    pub kept: Vec<Vec<f32>>,
    stale: usize,
}

/// A minibatch of all members, as rows of the replay.
#[derive(Debug, Default)]
pub(super) struct FitMinibatch {
    /// `[members, batch]`; 0 where there are fewer rows.
    pub rows: Vec<i32>,
    /// How many of them there are.
    pub count: usize,
    /// R's rows, `[members, window batch]`.
    pub own: Vec<i32>,
    /// `[m, members, window batch]`.
    pub neighbours: Vec<i32>,
    /// Of the squared residuals in the loss, `[members, window batch, m]`.
    pub weights: Vec<f32>,
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
            kept: vec![Vec::new(); members],
            stale: 0,
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

    /// Draws minibatch number `at` of the epoch.
    pub fn minibatch(&mut self, at: usize, batch: usize) -> FitMinibatch {
        let members = self.rows.len();
        let parts = batch.div_ceil(ROWS_PER_PART);
        let words: Vec<u64> = (0..members * parts).map(|_| self.stream.next_u64()).collect();
        let first = at * batch;
        let last = self.rows[0].len().min(first + batch);
        let mut drawn = FitMinibatch { count: last - first, ..FitMinibatch::default() };
        drawn.rows = vec![0; members * batch];
        for (to, rows) in drawn.rows.chunks_exact_mut(batch).zip(&self.rows) {
            to.iter_mut().zip(&rows[first..last]).for_each(|(to, &row)| *to = row as i32);
        }
        if let Some(loss) = self.loss {
            self.draw_directions(loss, first, batch, &words, &mut drawn);
        }
        drawn
    }

    /// R's rows and their neighbours: the window's minibatch starts where the likelihood's does, modulo its length, and wraps around.
    fn draw_directions(
        &self,
        loss: GradientLoss<'_>,
        first: usize,
        batch: usize,
        words: &[u64],
        drawn: &mut FitMinibatch,
    ) {
        let (members, length) = (self.windows.len(), self.windows[0].len());
        let (size, m, n) = (batch.min(length), loss.directions, loss.neighbours.count());
        let parts = batch.div_ceil(ROWS_PER_PART);
        let numbers = members * size * m * self.model.label_dim();
        let scale = loss.weight / numbers as f64;
        drawn.own = vec![0; members * size];
        drawn.neighbours = vec![0; m * members * size];
        drawn.weights = vec![0.0; members * size * m];
        let row_of = |sequence: u64| self.real.row_of(sequence) as i32;
        let mut choice: Vec<usize> = (0..n).collect();
        for (p, &word) in words.iter().enumerate() {
            let (member, part) = (p / parts, p % parts);
            let mut rng = Rng::from_word(word);
            let from = part * ROWS_PER_PART;
            for i in from.min(size)..(from + ROWS_PER_PART).min(size) {
                let sequence = self.windows[member][(first + i) % length];
                let at = member * size + i;
                drawn.own[at] = row_of(sequence);
                choice.iter_mut().enumerate().for_each(|(k, choice)| *choice = k);
                for k in 0..m {
                    if m < n {
                        let other = k + rng.below(n - k);
                        choice.swap(k, other);
                    }
                    let neighbour = loss.neighbours.nth(sequence, choice[k]);
                    let squared = loss.neighbours.squared_distance(sequence, choice[k]);
                    let weight = loss.direction_weight(f64::from(squared));
                    drawn.neighbours[k * members * size + at] = row_of(neighbour);
                    drawn.weights[at * m + k] = (scale * weight) as f32;
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

    /// Gives every member back its best weights, where that is wanted, and chooses the elites.
    pub fn finish(&mut self) {
        let finite = self.report.holdout_errors.iter().all(|e| e.is_finite());
        if self.config.restore_best && finite {
            for (member, kept) in self.model.members.iter_mut().zip(&self.kept) {
                member.network.update(|parameters, _| parameters.copy_from_slice(kept));
            }
            // On the same rows and weights.
            self.report.holdout_errors.clone_from(&self.best);
        }
        self.model.elites = best_members(&self.report.holdout_errors, self.config.elites);
    }
}
