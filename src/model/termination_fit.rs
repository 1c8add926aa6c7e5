//! A termination head together with what its training needs: by cross-entropy on the real transitions, until the loss on held-out
//! ones stops falling. Its split, order and first weights come from streams of its own, so that the models' draws are the same with
//! it and without.

use super::bernoulli::cross_entropy;
use super::dynamics::ModelConfig;
use super::termination::TerminationHead;
use crate::data::{Replay, Standardiser, Transition};
use crate::nn::{Adam, Keep, LearnError, StopFlag, Tape};
use crate::rng::Rng;
use crate::run::{Entries, Record, SnapshotError};

/// Epochs go on only while the held-out loss falls by more than this: where no episode ever ends, it falls for ever.
const SMALLEST_IMPROVEMENT: f64 = 1e-5;

/// A head that is trained again and again on a growing replay.
pub struct LearnedTermination {
    /// The network.
    pub head: TerminationHead<f32>,
    adam: Adam<f32>,
    /// Splits and orders.
    stream: Rng,
    /// Made at the first training.
    workspace: Option<Workspace>,
}

/// Buffers of a training.
struct Workspace {
    tape: Tape<f32>,
    gradient: Vec<f32>,
    order: Vec<u32>,
    /// Parameters with the lowest held-out loss.
    best: Vec<f32>,
}

/// A head on held-out rows.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Holdout {
    /// Mean cross-entropy.
    loss: f64,
    /// Share of rows on which what is more probable is not what happened.
    error: f64,
    /// Share of rows that ended their episode.
    ends: f64,
}

impl LearnedTermination {
    /// A freshly drawn head.
    pub fn new(sizes: (usize, usize), config: &ModelConfig, seed: u64) -> Self {
        let head = TerminationHead::new(sizes, &mut Rng::new(seed, "termination weights"));
        let adam = Adam::new(head.network.parameters().len(), config.learning_rate);
        Self { head, adam, stream: Rng::new(seed, "termination model"), workspace: None }
    }

    /// Trains on all of `real`, in minibatches of `batch` rows, as the ensemble is (`config`): a holdout, epochs until it is no
    /// longer predicted better; the weights that predicted it best stay.
    ///
    /// # Errors
    /// When the loss is not finite, or `stop` was raised.
    pub fn fit(
        &mut self,
        real: &Replay,
        config: &ModelConfig,
        batch: usize,
        stop: &StopFlag,
        record: &mut Record,
    ) -> Result<(), LearnError> {
        let Self { head, adam, stream, workspace } = self;
        let shape = head.network.shape();
        let workspace = workspace.get_or_insert_with(|| Workspace {
            tape: Tape::new(shape, batch, Keep::Values),
            gradient: vec![0.0; shape.parameter_len()],
            order: Vec::new(),
            best: Vec::new(),
        });
        let Workspace { tape, gradient, order, best } = workspace;
        order.clear();
        order.extend(0..real.len() as u32);
        stream.shuffle(order);
        let held_out = (real.len() as f64 * config.holdout_fraction) as usize;
        let (holdout, training) = order.split_at_mut(held_out.clamp(1, config.max_holdout));
        head.standardiser = standardiser(real, training, shape.inputs());
        let (mut least, mut stale, mut epochs) = (evaluate(head, tape, real, holdout), 0, 0);
        best.clear();
        best.extend_from_slice(head.network.parameters());
        while stale < config.patience_epochs {
            stream.shuffle(training);
            for rows in training.chunks(batch) {
                stop.check()?;
                update(head, adam, tape, gradient, real, rows);
            }
            epochs += 1;
            let present = evaluate(head, tape, real, holdout);
            if !present.loss.is_finite() {
                return Err(LearnError::NonFinite("the termination model's loss"));
            }
            let wanted = (config.improvement * least.loss).max(SMALLEST_IMPROVEMENT);
            stale = if least.loss - present.loss > wanted { 0 } else { stale + 1 };
            if present.loss < least.loss {
                least = present;
                best.copy_from_slice(head.network.parameters());
            }
        }
        head.network.update(|parameters, _| parameters.copy_from_slice(best));
        record.put_count("termination_epochs", epochs);
        record.put("termination_holdout_loss", least.loss);
        record.put("termination_holdout_error", least.error);
        record.put("termination_holdout_ends", least.ends);
        Ok(())
    }

    /// Saves or restores the head and its stream.
    ///
    /// # Errors
    /// When an entry is missing or of another size.
    pub fn visit(&mut self, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        let Self { head, adam, stream, workspace: _ } = self;
        let TerminationHead { network, standardiser } = head;
        network.visit("termination_model", entries)?;
        adam.visit("termination_model", network.shape(), entries)?;
        standardiser.visit("termination_model", entries)?;
        entries.rng("streams/termination_model", stream)
    }
}

/// Mean and deviation of (s', s, a): those of s serve for s', too, so that where both are alike their difference shows.
fn standardiser(real: &Replay, rows: &[u32], inputs: usize) -> Standardiser<f32> {
    let observations = real.get(0).observation.len();
    let Standardiser { mean, deviation } = Standardiser::fit(real, rows, inputs - observations);
    let twice = |of: &[f32]| of[..observations].iter().chain(of).copied().collect();
    Standardiser { mean: twice(&mean), deviation: twice(&deviation) }
}

