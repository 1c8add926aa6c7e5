//! Training an ensemble of standardised numbers by a fixed number of minibatches, without a holdout (docs/algorithm.md, "MAGE").

use rayon::prelude::*;

use super::dynamics::Member;
use super::standardised::{StandardisedModel, StandardisedModelConfig};
use crate::data::{Replay, Standardiser};
use crate::nn::{Keep, Real, StopFlag, Tape};
use crate::rng::Rng;

/// What a training came to, on average over its members and minibatches.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FixedFitReport {
    /// Mean over rows and outputs of (μ − y)²/σ² + ln σ², standardised.
    pub loss: f64,
    /// Mean over rows and outputs of (μ − y)², standardised.
    pub error: f64,
}

/// One member's training: its order of the rows, and buffers.
#[derive(Debug)]
struct Walk<T> {
    rows: Vec<u32>,
    rng: Rng,
    tape: Tape<T>,
    label: Vec<T>,
    gradient: Vec<T>,
    report: FixedFitReport,
}

/// Buffers of a training, which grow with the number of rows trained on.
#[derive(Debug)]
pub struct FixedFitWorkspace<T> {
    walks: Vec<Walk<T>>,
    /// A training ends when it is raised; what it came to is of no use then.
    pub stop: StopFlag,
}

impl<T: Real> FixedFitWorkspace<T> {
    /// Buffers for minibatches of `batch` rows.
    pub fn new(model: &StandardisedModel<T>, batch: usize) -> Self {
        let walk = |_| Walk {
            rows: Vec::new(),
            rng: Rng::from_word(0),
            tape: Tape::new(model.shape(), batch, Keep::Values),
            label: vec![T::ZERO; model.label_dim()],
            gradient: vec![T::ZERO; model.shape().parameter_len()],
            report: FixedFitReport::default(),
        };
        Self { walks: model.members.iter().map(walk).collect(), stop: StopFlag::default() }
    }
}

/// Trains every member on `config.batches` minibatches of all transitions of `replay`, in an order of its own, a new one each time it has
/// gone through. What does not fill a minibatch at the end of an order is left out, unless there is no other. Weights and moments carry
/// over from the training before. Threads share the members.
pub fn fixed_fit<T: Real>(
    model: &mut StandardisedModel<T>,
    workspace: &mut FixedFitWorkspace<T>,
    replay: &Replay,
    config: &StandardisedModelConfig,
    rng: &mut Rng,
) -> FixedFitReport {
    let FixedFitWorkspace { walks, stop } = workspace;
    for walk in &mut *walks {
        walk.rng = Rng::from_word(rng.next_u64());
    }
    let StandardisedModel { members, input, label, head } = model;
    let count = members.len();
    let (standardisers, head) = ((&*input, &*label), *head);
    members.par_iter_mut().zip(&mut *walks).for_each(|(member, walk)| {
        walk.rows.clear();
        walk.rows.extend(0..replay.len() as u32);
        walk.report = FixedFitReport::default();
        let batch = config.batch_size.min(replay.len());
        let mut first = 0;
        for n in 0..config.batches {
            if stop.is_raised() {
                return;
            }
            if n == 0 || first + batch > walk.rows.len() {
                walk.rng.shuffle(&mut walk.rows);
                first = 0;
            }
            walk.minibatch(member, standardisers, head, replay, first..first + batch, count);
            let (adam, gradient) = (&mut member.adam, &walk.gradient);
            member.network.update(|p, _| adam.update_clipped(p, gradient, config.gradient_clip));
            first += batch;
        }
    });
    let trainings = (count * config.batches) as f64;
    let mean = |of: fn(&FixedFitReport) -> f64| {
        walks.iter().map(|walk| of(&walk.report)).sum::<f64>() / trainings
    };
    FixedFitReport { loss: mean(|r| r.loss), error: mean(|r| r.error) }
}

