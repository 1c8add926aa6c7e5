//! An ensemble whose members see standardised (s, a) and predict the mean of standardised (r, Δs); the noise about it has one learned deviation an
//! output and member, whatever the input is.

use super::budget_config::BudgetConfig;
use super::grouping::Grouping;
use crate::data::{Replay, Standardiser, Transition, moments};
use crate::nn::{Activation, InitialWeights, Keep, Mlp, Real, Shape, Tape};
use crate::rng::Rng;
use crate::run::{Entries, SnapshotError};

/// One network of the ensemble.
#[derive(Clone, Debug)]
pub struct NormalisedMember<T> {
    /// Input (s, a) standardised, output the mean of (r, Δs) standardised.
    pub network: Mlp<T>,
    /// log σ of each output, standardised, `[label_dim]`.
    pub log_sigma: Vec<T>,
}

/// A learned model in standardised coordinates.
#[derive(Clone, Debug)]
pub struct NormalisedModel<T> {
    /// All networks; every one is used.
    pub members: Vec<NormalisedMember<T>>,
    /// Of (s, a), over all transitions at the last training.
    pub inputs: Standardiser<T>,
    /// Of (r, Δs), over the same.
    pub labels: Standardiser<T>,
    /// Whether it has been trained at least once.
    pub trained: bool,
    observation_dim: usize,
    action_dim: usize,
}

/// Buffers to run up to `rows` rows through the ensemble, each through one member.
#[derive(Clone, Debug)]
pub struct NormalisedTape<T> {
    tape: Tape<T>,
    grouping: Grouping,
}

impl<T: Real> NormalisedTape<T> {
    /// Buffers.
    pub fn new(model: &NormalisedModel<T>, rows: usize, keep: Keep) -> Self {
        Self {
            tape: Tape::new(model.shape(), rows, keep),
            grouping: Grouping::new(rows, model.members.len()),
        }
    }

    /// Row `i`'s mean of standardised (r, Δs), `[label_dim]`.
    #[inline]
    pub fn mean(&self, i: usize) -> &[T] {
        self.tape.output.row(self.grouping.place(i))
    }

    /// Where the derivative of a loss by row `i`'s mean is to be written.
    #[inline]
    pub fn adjoint_mut(&mut self, i: usize) -> &mut [T] {
        self.tape.output_adjoint.row_mut(self.grouping.place(i))
    }

    /// Derivative by row `i`'s standardised input, after [`NormalisedModel::backward_to_input`].
    #[inline]
    pub fn input_adjoint(&self, i: usize) -> &[T] {
        self.tape.input_adjoint.row(self.grouping.place(i))
    }
}

impl<T: Real> NormalisedModel<T> {
    /// `members` freshly drawn networks of `layers` hidden layers of `hidden` units; σ = 1.
    pub fn new(
        (observation_dim, action_dim): (usize, usize),
        members: usize,
        (hidden, layers): (usize, usize),
        rng: &mut Rng,
    ) -> Self {
        let draw = |shape| InitialWeights::TruncatedNormal.draw(shape, rng);
        Self::drawn((observation_dim, action_dim), members, (hidden, layers), draw)
    }

    fn drawn(
        (observation_dim, action_dim): (usize, usize),
        members: usize,
        (hidden, layers): (usize, usize),
        mut draw: impl FnMut(Shape) -> Mlp<T>,
    ) -> Self {
        let mut sizes = vec![observation_dim + action_dim];
        sizes.extend(std::iter::repeat_n(hidden, layers));
        sizes.push(1 + observation_dim);
        let shape = Shape::new(&sizes, Activation::Silu);
        let member = |_| NormalisedMember {
            network: draw(shape.clone()),
            log_sigma: vec![T::ZERO; 1 + observation_dim],
        };
        Self {
            members: (0..members).map(member).collect(),
            inputs: Standardiser::identity(observation_dim + action_dim),
            labels: Standardiser::identity(1 + observation_dim),
            trained: false,
            observation_dim,
            action_dim,
        }
    }

    /// The same weights with layer normalisation behind each hidden layer. Its ε falls from layer to layer: 1, 0.1, 0.01, … (docs/decisions/106).
    pub fn with_layer_norm(mut self) -> Self {
        let epsilon = |layer: usize| 0.1_f64.powi(layer as i32).max(1e-5);
        let normalised = |member: NormalisedMember<T>| NormalisedMember {
            network: member.network.with_layer_norm(epsilon),
            ..member
        };
        self.members = self.members.into_iter().map(normalised).collect();
        self
    }

    /// Freshly drawn networks of these settings.
    pub fn of_config(dims: (usize, usize), config: &BudgetConfig, rng: &mut Rng) -> Self {
        let draw = |shape| config.initial_weights.draw(shape, rng);
        let model = Self::drawn(dims, config.members, (config.hidden, config.layers), draw);
        if config.layer_norm { model.with_layer_norm() } else { model }
    }

