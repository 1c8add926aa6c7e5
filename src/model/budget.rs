//! Training a [`NormalisedModel`] for a budget of steps: weights are kept from one training to the next, moments are not; a fixed share of the
//! transitions is held out, and each member gets the weights back that were best on them.
//!
//! Members know nothing of each other, so each is trained from beginning to end by one thread.

use rayon::prelude::*;

use super::budget_config::BudgetConfig;
use super::normalised::{NormalisedMember, NormalisedModel};
use super::secant::SecantUnits;
use super::secant_data::SecantTerm;
use super::split::{RowDraws, Split};
use crate::data::{Replay, Standardiser};
use crate::nn::{Adam, Keep, Real, StopFlag, Tape};
use crate::rng::Rng;

/// Rows of a minibatch that go through a network together.
const ROWS_PER_PART: usize = 128;

/// What a training came to, means over the members.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BudgetReport {
    /// Weighted NLL over the last steps.
    pub nll: f64,
    /// R̃ over the last steps; 0 where it is no part of the loss.
    pub secant_loss: f64,
    /// Least loss on the held-out rows.
    pub holdout_loss: f64,
    /// Step at which it was met.
    pub best_step: f64,
    /// Mean squared error on the held-out rows at the end, standardised (r, Δs).
    pub holdout_error: f64,
}

/// What one training is made with.
pub(super) struct Lesson<'a, T> {
    replay: &'a Replay,
    split: &'a Split,
    draws: RowDraws,
    units: Option<(SecantTerm<'a, T>, SecantUnits<'a, T>)>,
    inputs: &'a Standardiser<T>,
    labels: &'a Standardiser<T>,
    config: &'a BudgetConfig,
    steps: usize,
    stop: &'a StopFlag,
}

/// A member's buffers.
#[derive(Debug)]
pub(super) struct Trainee<T> {
    pub(super) rng: Rng,
    adam: Adam<T>,
    sigma_adam: Adam<T>,
    /// Rows of a part, then the far ends of their secants.
    tape: Tape<T>,
    pub(super) rows: Vec<u32>,
    ends: Vec<u32>,
    choice: Vec<usize>,
    label: Vec<T>,
    inverse_variance: Vec<T>,
    pub(super) gradient: Vec<T>,
    pub(super) sigma_gradient: Vec<T>,
    best: NormalisedMember<T>,
    report: BudgetReport,
}

/// Sums over some rows.
#[derive(Clone, Copy, Default)]
pub(super) struct Sums {
    pub(super) nll: f64,
    pub(super) secants: f64,
    squares: f64,
}

/// Buffers of all members, allocated once.
#[derive(Debug)]
pub struct BudgetWorkspace<T> {
    pub(super) trainees: Vec<Trainee<T>>,
    /// A training ends when it is raised; what it came to is of no use then.
    pub stop: StopFlag,
}

impl<T: Real> BudgetWorkspace<T> {
    /// Buffers for one model; `directions` secants of each row are part of its loss.
    pub fn new(model: &NormalisedModel<T>, config: &BudgetConfig, directions: usize) -> Self {
        let (labels, len) = (model.label_dim(), model.shape().parameter_len());
        let rows_each = ROWS_PER_PART.min(config.batch_size);
        let trainee = |member: &NormalisedMember<T>| Trainee {
            rng: Rng::from_word(0),
            adam: Adam::new(len, config.learning_rate),
            sigma_adam: Adam::new(labels, config.learning_rate),
            tape: Tape::new(model.shape(), rows_each * (1 + directions), Keep::Values),
            rows: vec![0; config.batch_size],
            ends: vec![0; rows_each * directions],
            choice: Vec::new(),
            label: vec![T::ZERO; labels],
            inverse_variance: vec![T::ZERO; labels],
            gradient: vec![T::ZERO; len],
            sigma_gradient: vec![T::ZERO; labels],
            best: member.clone(),
            report: BudgetReport::default(),
        };
        Self { trainees: model.members.iter().map(trainee).collect(), stop: StopFlag::default() }
    }
}

/// Trains all members for `steps` steps on the rows of `split`. The standardisers are the caller's to renew.
#[allow(clippy::too_many_arguments)]
pub fn fit_within<T: Real>(
    model: &mut NormalisedModel<T>,
    workspace: &mut BudgetWorkspace<T>,
    replay: &Replay,
    (split, draws): (&Split, RowDraws),
    secants: Option<SecantTerm<'_, T>>,
    config: &BudgetConfig,
    steps: usize,
    rng: &mut Rng,
) -> BudgetReport {
    let NormalisedModel { members, inputs, labels, trained, .. } = model;
    let BudgetWorkspace { trainees, stop } = workspace;
    let of_labels = (&*inputs, &*labels);
    let mut lesson = Lesson::new(replay, (split, draws), secants, of_labels, config, stop);
    lesson.steps = steps;
    trainees.iter_mut().for_each(|trainee| trainee.rng = Rng::from_word(rng.next_u64()));
    let pairs = members.par_iter_mut().zip(&mut *trainees).enumerate();
    pairs.for_each(|(m, (member, trainee))| trainee.train(m, member, &lesson));
    *trained = true;
    let mean = |of: fn(&BudgetReport) -> f64| {
        trainees.iter().map(|trainee| of(&trainee.report)).sum::<f64>() / trainees.len() as f64
    };
    BudgetReport {
        nll: mean(|r| r.nll),
        secant_loss: mean(|r| r.secant_loss),
        holdout_loss: mean(|r| r.holdout_loss),
        best_step: mean(|r| r.best_step),
        holdout_error: mean(|r| r.holdout_error),
    }
}

