//! An ensemble of probabilistic networks that work in standardised numbers on both sides: (s, a) → mean and log-variance of (r, Δs),
//! each network on rows of its own (docs/algorithm.md, "MAGE").

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dynamics::Member;
use super::sigmoid_head::SigmoidHead;
use crate::config::{ConfigError, require};
use crate::data::Standardiser;
use crate::nn::{Activation, Adam, Keep, Mlp, Real, Shape, Tape};
use crate::rng::Rng;
use crate::run::{Entries, SnapshotError};

/// An ensemble of standardised numbers, and its training by a fixed number of minibatches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StandardisedModelConfig {
    /// Members (8).
    #[schemars(range(min = 1, max = 1000))]
    pub members: usize,
    /// Units of each hidden layer (512).
    #[schemars(range(min = 1, max = 16_384))]
    pub hidden: usize,
    /// Hidden layers (4).
    #[schemars(range(min = 1, max = 64))]
    pub layers: usize,
    /// RAdam's step size (1e-4).
    #[schemars(extend("exclusiveMinimum" = 0.0), range(max = 1.0))]
    pub learning_rate: f64,
    /// Gradient entries are clipped to ± this (5).
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub gradient_clip: f64,
    /// Lower bound of the log-variance of standardised labels (−5).
    #[schemars(range(min = -80.0, max = 80.0))]
    pub min_log_variance: f64,
    /// Upper bound of the log-variance of standardised labels (−1).
    #[schemars(range(min = -80.0, max = 80.0))]
    pub max_log_variance: f64,
    /// Rows of a member's minibatch (256).
    #[schemars(range(min = 1, max = 1_000_000))]
    pub batch_size: usize,
    /// Minibatches of each training (120).
    #[schemars(range(min = 1, max = 1_000_000))]
    pub batches: usize,
}

impl StandardisedModelConfig {
    /// Checks the values against each other.
    ///
    /// # Errors
    /// On the first that is impossible.
    pub fn check(&self) -> Result<(), ConfigError> {
        let (low, high) = (self.min_log_variance, self.max_log_variance);
        let expected = format!("below `model.max_log_variance` ({high})");
        require(low < high, "model.min_log_variance", low, expected)
    }
}

/// The ensemble. All members are in use, whatever their errors.
#[derive(Clone, Debug)]
pub struct StandardisedModel<T> {
    /// Input (s, a) standardised; output the mean, then the raw log-variance, of (r, Δs) standardised.
    pub members: Vec<Member<T>>,
    /// Of (s, a), as of the last training.
    pub input: Standardiser<T>,
    /// Of (r, Δs), as of the last training.
    pub label: Standardiser<T>,
    /// How the log-variance is bounded.
    pub head: SigmoidHead<T>,
}

/// Buffers to run up to `rows` rows through the ensemble and back, each through one member. A member has a tape of its own, so that
/// each can be another thread's work; which rows of it are touched is known when the members are.
#[derive(Clone, Debug)]
pub struct MemberTapes<T> {
    /// Member of each row: filled by the caller.
    pub members: Vec<u32>,
    /// Row of each row within its member's tape.
    places: Vec<usize>,
    /// Rows of each member.
    counts: Vec<usize>,
    tapes: Vec<Tape<T>>,
}

impl<T: Real> MemberTapes<T> {
    /// Buffers for one model's minibatches.
    pub fn new(model: &StandardisedModel<T>, rows: usize) -> Self {
        let tape = |_| Tape::new(model.shape(), rows, Keep::Slopes);
        Self {
            members: vec![0; rows],
            places: vec![0; rows],
            counts: vec![0; model.members.len()],
            tapes: model.members.iter().map(tape).collect(),
        }
    }

    /// Mean and raw log-variance of row `i`'s standardised (r, Δs), `2·(1 + observation_dim)`.
    #[inline]
    pub fn output(&self, i: usize) -> &[T] {
        self.tapes[self.members[i] as usize].output.row(self.places[i])
    }

    /// Row `i`'s output, and where the derivative of a loss by it is to be written.
    #[inline]
    pub fn output_and_adjoint(&mut self, i: usize) -> (&[T], &mut [T]) {
        let tape = &mut self.tapes[self.members[i] as usize];
        (tape.output.row(self.places[i]), tape.output_adjoint.row_mut(self.places[i]))
    }

    /// Derivative by row `i`'s *standardised* input, after [`StandardisedModel::backward_to_input`].
    #[inline]
    pub fn input_adjoint(&self, i: usize) -> &[T] {
        self.tapes[self.members[i] as usize].input_adjoint.row(self.places[i])
    }
}

