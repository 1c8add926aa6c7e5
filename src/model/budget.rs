//! Training a [`NormalisedModel`] for a budget of steps: weights are kept from one training to the next, moments are not; a fixed share of the
//! transitions is held out, and all members get the weights back with which they were best on them together (docs/decisions/103).
//!
//! Members know nothing of each other between two looks at the held-out rows, so each is trained by one thread from look to look.

use rayon::prelude::*;

use super::budget_config::BudgetConfig;
use super::budget_look::{Examiner, MixtureLosses};
use super::lesson::Lesson;
use super::normalised::{NormalisedMember, NormalisedModel};
use super::secant_data::SecantTerm;
use super::split::{RowDraws, Split};
use crate::data::Replay;
use crate::nn::{Adam, Keep, Real, StopFlag, Tape};
use crate::rng::Rng;

/// Rows of a minibatch that go through a network together.
const ROWS_PER_PART: usize = 128;

/// What a training came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetReport {
    /// Weighted NLL over the last steps, mean over the members.
    pub nll: f64,
    /// R̃ over the last steps, mean over the members; 0 where it is no part of the loss.
    pub secant_loss: f64,
    /// Least loss of the ensemble on the held-out rows.
    pub holdout_loss: f64,
    /// Step at which it was met; 0 where none was finite.
    pub best_step: usize,
    /// Mean squared error of the ensemble's mean on the held-out rows then, standardised (r, Δs).
    pub holdout_error: f64,
}

impl Default for BudgetReport {
    fn default() -> Self {
        let (nll, secant_loss, holdout_error) = (0.0, 0.0, 0.0);
        Self { nll, secant_loss, holdout_loss: f64::INFINITY, best_step: 0, holdout_error }
    }
}

impl BudgetReport {
    /// Notes the ensemble's loss and squared error on the held-out rows after step number `step`; whether it is the best yet.
    pub fn note(&mut self, step: usize, loss: f64, squares: f64) -> bool {
        let best = loss < self.holdout_loss;
        if best {
            (self.holdout_loss, self.best_step, self.holdout_error) = (loss, step, squares);
        }
        best
    }
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
    /// Of the steps since the last look.
    recent: Sums,
}

/// Sums of losses over some rows, or some steps.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub(super) nll: f64,
    pub(super) secants: f64,
}

/// Buffers of all members, allocated once.
#[derive(Debug)]
pub struct BudgetWorkspace<T> {
    pub(super) trainees: Vec<Trainee<T>>,
    /// As many, so that looks take as many threads.
    examiners: Vec<Examiner<T>>,
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
            recent: Sums::default(),
        };
        let examiner = |_| Examiner::new(model.shape(), rows_each, directions);
        Self {
            trainees: model.members.iter().map(trainee).collect(),
            examiners: (0..model.members.len()).map(examiner).collect(),
            stop: StopFlag::default(),
        }
    }

    /// Begins a training that goes on by [`BudgetWorkspace::advance`]: moments anew, each member's rows from a stream of its own.
    pub fn begin(&mut self, rng: &mut Rng) {
        self.trainees.iter_mut().for_each(|trainee| trainee.begin(rng));
    }

    /// Trains all members for one step more, whatever the held-out rows would say of it.
    pub fn advance(
        &mut self,
        model: &mut NormalisedModel<T>,
        replay: &Replay,
        (split, draws): (&Split, RowDraws),
        secants: Option<SecantTerm<'_, T>>,
        config: &BudgetConfig,
    ) {
        let NormalisedModel { members, inputs, labels, trained, .. } = model;
        let of_labels = (&*inputs, &*labels);
        let lesson = Lesson::new(replay, (split, draws), secants, of_labels, config, &self.stop);
        train(members, &mut self.trainees, &lesson, 1);
        *trained = true;
    }
}

