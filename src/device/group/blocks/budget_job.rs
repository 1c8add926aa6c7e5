//! One run's training of a model within a budget, on the host: what each member draws, and which weights were best (`src/model/budget.rs`
//! draws and decides the same).

use rayon::prelude::*;

use crate::data::Replay;
use crate::model::{BudgetReport, NormalisedModel, RowDraws, SecantTerm, Split};
use crate::rng::Rng;

/// A training in progress.
pub(super) struct BudgetJob<'m> {
    pub model: &'m mut NormalisedModel<f32>,
    pub real: &'m Replay,
    pub split: &'m Split,
    pub secants: Option<SecantTerm<'m, f32>>,
    /// Steps of each member.
    pub steps: usize,
    /// Of the members.
    rngs: Vec<Rng>,
    /// How much each row counts, `[members, rows]`.
    weights: Vec<Vec<f64>>,
    choice: Vec<usize>,
    /// What the training came to so far.
    pub report: BudgetReport,
    /// Σ of NLL and R̃ since the last look, over all members, and over how many steps of one.
    recent: ([f64; 2], f64),
}

/// Where a step's draws of a run go, each member's after the other's, or held-out rows for all members.
pub(super) struct BudgetRowsOut<'o> {
    /// `[members or 1, 1 + directions, n]`.
    pub rows: &'o mut [i32],
    /// `[members or 1, n]`.
    pub shares: &'o mut [f32],
    /// `[members or 1, n]`; empty where there are no secants.
    pub secant_shares: &'o mut [f32],
}

impl<'m> BudgetJob<'m> {
    /// Begins a training of `steps` steps.
    pub fn begin(
        model: &'m mut NormalisedModel<f32>,
        real: &'m Replay,
        (split, draws): (&'m Split, RowDraws),
        secants: Option<SecantTerm<'m, f32>>,
        steps: usize,
        stream: &mut Rng,
    ) -> Self {
        let members = model.members.len();
        let weights = |m: usize| -> Vec<f64> {
            (0..real.len()).map(|row| draws.weight(real.sequence_of(row), m)).collect()
        };
        Self {
            rngs: (0..members).map(|_| Rng::from_word(stream.next_u64())).collect(),
            weights: (0..members).into_par_iter().map(weights).collect(),
            choice: vec![0; secants.map_or(0, |term| term.neighbours.count())],
            report: BudgetReport::default(),
            recent: ([0.0; 2], 0.0),
            model,
            real,
            split,
            secants,
            steps,
        }
    }

    fn labels(&self) -> usize {
        self.model.label_dim()
    }

    /// How many of these rows have secants.
    fn with_secants(&self, rows: &[i32]) -> usize {
        let has = |&&row: &&i32| self.secants.is_some_and(|term| term.neighbours.has(row as u32));
        rows.iter().filter(has).count()
    }

    /// Draws a minibatch of `n` rows for each member.
    pub fn draw(&mut self, n: usize, to: &mut BudgetRowsOut<'_>) {
        let labels = self.labels();
        let directions = self.secants.map_or(0, |term| term.directions);
        let training = &self.split.training;
        for (m, rows) in to.rows.chunks_exact_mut(n * (1 + directions)).enumerate() {
            let (rows, ends) = rows.split_at_mut(n);
            let rng = &mut self.rngs[m];
            rows.iter_mut().for_each(|row| *row = training[rng.below(training.len())] as i32);
            let share = 1.0 / (n * labels) as f64;
            let shares = to.shares[m * n..][..n].iter_mut().zip(&*rows);
            shares.for_each(|(to, &row)| *to = (self.weights[m][row as usize] * share) as f32);
            let Some(term) = self.secants else { continue };
            let choice = &mut self.choice;
            for (i, &row) in rows.iter().enumerate() {
                choice.iter_mut().enumerate().for_each(|(k, choice)| *choice = k);
                for k in 0..directions {
                    let other = k + rng.below(choice.len() - k);
                    choice.swap(k, other);
                    ends[k * n + i] = term.end(row as u32, choice[k]) as i32;
                }
            }
            let each = share * (n as f64 / self.with_secants(rows).max(1) as f64);
            to.secant_shares[m * n..][..n].fill((each / directions as f64) as f32);
        }
    }

    /// Held-out rows from number `first` on, at most `n`, with secants that are always the same.
    pub fn holdout(&self, first: usize, n: usize, to: &mut BudgetRowsOut<'_>) {
        let holdout = &self.split.holdout;
        let own = holdout.iter().skip(first).take(n);
        let directions = self.secants.map_or(0, |term| term.directions);
        for (i, &row) in own.clone().enumerate() {
            to.rows[i] = row as i32;
            let Some(term) = self.secants else { continue };
            let count = term.neighbours.count();
            for k in 0..directions {
                to.rows[(1 + k) * n + i] = term.end(row, (row as usize + k) % count) as i32;
            }
        }
        let count = holdout.len();
        let share = 1.0 / (count * self.labels()) as f64;
        to.shares[..own.len()].fill(share as f32);
        if self.secants.is_some() {
            let has = |&&row: &&u32| self.secants.is_some_and(|term| term.neighbours.has(row));
            let with = holdout.iter().filter(has).count().max(1);
            let each = share * (count as f64 / with as f64) / directions as f64;
            to.secant_shares[..own.len()].fill(each as f32);
        }
    }

    /// Notes the sums over some steps, NLL and R̃ of each member.
    pub fn add(&mut self, sums: &[f64], steps: usize) {
        let (recent, count) = &mut self.recent;
        for sums in sums.chunks_exact(2) {
            recent.iter_mut().zip(sums).for_each(|(recent, sum)| *recent += sum);
        }
        *count += steps as f64;
    }

    /// Notes the mixture's losses on the held-out rows after step number `step`, (NLL, R̃, squares); whether they are the best yet.
    pub fn look(&mut self, step: usize, losses: &[f64]) -> bool {
        let weight = self.secants.map_or(0.0, |term| term.weight);
        let (sums, count) = std::mem::take(&mut self.recent);
        let of_members = count * self.model.members.len() as f64;
        [self.report.nll, self.report.secant_loss] = sums.map(|sum| sum / of_members);
        self.report.note(step, losses[0] + weight * losses[1], losses[2])
    }
}