impl<T: Real> StandardisedModel<T> {
    /// Freshly drawn networks: Xavier-uniform, the last layer Xavier-normal, biases 0.
    pub fn new(
        (observation_dim, action_dim): (usize, usize),
        config: &StandardisedModelConfig,
        rng: &mut Rng,
    ) -> Self {
        let (inputs, labels) = (observation_dim + action_dim, 1 + observation_dim);
        let hidden = std::iter::repeat_n(config.hidden, config.layers);
        let sizes: Vec<usize> = [inputs].into_iter().chain(hidden).chain([2 * labels]).collect();
        let shape = Shape::new(&sizes, Activation::Silu);
        let last = shape.layers[config.layers].clone();
        let member = |_| {
            let network = Mlp::new(shape.clone(), |layer| {
                let fans = (layer.inputs + layer.outputs) as f64;
                if *layer == last {
                    return (2.0 / fans).sqrt() * rng.normal();
                }
                let bound = (6.0 / fans).sqrt();
                rng.uniform_in(-bound, bound)
            });
            Member {
                adam: Adam::rectified(network.shape().parameter_len(), config.learning_rate),
                network,
            }
        };
        Self {
            members: (0..config.members).map(member).collect(),
            input: Standardiser::identity(inputs),
            label: Standardiser::identity(labels),
            head: SigmoidHead::new(config.min_log_variance, config.max_log_variance),
        }
    }

    /// Shape of every member.
    pub fn shape(&self) -> &Shape {
        self.members[0].network.shape()
    }

    /// Numbers predicted: r and Δs.
    pub fn label_dim(&self) -> usize {
        self.label.mean.len()
    }

    /// Whether it has been trained at least once.
    pub fn is_trained(&self) -> bool {
        self.members[0].adam.updates > 0
    }

    /// Runs every row (s, a) = `row(i)` through its member. Threads share the members.
    pub fn forward<'r>(
        &self,
        tapes: &mut MemberTapes<T>,
        row: impl Fn(usize) -> (&'r [T], &'r [T]) + Sync,
    ) {
        let MemberTapes { members, places, counts, tapes } = tapes;
        counts.fill(0);
        for (place, &member) in places.iter_mut().zip(&*members) {
            *place = counts[member as usize];
            counts[member as usize] += 1;
        }
        let (members, places) = (&*members, &*places);
        let each = self.members.par_iter().zip(tapes.par_iter_mut()).zip(&*counts).enumerate();
        each.for_each(|(m, ((member, tape), &count))| {
            for (i, &place) in places.iter().enumerate() {
                if members[i] as usize == m {
                    let (state, action) = row(i);
                    let x = state.iter().chain(action).copied();
                    self.input.apply(x, tape.input.row_mut(place));
                }
            }
            member.network.forward(tape, 0..count);
        });
    }

    /// From the output adjoints of the rows of the last [`StandardisedModel::forward`] to their input adjoints.
    pub fn backward_to_input(&self, tapes: &mut MemberTapes<T>) {
        let MemberTapes { counts, tapes, .. } = tapes;
        let each = self.members.par_iter().zip(tapes.par_iter_mut()).zip(&*counts);
        each.for_each(|((member, tape), &count)| {
            member.network.backward(tape, 0..count, None, true);
        });
    }

    /// A sampled step from a row's output: s' = s + m_Δ + σ_Δ·(μ + σ·ε) into `next`, `noise` being ε `[observation_dim]`. Returns the
    /// reward's mean.
    pub fn sample(&self, output: &[T], noise: &[T], state: &[T], next: &mut [T]) -> T {
        let (mean, raw) = output.split_at(self.label_dim());
        let Standardiser { mean: center, deviation } = &self.label;
        for (d, next) in next.iter_mut().enumerate() {
            let standard = mean[1 + d] + self.head.deviation(raw[1 + d]) * noise[d];
            *next = state[d] + (center[1 + d] + deviation[1 + d] * standard);
        }
        center[0] + deviation[0] * mean[0]
    }

    /// The way back of [`StandardisedModel::sample`] for r + λᵀs': its derivative by the row's output, into `adjoint`.
    pub fn sample_adjoint(
        &self,
        output: &[T],
        noise: &[T],
        lambda: impl Iterator<Item = T>,
        adjoint: &mut [T],
    ) {
        let raw = &output[self.label_dim()..];
        let (by_mean, by_raw) = adjoint.split_at_mut(self.label_dim());
        by_mean[0] = self.label.deviation[0];
        by_raw[0] = T::ZERO;
        for (d, lambda) in lambda.enumerate() {
            by_mean[1 + d] = self.label.deviation[1 + d] * lambda;
            by_raw[1 + d] = by_mean[1 + d] * noise[d] * self.head.deviation_slope(raw[1 + d]);
        }
    }
}

impl StandardisedModel<f32> {
    /// Saves or restores everything that is learned, under `name`.
    ///
    /// # Errors
    /// When an entry is missing or of another size.
    pub fn visit(&mut self, name: &str, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        let Self { members, input, label, head: _ } = self;
        for (m, Member { network, adam }) in members.iter_mut().enumerate() {
            let name = format!("{name}/{m}");
            network.visit(&name, entries)?;
            adam.visit(&name, network.shape(), entries)?;
        }
        input.visit(name, entries)?;
        label.visit(&format!("{name}/label"), entries)
    }
}