/// Trains each member for `steps` steps by a thread of its own.
fn train<T: Real>(
    members: &mut [NormalisedMember<T>],
    trainees: &mut [Trainee<T>],
    lesson: &Lesson<'_, T>,
    steps: usize,
) {
    let pairs = members.par_iter_mut().zip(trainees).enumerate();
    pairs.for_each(|(m, (member, trainee))| trainee.train(m, member, lesson, steps));
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
    let BudgetWorkspace { trainees, examiners, stop } = workspace;
    let of_labels = (&*inputs, &*labels);
    let lesson = Lesson::new(replay, (split, draws), secants, of_labels, config, stop);
    trainees.iter_mut().for_each(|trainee| trainee.begin(rng));
    let weight = secants.map_or(0.0, |term| term.weight);
    let mut report = BudgetReport::default();
    let mut done = 0;
    while done < steps && !stop.is_raised() {
        let count = config.look_every.min(steps - done);
        done += count;
        train(members, trainees, &lesson, count);
        let mean = |of: fn(&Sums) -> f64| {
            let sum = trainees.iter().map(|trainee| of(&trainee.recent)).sum::<f64>();
            sum / (trainees.len() * count) as f64
        };
        (report.nll, report.secant_loss) = (mean(|sums| sums.nll), mean(|sums| sums.secants));
        let losses = MixtureLosses::of(members, &lesson, examiners);
        if report.note(done, losses.nll + weight * losses.secants, losses.squares) {
            let pairs = members.iter().zip(&mut *trainees);
            pairs.for_each(|(member, trainee)| copy(member, &mut trainee.best));
        }
    }
    if report.best_step > 0 {
        members.iter_mut().zip(&*trainees).for_each(|(to, trainee)| copy(&trainee.best, to));
    }
    *trained = true;
    report
}

fn copy<T: Real>(from: &NormalisedMember<T>, to: &mut NormalisedMember<T>) {
    to.log_sigma.copy_from_slice(&from.log_sigma);
    to.network.update(|parameters, _| parameters.copy_from_slice(from.network.parameters()));
}

impl<T: Real> Trainee<T> {
    /// Begins a training: fresh moments, and a stream of rows drawn from `rng`.
    fn begin(&mut self, rng: &mut Rng) {
        self.rng = Rng::from_word(rng.next_u64());
        self.adam.restart();
        self.sigma_adam.restart();
    }

    /// Trains the member for `steps` steps.
    fn train(
        &mut self,
        m: usize,
        member: &mut NormalisedMember<T>,
        lesson: &Lesson<'_, T>,
        steps: usize,
    ) {
        self.recent = Sums::default();
        for _ in 0..steps {
            if lesson.stop.is_raised() {
                return;
            }
            self.draw_rows(lesson.split);
            let sums = self.differentiate(m, member, lesson, |_, _| {});
            self.update(member, lesson.config);
            self.recent.nll += sums.nll;
            self.recent.secants += sums.secants;
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
        let directions = lesson.directions();
        let rows_each = self.tape.rows() / (1 + directions);
        for part in rows.chunks(rows_each) {
            self.draw_ends(part, lesson);
            seen(part, &self.ends[..part.len() * directions]);
            self.evaluate(m, member, lesson, (part, counts), &mut sums);
        }
        self.rows = rows;
        sums
    }

    /// A step of the optimiser down the gradients.
    fn update(&mut self, member: &mut NormalisedMember<T>, config: &BudgetConfig) {
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

    /// Forward and back over some rows of a minibatch of member number `m` that has `batch` of them, `with_secants` among them: adds their
    /// share to the sums of losses and to the gradients.
    fn evaluate(
        &mut self,
        m: usize,
        member: &NormalisedMember<T>,
        lesson: &Lesson<'_, T>,
        (rows, (batch, with_secants)): (&[u32], (usize, usize)),
        sums: &mut Sums,
    ) {
        let Self { tape, ends, label, inverse_variance, gradient, sigma_gradient, .. } = self;
        let directions = lesson.directions();
        let ends = &ends[..rows.len() * directions];
        let all = lesson.load(rows, ends, tape);
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
            let weight = lesson.draws.weight(lesson.replay.sequence_of(row as usize), m);
            let scale = T::from_f64(weight * share);
            let mut nll = constant;
            let (output, adjoint) = (tape.output.row(i), tape.output_adjoint.row_mut(i));
            for d in 0..labels {
                let error = output[d] - label[d];
                let weighted = error * inverse_variance[d];
                nll += half * error * weighted;
                adjoint[d] = scale * weighted;
                sigma_gradient[d] += scale * (T::ONE - error * weighted);
            }
            sums.nll += weight * share * nll.to_f64();
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
        member.network.backward(tape, 0..all, Some(gradient), false);
    }
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