fn load(head: &TerminationHead<f32>, t: Transition<'_>, input: &mut [f32]) {
    head.load([t.next_observation, t.observation, t.action], input);
}

/// One Adam step on the mean cross-entropy of a minibatch.
fn update(
    head: &mut TerminationHead<f32>,
    adam: &mut Adam<f32>,
    tape: &mut Tape<f32>,
    gradient: &mut [f32],
    real: &Replay,
    rows: &[u32],
) {
    for (i, &row) in rows.iter().enumerate() {
        load(head, real.get(row as usize), tape.input.row_mut(i));
    }
    head.network.forward(tape, 0..rows.len());
    let share = 1.0 / rows.len() as f32;
    for (i, &row) in rows.iter().enumerate() {
        let (_, slope) = cross_entropy(tape.output.row(i)[0], real.get(row as usize).terminated);
        tape.output_adjoint.row_mut(i)[0] = share * slope;
    }
    gradient.fill(0.0);
    head.network.backward(tape, 0..rows.len(), Some(gradient), false);
    head.network.update(|parameters, _| adam.update_clipped(parameters, gradient, f64::INFINITY));
}

fn evaluate(
    head: &TerminationHead<f32>,
    tape: &mut Tape<f32>,
    real: &Replay,
    holdout: &[u32],
) -> Holdout {
    let mut sums = [0.0; 3];
    for rows in holdout.chunks(tape.rows()) {
        for (i, &row) in rows.iter().enumerate() {
            load(head, real.get(row as usize), tape.input.row_mut(i));
        }
        head.network.forward(tape, 0..rows.len());
        for (i, &row) in rows.iter().enumerate() {
            let (logit, ended) = (tape.output.row(i)[0], real.get(row as usize).terminated);
            let wrong = (logit > 0.0) != ended;
            let numbers = [f64::from(cross_entropy(logit, ended).0), wrong.into(), ended.into()];
            sums.iter_mut().zip(numbers).for_each(|(sum, x)| *sum += x);
        }
    }
    let [loss, error, ends] = sums.map(|sum| sum / holdout.len() as f64);
    Holdout { loss, error, ends }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::methods;
    use crate::model::{Ending, EndingTape};
    use crate::nn::Matrix;

    /// Steps of a walk whose episodes end beyond |x| = 1.5, though the head is not told so.
    fn walk(rows: usize) -> Replay {
        let (mut real, mut rng) = (Replay::new(2, 1, rows), Rng::new(3, "walk"));
        let mut x = 0.0_f32;
        for _ in 0..rows {
            let action = rng.uniform_in(-1.0, 1.0) as f32;
            let next = x + 0.3 * action + 0.1 * x;
            let terminated = next.abs() > 1.5;
            real.push(Transition {
                observation: &[x, 10.0 * x],
                action: &[action],
                reward: 0.0,
                next_observation: &[next, 10.0 * next],
                terminated,
            });
            x = if terminated { 0.0 } else { next };
        }
        real
    }

    #[test]
    fn a_head_learns_when_episodes_end_and_its_holdout_says_so() {
        let real = walk(4000);
        let config: ModelConfig =
            methods::preset("mbpo", "PointMass").unwrap().section("model").unwrap();
        let mut learned = LearnedTermination::new((2, 1), &config, 0);
        let mut record = Record::new("model", 0);
        learned.fit(&real, &config, 256, &StopFlag::default(), &mut record).unwrap();
        let told = |name: &str| record.get(name).unwrap();
        let (error, ends) = (told("termination_holdout_error"), told("termination_holdout_ends"));
        assert!((0.02..0.2).contains(&ends), "{ends} of the held-out rows end");
        assert!(error < 0.2 * ends, "{error} of the held-out rows misjudged, {ends} end");
        assert!(told("termination_holdout_loss") < 0.05);
        let ending = Ending::Learned(&learned.head);
        let mut tape = EndingTape::new(ending, 2, 3);
        let (mut states, mut next) = (Matrix::zeros(3, 2), Matrix::zeros(3, 2));
        for (i, (x, to)) in [(0.2, 0.3), (1.45, 1.8), (1.4, f32::NAN)].into_iter().enumerate() {
            states.row_mut(i).copy_from_slice(&[x, 10.0 * x]);
            next.row_mut(i).copy_from_slice(&[to, 10.0 * to]);
        }
        let ended = ending.evaluate(&mut tape, 3, &states, &[0.3, 0.9, 0.0], &next);
        assert_eq!(ended, [false, true, true]);
    }

    #[test]
    fn where_nothing_ends_the_training_does() {
        let mut real = Replay::new(2, 1, 500);
        let walked = walk(500);
        for row in 0..500 {
            real.push(Transition { terminated: false, ..walked.get(row) });
        }
        let config: ModelConfig =
            methods::preset("mbpo", "PointMass").unwrap().section("model").unwrap();
        let mut learned = LearnedTermination::new((2, 1), &config, 0);
        let mut record = Record::new("model", 0);
        learned.fit(&real, &config, 100, &StopFlag::default(), &mut record).unwrap();
        assert_eq!(record.get("termination_holdout_error"), Some(0.0));
        assert!(record.get("termination_holdout_loss").unwrap() < 0.01);
    }
}
