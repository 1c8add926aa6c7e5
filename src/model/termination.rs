//! What ends imagined episodes: the task's own function of the state reached, or a Bernoulli head that has learned it from the real
//! transitions (docs/decisions/074-learned-termination.md).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::Standardiser;
use crate::env::Task;
use crate::nn::{Activation, Keep, Matrix, Mlp, Real, Shape, Tape};
use crate::rng::Rng;

/// Units of each hidden layer.
const HIDDEN: usize = 128;

/// Who says whether an imagined episode ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TerminationSource {
    /// The task's own function of the state reached.
    #[default]
    Given,
    /// A network that learns it from the real transitions.
    Learned,
}

/// A Bernoulli head: (s', s, a) standardised → the logit of an end in s'.
#[derive(Clone, Debug)]
pub struct TerminationHead<T> {
    /// Two hidden layers, ReLU.
    pub network: Mlp<T>,
    /// Of (s', s, a), of the last training's split.
    pub standardiser: Standardiser<T>,
}

/// What ends imagined episodes, fixed during an update.
#[derive(Clone, Copy)]
pub enum Ending<'a, T> {
    /// The task's function.
    Given(&'a dyn Task),
    /// A trained head; what is more probable than not, holds.
    Learned(&'a TerminationHead<T>),
}

/// Buffers to evaluate up to some number of imagined steps. Allocated once.
#[derive(Clone, Debug)]
pub struct EndingTape<T> {
    /// None where the task's function is asked.
    head: Option<Tape<T>>,
    wide: Vec<f64>,
    ended: Vec<bool>,
}

impl<T: Real> TerminationHead<T> {
    /// A freshly drawn network.
    pub fn new((observation_dim, action_dim): (usize, usize), rng: &mut Rng) -> Self {
        let inputs = 2 * observation_dim + action_dim;
        let shape = Shape::new(&[inputs, HIDDEN, HIDDEN, 1], Activation::Relu);
        Self { network: Mlp::xavier(shape, rng), standardiser: Standardiser::identity(inputs) }
    }

    /// Writes a standardised (s', s, a).
    pub(super) fn load(&self, [next, state, action]: [&[T]; 3], input: &mut [T]) {
        self.standardiser.apply(next.iter().chain(state).chain(action).copied(), input);
    }
}

impl<T: Real> EndingTape<T> {
    /// Buffers for up to `rows` steps.
    pub fn new(ending: Ending<'_, T>, observation_dim: usize, rows: usize) -> Self {
        let head = match ending {
            Ending::Given(_) => None,
            Ending::Learned(head) => Some(Tape::new(head.network.shape(), rows, Keep::Nothing)),
        };
        let wide = match ending {
            Ending::Given(_) => vec![0.0; rows * observation_dim],
            Ending::Learned(_) => Vec::new(),
        };
        Self { head, wide, ended: vec![false; rows] }
    }
}

impl<T: Real> Ending<'_, T> {
    /// Whether the episodes of the first `rows` steps end: from s in `states` by a in `actions`, `[rows, action_dim]`, to s' in
    /// `next_states`. A step whose numbers are not finite ends its episode.
    pub fn evaluate<'t>(
        self,
        tape: &'t mut EndingTape<T>,
        rows: usize,
        states: &Matrix<T>,
        actions: &[T],
        next_states: &Matrix<T>,
    ) -> &'t [bool] {
        let EndingTape { head: tape, wide, ended } = tape;
        match (self, tape) {
            (Self::Given(task), _) => {
                let s = next_states.columns();
                for (i, wide) in wide.chunks_exact_mut(s).enumerate().take(rows) {
                    wide.iter_mut().zip(next_states.row(i)).for_each(|(w, n)| *w = n.to_f64());
                }
                task.terminated_rows(&wide[..rows * s], &mut ended[..rows]);
            }
            (Self::Learned(head), Some(tape)) => {
                let a = head.standardiser.mean.len() - 2 * states.columns();
                for i in 0..rows {
                    let action = &actions[i * a..(i + 1) * a];
                    let step = [next_states.row(i), states.row(i), action];
                    head.load(step, tape.input.row_mut(i));
                }
                head.network.forward(tape, 0..rows);
                for (i, ended) in ended.iter_mut().enumerate().take(rows) {
                    let logit = tape.output.row(i)[0];
                    *ended = !logit.is_finite() || logit > T::ZERO;
                }
            }
            (Self::Learned(_), None) => {
                unreachable!("the buffers were made for the task's function")
            }
        }
        &ended[..rows]
    }
}
