//! An ensemble of probabilistic networks: (s, a) → mean and log-variance of (r, Δs), raw units (docs/algorithm.md, "The models").

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::grouping::Grouping;
use super::likelihood::LogVarianceBounds;
use super::termination::TerminationSource;
use crate::config::{ConfigError, require};
use crate::data::Standardiser;
use crate::nn::{Activation, Adam, Keep, Matrix, Mlp, Real, Shape, Tape};
use crate::rng::Rng;
use crate::run::{Entries, SnapshotError};

/// A learned ensemble: its networks and their training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelConfig {
    /// Members M (7).
    #[schemars(range(min = 1, max = 1000))]
    pub members: usize,
    /// Members kept for predictions, those with the lowest holdout error (5).
    #[schemars(range(min = 1, max = 1000))]
    pub elites: usize,
    /// Units of each hidden layer (200).
    #[schemars(range(min = 1, max = 16_384))]
    pub hidden: usize,
    /// Hidden layers (4).
    #[schemars(range(min = 1, max = 64))]
    pub layers: usize,
    /// Adam's step size (1e-3).
    #[schemars(extend("exclusiveMinimum" = 0.0), range(max = 1.0))]
    pub learning_rate: f64,
    /// Weight penalty of each layer, `layers + 1` numbers (2.5e-5, 5e-5, 7.5e-5, 7.5e-5, 1e-4).
    #[schemars(inner(range(min = 0.0, max = 1e6)))]
    pub weight_decay: Vec<f64>,
    /// Lower soft bound of the log-variance (−10).
    #[schemars(range(min = -80.0, max = 80.0))]
    pub min_log_variance: f64,
    /// Upper soft bound of the log-variance (0.5).
    #[schemars(range(min = -80.0, max = 80.0))]
    pub max_log_variance: f64,
    /// Train the bounds, one pair for each output, with 0.01·(Σ max − Σ min) in the loss (MBPO).
    #[serde(default)]
    pub train_bounds: bool,
    /// Share of the transitions held out at each training (0.2).
    #[schemars(extend("exclusiveMinimum" = 0.0), range(max = 0.9))]
    pub holdout_fraction: f64,
    /// Most transitions held out (MBPO: 5000; DDPPO has no such limit).
    #[serde(default = "no_limit")]
    #[schemars(range(min = 1, max = 100_000_000))]
    pub max_holdout: usize,
    /// Let each member train on rows drawn with replacement, once for each training, from the split (MBPO), instead of on
    /// the split itself.
    #[serde(default)]
    pub bootstrap: bool,
    /// Epochs in a row without an improved member that end a training (6).
    #[schemars(range(min = 1, max = 100_000))]
    pub patience_epochs: usize,
    /// Relative fall of the holdout error that counts as an improvement (0.01).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub improvement: f64,
    /// Give each member back the weights of its last improvement when a training ends (MBPO).
    #[serde(default)]
    pub restore_best: bool,
    /// What ends imagined episodes (given).
    #[serde(default)]
    pub termination: TerminationSource,
}

fn no_limit() -> usize {
    1_000_000
}

impl ModelConfig {
    /// Checks the values against each other.
    ///
    /// # Errors
    /// On the first that is impossible.
    pub fn check(&self) -> Result<(), ConfigError> {
        let Self { members, elites, layers, weight_decay, .. } = self;
        let (low, high) = (self.min_log_variance, self.max_log_variance);
        let expected = format!("at most `model.members` ({members})");
        require(elites <= members, "model.elites", elites, expected)?;
        let expected = format!(
            "a list of {} numbers: one for each of the {layers} hidden layers and the output",
            layers + 1
        );
        let given = format!("a list of {}", weight_decay.len());
        require(weight_decay.len() == layers + 1, "model.weight_decay", given, expected)?;
        let expected = format!("below `model.max_log_variance` ({high})");
        require(low < high, "model.min_log_variance", low, expected)
    }
}

/// One network of the ensemble.
#[derive(Clone, Debug)]
pub struct Member<T> {
    /// Input (s, a) standardised; output the mean, then the raw log-variance, of (r, Δs).
    pub network: Mlp<T>,
    /// Moments of the network's parameters.
    pub adam: Adam<T>,
}