impl<'a, T: Real> Lesson<'a, T> {
    /// A training with these standardisers of (s, a) and of (r, Δs).
    pub(super) fn new(
        replay: &'a Replay,
        (split, draws): (&'a Split, RowDraws),
        secants: Option<SecantTerm<'a, T>>,
        (inputs, labels): (&'a Standardiser<T>, &'a Standardiser<T>),
        config: &'a BudgetConfig,
        stop: &'a StopFlag,
    ) -> Self {
        let units = secants.map(|term| {
            let SecantTerm { weights, least_square, .. } = term;
            let (label_scale, least_square) = (&labels.deviation[..], T::from_f64(least_square));
            (term, SecantUnits { inputs, label_scale, weights, least_square })
        });
        Self { replay, split, draws, units, inputs, labels, config, steps: config.steps, stop }
    }

    /// How many rows these are, and how many of them have secants.
    fn counts(&self, rows: &[u32]) -> (usize, usize) {
        let has = |&&row: &&u32| self.units.is_some_and(|(term, _)| term.neighbours.has(row));
        (rows.len(), rows.iter().filter(has).count())
    }
}

impl<T: Real> Trainee<T> {
    fn train(&mut self, m: usize, member: &mut NormalisedMember<T>, lesson: &Lesson<'_, T>) {
        let &Lesson { split, config, steps, .. } = lesson;
        self.adam.restart();
        self.sigma_adam.restart();
        self.report = BudgetReport { holdout_loss: f64::INFINITY, ..BudgetReport::default() };
        let (mut recent, mut count) = (Sums::default(), 0.0);
        for step in 1..=steps {
            if lesson.stop.is_raised() {
                return;
            }
            self.draw_rows(split);
            let sums = self.differentiate(m, member, lesson, |_, _| {});
            self.descend(member, config);
            recent.nll += sums.nll;
            recent.secants += sums.secants;
            count += 1.0;
            if step.is_multiple_of(config.look_every) || step == steps {
                (self.report.nll, self.report.secant_loss) =
                    (recent.nll / count, recent.secants / count);
                (recent, count) = (Sums::default(), 0.0);
                self.look(step, m, member, lesson);
            }
        }
        if self.report.holdout_loss < f64::INFINITY {
            member.log_sigma.copy_from_slice(&self.best.log_sigma);
            let best = self.best.network.parameters();
            member.network.update(|parameters, _| parameters.copy_from_slice(best));
        }
    }

    /// Draws the rows of a minibatch.
    pub(super) fn draw_rows(&mut self, split: &Split) {
        let Self { rows, rng, .. } = self;
        rows.iter_mut().for_each(|row| *row = split.training[rng.below(split.training.len())]);
    }

    /// The gradients of the loss on the rows drawn. `seen` is shown the rows of each part and the far ends of their secants.
    pub(super) fn differentiate(
        &mut self,
        m: usize,
        member: &NormalisedMember<T>,
        lesson: &Lesson<'_, T>,
        mut seen: impl FnMut(&[u32], &[u32]),
    ) -> Sums {
        self.gradient.fill(T::ZERO);
        self.sigma_gradient.fill(T::ZERO);
        let mut sums = Sums::default();
        let rows = std::mem::take(&mut self.rows);
        let counts = lesson.counts(&rows);
        let directions = lesson.units.map_or(0, |(term, _)| term.directions);
        let rows_each = self.tape.rows() / (1 + directions);
        for part in rows.chunks(rows_each) {
            self.draw_ends(part, lesson);
            seen(part, &self.ends[..part.len() * directions]);
            self.evaluate(Some(m), member, lesson, (part, counts), &mut sums);
        }
        self.rows = rows;
        sums
    }

    /// A step of the optimiser down the gradients.
    fn descend(&mut self, member: &mut NormalisedMember<T>, config: &BudgetConfig) {
        let Self { adam, sigma_adam, gradient, sigma_gradient, .. } = self;
        let decay = &config.weight_decay;
        member.network.update(|parameters, shape| {
            let mut step = adam.begin();
            for (layer, &decay) in shape.layers.iter().zip(decay) {
                step.apply_decoupled(parameters, gradient, layer.weight.clone(), decay);
                step.apply(parameters, gradient, layer.bias.clone(), 0.0);
            }
        });
        let all = 0..sigma_gradient.len();
        sigma_adam.begin().apply(&mut member.log_sigma, sigma_gradient, all, 0.0);
    }