impl<T: Real> Walk<T> {
    /// The gradient of a minibatch's share of the loss, which is a mean over `members` members, too.
    fn minibatch(
        &mut self,
        member: &Member<T>,
        (input, standardiser): (&Standardiser<T>, &Standardiser<T>),
        head: super::sigmoid_head::SigmoidHead<T>,
        replay: &Replay,
        of: std::ops::Range<usize>,
        members: usize,
    ) {
        let Self { rows, tape, label, gradient, report, .. } = self;
        let (rows, dim) = (&rows[of], label.len());
        for (i, &row) in rows.iter().enumerate() {
            let t = replay.get(row as usize);
            let x = t.observation.iter().chain(t.action).map(|&x| T::from_f32(x));
            input.apply(x, tape.input.row_mut(i));
        }
        member.network.forward(tape, 0..rows.len());
        let share = 1.0 / (rows.len() * dim) as f64;
        let scale = T::from_f64(share / members as f64);
        for (i, &row) in rows.iter().enumerate() {
            let t = replay.get(row as usize);
            standardiser.apply((0..dim).map(|d| t.label(d)), label);
            let output = tape.output.row(i);
            report.loss +=
                share * head.loss_row(output, label, scale, tape.output_adjoint.row_mut(i));
            let squares = output.iter().zip(&*label).map(|(&mean, &y)| (mean - y) * (mean - y));
            report.error += share * squares.sum::<T>().to_f64();
        }
        gradient.fill(T::ZERO);
        member.network.backward(tape, 0..rows.len(), Some(gradient), false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{RunningMoments, Transition};

    fn config(batch_size: usize, batches: usize) -> StandardisedModelConfig {
        StandardisedModelConfig {
            members: 3,
            hidden: 16,
            layers: 2,
            learning_rate: 3e-3,
            gradient_clip: 5.0,
            min_log_variance: -5.0,
            max_log_variance: -1.0,
            batch_size,
            batches,
        }
    }

    /// Δs = (a, −s₀)/10, r = 100 + s₁, states far from 0 and of unequal size.
    fn replay(rows: usize, rng: &mut Rng) -> (Replay, RunningMoments) {
        let mut replay = Replay::new(2, 1, rows);
        let mut moments = RunningMoments::new(6);
        for _ in 0..rows {
            let mut x = [0.0_f32; 3];
            rng.fill_normal(&mut x);
            let (s, a) = ([50.0 + x[0], 0.01 * x[1]], 3.0 * x[2]);
            let next = [s[0] + 0.1 * a, s[1] - 0.1 * x[0]];
            let t = Transition {
                observation: &s,
                action: &[a],
                reward: 100.0 + x[1],
                next_observation: &next,
                terminated: false,
            };
            moments.add((0..3).map(|d| t.input(d)).chain((0..3).map(|d| t.label(d))));
            replay.push(t);
        }
        (replay, moments)
    }

    #[test]
    fn a_linear_world_is_learned_in_raw_units_whatever_its_scales() {
        let mut rng = Rng::new(0, "fixed fit");
        let (replay, moments) = replay(600, &mut rng);
        let config = config(100, 400);
        let mut model = StandardisedModel::<f32>::new((2, 1), &config, &mut rng);
        assert!(!model.is_trained());
        moments.write(0, 1e-6, &mut model.input);
        moments.write(3, 1e-6, &mut model.label);
        let mut workspace = FixedFitWorkspace::new(&model, config.batch_size);
        let first = fixed_fit(&mut model, &mut workspace, &replay, &config, &mut rng);
        let second = fixed_fit(&mut model, &mut workspace, &replay, &config, &mut rng);
        assert!(model.is_trained() && second.loss < first.loss, "{first:?}, {second:?}");
        assert!(second.error < 0.05, "{second:?}");
        let mut tapes = super::super::standardised::MemberTapes::new(&model, 1);
        let (state, action) = ([50.5, 0.01], [2.0]);
        for m in 0..3 {
            tapes.members[0] = m;
            model.forward(&mut tapes, |_| (&state, &action));
            let mut next = [0.0; 2];
            let reward = model.sample(tapes.output(0), &[0.0; 2], &state, &mut next);
            let off = [reward - 101.0, next[0] - 50.7, next[1] + 0.04];
            assert!(off[0].abs() < 0.3 && off[1].abs() < 0.1 && off[2].abs() < 0.03, "{off:?}");
        }
    }

    #[test]
    fn what_does_not_fill_a_minibatch_is_left_out_unless_it_is_all() {
        let mut rng = Rng::new(1, "fixed fit");
        for (rows, batch, expected) in [(25, 100, 25), (250, 100, 100)] {
            let (replay, _) = replay(rows, &mut rng);
            let config = config(batch, 5);
            let mut model = StandardisedModel::<f32>::new((2, 1), &config, &mut rng);
            let mut workspace = FixedFitWorkspace::new(&model, batch);
            fixed_fit(&mut model, &mut workspace, &replay, &config, &mut rng);
            assert_eq!(model.members[0].adam.updates, 5);
            for walk in &workspace.walks {
                let mut sorted = walk.rows.clone();
                sorted.sort_unstable();
                assert!(sorted.iter().copied().eq(0..rows as u32));
                // Rows of the tape behind the minibatch's have never been written.
                let loaded = |i: &usize| walk.tape.input.row(*i)[0] != 0.0;
                assert_eq!((0..batch).filter(loaded).count(), expected);
            }
            assert_ne!(workspace.walks[0].rows, workspace.walks[1].rows);
        }
    }
}