/// A learned model of the environment.
#[derive(Clone, Debug)]
pub struct DynamicsModel<T> {
    /// All networks.
    pub members: Vec<Member<T>>,
    /// Indices of the members in use, lowest holdout error first. Empty before the first training.
    pub elites: Vec<u32>,
    /// Of the last training's split.
    pub standardiser: Standardiser<T>,
    /// Bounds of the predicted log-variance of (r, Δs).
    pub bounds: LogVarianceBounds<T>,
    /// Moments of the bounds, `[2·label_dim]`, where they are trained.
    pub bounds_adam: Option<Adam<f64>>,
    observation_dim: usize,
    action_dim: usize,
}

/// Buffers to run up to `rows` rows through the ensemble, each through one member.
#[derive(Clone, Debug)]
pub struct StepTape<T> {
    tape: Tape<T>,
    grouping: Grouping,
}

impl<T: Real> StepTape<T> {
    /// Buffers for one model's minibatches.
    pub fn new(model: &DynamicsModel<T>, rows: usize, keep: Keep) -> Self {
        Self {
            tape: Tape::new(model.shape(), rows, keep),
            grouping: Grouping::new(rows, model.members.len()),
        }
    }

    /// Buffers for minibatches of which only the mean head is wanted: [`StepTape::output`] ends with it.
    pub fn of_means(model: &DynamicsModel<T>, rows: usize, keep: Keep) -> Self {
        let tape = Tape::of_first_outputs(model.shape(), model.label_dim(), rows, keep);
        Self { tape, grouping: Grouping::new(rows, model.members.len()) }
    }

    /// Mean and raw log-variance of (r, Δs) for minibatch row `i`, `2·(1 + observation_dim)`.
    #[inline]
    pub fn output(&self, i: usize) -> &[T] {
        self.tape.output.row(self.grouping.place(i))
    }

    /// Row `i`'s output, and where the derivative of a loss by it is to be written.
    #[inline]
    pub fn output_and_adjoint(&mut self, i: usize) -> (&[T], &mut [T]) {
        let place = self.grouping.place(i);
        (self.tape.output.row(place), self.tape.output_adjoint.row_mut(place))
    }

    /// Derivative by row `i`'s *standardised* input, after [`DynamicsModel::backward_to_input`].
    #[inline]
    pub fn input_adjoint(&self, i: usize) -> &[T] {
        self.tape.input_adjoint.row(self.grouping.place(i))
    }
}

impl<T: Real> DynamicsModel<T> {
    /// Freshly drawn networks.
    pub fn new(
        observation_dim: usize,
        action_dim: usize,
        config: &ModelConfig,
        rng: &mut Rng,
    ) -> Self {
        let mut sizes = vec![observation_dim + action_dim];
        sizes.extend(std::iter::repeat_n(config.hidden, config.layers));
        sizes.push(2 * (1 + observation_dim));
        let shape = Shape::new(&sizes, Activation::Silu);
        let members = (0..config.members)
            .map(|_| Member {
                network: Mlp::truncated_normal(shape.clone(), rng),
                adam: Adam::new(shape.parameter_len(), config.learning_rate),
            })
            .collect();
        let labels = 1 + observation_dim;
        Self {
            members,
            elites: Vec::new(),
            standardiser: Standardiser::identity(observation_dim + action_dim),
            bounds: LogVarianceBounds::new(
                config.min_log_variance,
                config.max_log_variance,
                labels,
            ),
            bounds_adam: config.train_bounds.then(|| Adam::new(2 * labels, config.learning_rate)),
            observation_dim,
            action_dim,
        }
    }