    /// The same sizes around other members, with standardisers of (s, a) and of (r, Δs).
    pub fn with_members<U>(
        &self,
        members: Vec<NormalisedMember<U>>,
        (inputs, labels): (Standardiser<U>, Standardiser<U>),
    ) -> NormalisedModel<U> {
        let &Self { trained, observation_dim, action_dim, .. } = self;
        NormalisedModel { members, inputs, labels, trained, observation_dim, action_dim }
    }

    /// Shape of every member.
    pub fn shape(&self) -> &Shape {
        self.members[0].network.shape()
    }

    /// |S|.
    pub fn observation_dim(&self) -> usize {
        self.observation_dim
    }

    /// |A|.
    pub fn action_dim(&self) -> usize {
        self.action_dim
    }

    /// Numbers predicted: r and Δs.
    pub fn label_dim(&self) -> usize {
        1 + self.observation_dim
    }

    /// Renews both standardisers.
    pub fn standardise(&mut self, replay: &Replay) {
        let rows: Vec<u32> = (0..replay.len() as u32).collect();
        self.inputs = Standardiser::fit(replay, &rows, self.observation_dim + self.action_dim);
        let all = (0..replay.len()).map(|row| replay.get(row));
        self.labels = Standardiser::of(&moments(all, self.label_dim(), Transition::label::<f64>));
    }

    /// Runs each of the first `members.len()` rows through its member: states `[rows, observation_dim]`, standardised, of `state`, actions
    /// `[rows, action_dim]`, raw.
    pub fn forward<'s>(
        &self,
        tape: &mut NormalisedTape<T>,
        members: &[u32],
        state: impl Fn(usize) -> &'s [T],
        actions: &[T],
    ) {
        let NormalisedTape { tape, grouping } = tape;
        grouping.arrange(members);
        let s = self.observation_dim;
        let scale = || self.inputs.mean[s..].iter().zip(&self.inputs.deviation[s..]);
        for (i, action) in actions.chunks_exact(self.action_dim).take(members.len()).enumerate() {
            let (to_s, to_a) = tape.input.row_mut(grouping.place(i)).split_at_mut(s);
            to_s.copy_from_slice(state(i));
            for ((to, &a), (&mean, &deviation)) in to_a.iter_mut().zip(action).zip(scale()) {
                *to = (a - mean) / deviation;
            }
        }
        for (m, rows) in grouping.ranges() {
            self.members[m].network.forward(tape, rows);
        }
    }

    /// From the adjoints of the rows of the last [`NormalisedModel::forward`] to their input adjoints.
    pub fn backward_to_input(&self, tape: &mut NormalisedTape<T>) {
        let NormalisedTape { tape, grouping } = tape;
        for (m, rows) in grouping.ranges() {
            self.members[m].network.backward(tape, rows, None, true);
        }
    }

    /// By how much a standardised state moves when output 1 + `d` moves by 1.
    #[inline]
    pub fn state_scale(&self, d: usize) -> T {
        self.labels.deviation[1 + d] / self.inputs.deviation[d]
    }

    /// A step of standardised states through `member`, whose mean is given: the next state into `next`, noise ε `[observation_dim]`; returns
    /// the mean reward.
    pub fn step(&self, member: u32, mean: &[T], noise: &[T], state: &[T], next: &mut [T]) -> T {
        let log_sigma = &self.members[member as usize].log_sigma;
        for (d, next) in next.iter_mut().enumerate() {
            let standardised = mean[1 + d] + log_sigma[1 + d].exp() * noise[d];
            let shift = self.labels.mean[1 + d] / self.inputs.deviation[d];
            *next = state[d] + (shift + self.state_scale(d) * standardised);
        }
        self.labels.mean[0] + self.labels.deviation[0] * mean[0]
    }

    /// A raw state of a standardised one, `[observation_dim]` both.
    pub fn raw_state(&self, state: &[T], raw: &mut [f64]) {
        let scale = self.inputs.mean.iter().zip(&self.inputs.deviation);
        for ((to, &x), (&mean, &deviation)) in raw.iter_mut().zip(state).zip(scale) {
            *to = (x * deviation + mean).to_f64();
        }
    }
}

impl NormalisedModel<f32> {
    /// Saves or restores everything that is learned, under `name`.
    ///
    /// # Errors
    /// When an entry is missing or of another size.
    pub fn visit(&mut self, name: &str, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        let Self { members, inputs, labels, trained, observation_dim: _, action_dim: _ } = self;
        for (m, NormalisedMember { network, log_sigma }) in members.iter_mut().enumerate() {
            network.visit(&format!("{name}/{m}"), entries)?;
            let size = [log_sigma.len()];
            entries.array(&format!("{name}/{m}/log_sigma"), &size, log_sigma)?;
        }
        inputs.visit(name, entries)?;
        labels.visit(&format!("{name}/labels"), entries)?;
        entries.value(&format!("{name}/trained"), trained)
    }
}
