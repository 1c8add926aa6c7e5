//! How good an ensemble is on rows that it was not trained on, as one predictor: a mixture of its members, which is what paths see whose steps
//! each draw a member. Its variance is the members' own and how far they differ, so a member that is too sure of itself costs less here
//! than on its own, as long as the others say otherwise.

use rayon::prelude::*;

use super::lesson::Lesson;
use super::normalised::NormalisedMember;
use crate::nn::{Keep, Real, Shape, Tape};

/// Losses of an ensemble on some rows, each a share of the mean over all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct MixtureLosses {
    /// NLL of a Gaussian of the mixture's mean and variance, without its constant.
    pub nll: f64,
    /// R̃ of the mixture's mean.
    pub secants: f64,
    /// Mean squared error of that mean.
    pub squares: f64,
}

impl MixtureLosses {
    /// Of the ensemble of these members on all held-out rows.
    pub fn of<T: Real>(
        members: &[NormalisedMember<T>],
        lesson: &Lesson<'_, T>,
        examiners: &mut [Examiner<T>],
    ) -> Self {
        let count = examiners.len();
        let examiners = examiners.par_iter_mut().enumerate();
        let parts: Vec<Self> =
            examiners.map(|(own, e)| e.look(members, lesson, (own, count))).collect();
        parts.into_iter().fold(Self::default(), |a, b| Self {
            nll: a.nll + b.nll,
            secants: a.secants + b.secants,
            squares: a.squares + b.squares,
        })
    }
}

/// Buffers of one thread's part of a look.
#[derive(Clone, Debug)]
pub(super) struct Examiner<T> {
    tape: Tape<T>,
    /// Far ends of the rows' secants.
    ends: Vec<u32>,
    label: Vec<T>,
    /// σ² of each label, mean over the members.
    noise: Vec<f64>,
    /// What the first member says, `[rows, labels]`.
    first: Vec<T>,
    /// Σ of how much more the others say.
    more: Vec<T>,
    /// Σ of its squares.
    squares: Vec<T>,
}

impl<T: Real> Examiner<T> {
    /// For pieces of up to `rows` rows with so many secants each, through networks of this shape.
    pub fn new(shape: &Shape, rows: usize, directions: usize) -> Self {
        let (all, labels) = (rows * (1 + directions), shape.outputs());
        let zeros = || vec![T::ZERO; all * labels];
        Self {
            tape: Tape::new(shape, all, Keep::Nothing),
            ends: vec![0; rows * directions],
            label: vec![T::ZERO; labels],
            noise: vec![0.0; labels],
            first: zeros(),
            more: zeros(),
            squares: zeros(),
        }
    }

    /// Losses on every `count`-th piece of the held-out rows from piece number `own` on. Each row has the same secants at every look.
    fn look(
        &mut self,
        members: &[NormalisedMember<T>],
        lesson: &Lesson<'_, T>,
        (own, count): (usize, usize),
    ) -> MixtureLosses {
        let directions = lesson.directions();
        let holdout = &lesson.split.holdout;
        let counts = lesson.counts(holdout);
        let pieces = holdout.chunks(self.tape.rows() / (1 + directions));
        let mut losses = MixtureLosses::default();
        for rows in pieces.skip(own).step_by(count) {
            if let Some((term, _)) = lesson.units {
                let n = term.neighbours.count();
                for (ends, &row) in self.ends.chunks_exact_mut(directions).zip(rows) {
                    for (k, end) in ends.iter_mut().enumerate() {
                        *end = term.end(row, (row as usize + k) % n);
                    }
                }
            }
            let ends = &self.ends[..rows.len() * directions];
            let loaded = lesson.load(rows, ends, &mut self.tape);
            self.mix(members, loaded);
            self.add_losses(members, lesson, (rows, counts), &mut losses);
        }
        losses
    }

    /// Runs `count` rows of the tape through all members; leaves the mixture's mean as the tape's output.
    fn mix(&mut self, members: &[NormalisedMember<T>], count: usize) {
        let Self { tape, first, more, squares, .. } = self;
        let labels = tape.output.row(0).len();
        let all = count * labels;
        more[..all].fill(T::ZERO);
        squares[..all].fill(T::ZERO);
        for (m, member) in members.iter().enumerate() {
            member.network.forward(tape, 0..count);
            for i in 0..count {
                let at = i * labels..(i + 1) * labels;
                let output = tape.output.row(i);
                if m == 0 {
                    first[at].copy_from_slice(output);
                    continue;
                }
                let sums = more[at.clone()].iter_mut().zip(&mut squares[at.clone()]);
                for ((sum, square), (&x, &of_first)) in sums.zip(output.iter().zip(&first[at])) {
                    let difference = x - of_first;
                    *sum += difference;
                    *square += difference * difference;
                }
            }
        }
        let each = T::from_f64(1.0 / members.len() as f64);
        for i in 0..count {
            let at = i * labels..(i + 1) * labels;
            let sums = more[at.clone()].iter_mut().zip(&mut squares[at.clone()]);
            let means = tape.output.row_mut(i).iter_mut().zip(&first[at]);
            for ((sum, square), (mean, &of_first)) in sums.zip(means) {
                let shift = *sum * each;
                *mean = of_first + shift;
                // What is left of the squares is the variance over the members.
                *square = (*square * each - shift * shift).max(T::ZERO);
            }
        }
    }

    fn add_losses(
        &mut self,
        members: &[NormalisedMember<T>],
        lesson: &Lesson<'_, T>,
        (rows, (all, with_secants)): (&[u32], (usize, usize)),
        losses: &mut MixtureLosses,
    ) {
        let Self { tape, ends, label, noise, squares: apart, .. } = self;
        let labels = label.len();
        let share = 1.0 / (all * labels) as f64;
        let of_member = |d: usize| move |m: &NormalisedMember<T>| m.log_sigma[d].to_f64();
        for (d, noise) in noise.iter_mut().enumerate() {
            let squares = members.iter().map(of_member(d)).map(|log_sigma| (2.0 * log_sigma).exp());
            *noise = squares.sum::<f64>() / members.len() as f64;
        }
        for (i, &row) in rows.iter().enumerate() {
            let t = lesson.replay.get(row as usize);
            lesson.labels.apply((0..labels).map(|d| t.label(d)), label);
            let output = tape.output.row(i);
            for d in 0..labels {
                let square = (output[d] - label[d]).to_f64().powi(2);
                let variance = noise[d] + apart[i * labels + d].to_f64();
                losses.nll += share * 0.5 * (square / variance + variance.ln());
                losses.squares += share * square;
            }
        }
        let Some((term, units)) = lesson.units else { return };
        let each = share * (all as f64 / with_secants.max(1) as f64) / term.directions as f64;
        for (k, &end) in ends[..rows.len() * term.directions].iter().enumerate() {
            let own = k / term.directions;
            units.difference(lesson.replay, (rows[own], end), label);
            let square = units.secant(tape, (own, rows.len() + k), label);
            losses.secants += each * square.to_f64();
        }
    }
}