    /// The same sizes, bounds and elites around other networks; the bounds are not to be trained.
    pub fn with_members<U: Real>(
        &self,
        members: Vec<Member<U>>,
        standardiser: Standardiser<U>,
    ) -> DynamicsModel<U> {
        DynamicsModel {
            members,
            standardiser,
            elites: self.elites.clone(),
            bounds: LogVarianceBounds::from_numbers(self.bounds.numbers().to_vec()),
            bounds_adam: None,
            observation_dim: self.observation_dim,
            action_dim: self.action_dim,
        }
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

    /// Draws an elite for each row.
    pub fn draw_elites(&self, rng: &mut Rng, members: &mut [u32]) {
        for m in members {
            *m = self.elites[rng.below(self.elites.len())];
        }
    }

    /// The elite that stands `places` after each of `drawn` in the order of the elites, the first following the last: with places below the number
    /// of elites each row's are different ones, and each equally likely where the drawn one is.
    pub fn elites_after(&self, places: usize, drawn: &[u32], members: &mut [u32]) {
        for (to, m) in members.iter_mut().zip(drawn) {
            let at = self.elites.iter().position(|elite| elite == m).expect("an elite was drawn");
            *to = self.elites[(at + places) % self.elites.len()];
        }
    }

    /// Runs each of the first `members.len()` rows (s of `states`, a of `actions` `[rows, action_dim]`) through its member.
    pub fn forward(
        &self,
        step: &mut StepTape<T>,
        members: &[u32],
        states: &Matrix<T>,
        actions: &[T],
    ) {
        step.grouping.arrange(members);
        for (i, action) in actions.chunks_exact(self.action_dim).take(members.len()).enumerate() {
            let x = states.row(i).iter().chain(action).copied();
            self.standardiser.apply(x, step.tape.input.row_mut(step.grouping.place(i)));
        }
        for (m, rows) in step.grouping.ranges() {
            self.members[m].network.forward(&mut step.tape, rows);
        }
    }

    /// From the output adjoints of the rows of the last [`DynamicsModel::forward`] to their input adjoints.
    pub fn backward_to_input(&self, step: &mut StepTape<T>) {
        for (m, rows) in step.grouping.ranges() {
            self.members[m].network.backward(&mut step.tape, rows, None, true);
        }
    }

    /// A sampled step from a row's output: s' = s + μ_Δ + σ_Δ·ε into `next`, and the reward likewise. `noise` is ε of
    /// (r, Δs).
    pub fn sample(&self, output: &[T], noise: &[T], state: &[T], next: &mut [T]) -> T {
        let (mean, raw) = output.split_at(self.label_dim());
        self.bounds.sample(1, [state, &mean[1..], &raw[1..], &noise[1..]], next);
        mean[0] + self.bounds.deviation(0, raw[0]) * noise[0]
    }
}

impl DynamicsModel<f32> {
    /// Saves or restores everything that is learned, under `name`.
    ///
    /// # Errors
    /// When an entry is missing or of another size, or names members that there are not.
    pub fn visit(&mut self, name: &str, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        let Self {
            members,
            elites,
            standardiser,
            bounds,
            bounds_adam,
            observation_dim: _,
            action_dim: _,
        } = self;
        for (m, Member { network, adam }) in members.iter_mut().enumerate() {
            let name = format!("{name}/{m}");
            network.visit(&name, entries)?;
            adam.visit(&name, network.shape(), entries)?;
        }
        if let Some(Adam { first, second, updates, .. }) = bounds_adam {
            let (size, mut numbers) = ([first.len()], bounds.numbers().to_vec());
            entries.array(&format!("{name}/bounds"), &size, &mut numbers)?;
            *bounds = LogVarianceBounds::from_numbers(numbers);
            entries.array(&format!("{name}/bounds.first_moment"), &size, first)?;
            entries.array(&format!("{name}/bounds.second_moment"), &size, second)?;
            entries.value(&format!("{name}/bounds/updates"), updates)?;
        }
        standardiser.visit(name, entries)?;
        let key = format!("{name}/elites");
        entries.vector(&key, &[], elites)?;
        let distinct: BTreeSet<u32> = elites.iter().copied().collect();
        if distinct.len() != elites.len() || distinct.iter().any(|&e| e as usize >= members.len()) {
            return Err(SnapshotError::invalid(&key, "indices of members, none of them twice"));
        }
        Ok(())
    }
}