    /// Draws the far ends of the rows' secants.
    fn draw_ends(&mut self, rows: &[u32], lesson: &Lesson<'_, T>) {
        let Some((term, _)) = lesson.units else { return };
        let Self { ends, choice, rng, .. } = self;
        choice.resize(term.neighbours.count(), 0);
        for (ends, &row) in ends.chunks_exact_mut(term.directions).zip(rows) {
            choice.iter_mut().enumerate().for_each(|(k, choice)| *choice = k);
            for (k, end) in ends.iter_mut().enumerate() {
                let other = k + rng.below(choice.len() - k);
                choice.swap(k, other);
                *end = term.end(row, choice[k]);
            }
        }
    }

    /// Forward over some rows of a minibatch that has `batch` of them, `with_secants` among them, adding their share to the sums of losses, and, for member number `m`, back, adding to
    /// the gradients.
    fn evaluate(
        &mut self,
        m: Option<usize>,
        member: &NormalisedMember<T>,
        lesson: &Lesson<'_, T>,
        (rows, (batch, with_secants)): (&[u32], (usize, usize)),
        sums: &mut Sums,
    ) {
        let Self { tape, ends, label, inverse_variance, gradient, sigma_gradient, .. } = self;
        let directions = lesson.units.map_or(0, |(term, _)| term.directions);
        let ends = &ends[..rows.len() * directions];
        let all = rows.len() + ends.len();
        let inputs = lesson.inputs;
        for (i, &row) in rows.iter().chain(ends).enumerate() {
            let t = lesson.replay.get(row as usize);
            let input = tape.input.row_mut(i);
            inputs.apply((0..input.len()).map(|d| t.input(d)), input);
        }
        member.network.forward(tape, 0..all);
        let labels = label.len();
        let share = 1.0 / (batch * labels) as f64;
        let half = T::from_f64(0.5);
        let constant: T = member.log_sigma.iter().copied().sum();
        for (inverse, &log_sigma) in inverse_variance.iter_mut().zip(&member.log_sigma) {
            *inverse = (-(log_sigma + log_sigma)).exp();
        }
        for (i, &row) in rows.iter().enumerate() {
            let t = lesson.replay.get(row as usize);
            lesson.labels.apply((0..labels).map(|d| t.label(d)), label);
            let weight =
                m.map_or(1.0, |m| lesson.draws.weight(lesson.replay.sequence_of(row as usize), m));
            let scale = T::from_f64(weight * share);
            let (mut nll, mut square) = (constant, T::ZERO);
            let (output, adjoint) = (tape.output.row(i), tape.output_adjoint.row_mut(i));
            for d in 0..labels {
                let error = output[d] - label[d];
                let weighted = error * inverse_variance[d];
                nll += half * error * weighted;
                square += error * error;
                adjoint[d] = scale * weighted;
                sigma_gradient[d] += scale * (T::ONE - error * weighted);
            }
            sums.nll += weight * share * nll.to_f64();
            sums.squares += share * square.to_f64();
        }
        if let Some((term, units)) = lesson.units {
            // R̃ is the mean over the rows that have secants; the others' are to themselves, of which nothing is to be learned.
            let each = share * (batch as f64 / with_secants.max(1) as f64) / directions as f64;
            let scale = T::from_f64(term.weight * each);
            for (k, &end) in ends.iter().enumerate() {
                tape.output_adjoint.row_mut(rows.len() + k).fill(T::ZERO);
                let own = k / directions;
                units.difference(lesson.replay, (rows[own], end), label);
                let pair = (own, rows.len() + k);
                sums.secants += each * units.add_secant(tape, pair, label, scale).to_f64();
            }
        }
        if m.is_some() {
            member.network.backward(tape, 0..all, Some(gradient), false);
        }
    }

    /// Notes the member if it is the best yet on the held-out rows. There each row has one secant, always the same.
    fn look(
        &mut self,
        step: usize,
        m: usize,
        member: &NormalisedMember<T>,
        lesson: &Lesson<'_, T>,
    ) {
        let mut sums = Sums::default();
        let directions = lesson.units.map_or(0, |(term, _)| term.directions);
        let rows_each = self.tape.rows() / (1 + directions);
        let holdout = &lesson.split.holdout;
        let counts = lesson.counts(holdout);
        for rows in holdout.chunks(rows_each) {
            if let Some((term, _)) = lesson.units {
                let n = term.neighbours.count();
                for (ends, &row) in self.ends.chunks_exact_mut(directions).zip(rows) {
                    for (k, end) in ends.iter_mut().enumerate() {
                        *end = term.end(row, (row as usize + m + k) % n);
                    }
                }
            }
            self.evaluate(None, member, lesson, (rows, counts), &mut sums);
        }
        let weight = lesson.units.map_or(0.0, |(term, _)| term.weight);
        let loss = sums.nll + weight * sums.secants;
        if loss < self.report.holdout_loss {
            self.report.holdout_loss = loss;
            self.report.best_step = step as f64;
            self.report.holdout_error = sums.squares;
            let Self { best, .. } = self;
            best.log_sigma.copy_from_slice(&member.log_sigma);
            best.network.update_forward_only(|parameters| {
                parameters.copy_from_slice(member.network.parameters());
            });
        }
    }
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
