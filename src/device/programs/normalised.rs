//! Models in standardised coordinates, as `src/model/normalised.rs` has them.

use super::imagination::{ImaginedStep, healthy};
use super::network::StackShape;
use crate::device::graph::{Graph, Number, Value};

/// Sizes of such a model.
#[derive(Clone, Debug, PartialEq)]
pub struct NormalisedShape {
    /// The members, a network each.
    pub stack: StackShape,
    /// Healthy observations, raw: an imagined one outside of these, entry by entry and bounds included, ends its episode.
    pub healthy: Vec<(f32, f32)>,
}

/// What a model's standardised numbers are measured in.
#[derive(Clone, Copy, Debug)]
pub struct NormalisedUnits<'g> {
    /// Mean of (s, a), `[runs, 1, 1, inputs]`.
    pub input_mean: Value<'g>,
    /// Its deviation, likewise.
    pub input_deviation: Value<'g>,
    /// Mean of (r, Δs), `[runs, 1, 1, labels]`.
    pub label_mean: Value<'g>,
    /// Its deviation, likewise.
    pub label_deviation: Value<'g>,
}

impl NormalisedShape {
    /// |S|.
    pub fn observation_dim(&self) -> usize {
        self.healthy.len()
    }

    /// Numbers predicted: r and Δs.
    pub fn labels(&self) -> usize {
        1 + self.observation_dim()
    }

    /// Arguments for the units, in the order of the fields.
    pub fn units<'g>(&self, graph: &'g Graph) -> NormalisedUnits<'g> {
        let row = |size: usize| graph.argument(&[self.stack.runs, 1, 1, size], Number::Single);
        let (inputs, labels) = (self.stack.sizes[0], self.labels());
        NormalisedUnits {
            input_mean: row(inputs),
            input_deviation: row(inputs),
            label_mean: row(labels),
            label_deviation: row(labels),
        }
    }

    /// An argument for the members' log σ, `[runs, members, 1, labels]`.
    pub fn log_sigma<'g>(&self, graph: &'g Graph) -> Value<'g> {
        let shape = [self.stack.runs, self.stack.networks, 1, self.labels()];
        graph.argument(&shape, Number::Single)
    }

    /// The members' input for standardised states and raw actions, `[runs, 1, rows, inputs]`.
    pub fn input<'g>(
        &self,
        units: NormalisedUnits<'g>,
        states: Value<'g>,
        actions: Value<'g>,
    ) -> Value<'g> {
        let (s, inputs) = (self.observation_dim(), self.stack.sizes[0]);
        let [mean, deviation] =
            [units.input_mean, units.input_deviation].map(|row| row.slice(3, s, inputs));
        Value::concatenate(&[states, (actions - mean) / deviation], 3)
    }

    /// Every member's means of standardised (r, Δs) for standardised states and raw actions, `[runs, members, rows, labels]`.
    pub fn outputs<'g>(
        &self,
        parameters: &[Value<'g>],
        units: NormalisedUnits<'g>,
        states: Value<'g>,
        actions: Value<'g>,
    ) -> Value<'g> {
        self.stack.forward(parameters, self.input(units, states, actions))
    }

    /// Of every member's numbers the mean over `count` that follow each other from each row's `first` on, `[runs, 1, rows, 1]`.
    pub fn mean_of<'g>(&self, outputs: Value<'g>, first: Value<'g>, count: usize) -> Value<'g> {
        let members = self.stack.networks;
        let one = |m: usize| {
            let own = outputs.slice(1, m, m + 1);
            let places = (0..count).map(|k| (m + members - k) % members);
            let chosen = places.map(|from| first.equals(first.filled(from as f64)).indicator());
            let chosen = chosen.reduce(|a, b| a + b).expect("there is a member");
            // A member that was not drawn is not added: what is not finite of it has no part.
            chosen.equals(chosen.filled(1.0)).select(own, own.filled(0.0))
        };
        let sum = (1..members).fold(one(0), |sum, m| sum + one(m));
        if count == 1 { sum } else { sum / count as f64 }
    }

    /// Where a standardised change of (r, Δs) leads: the raw reward and the standardised next state.
    pub fn step<'g>(
        &self,
        units: NormalisedUnits<'g>,
        change: Value<'g>,
        states: Value<'g>,
    ) -> ImaginedStep<'g> {
        let (s, labels) = (self.observation_dim(), self.labels());
        let of_state = units.input_deviation.slice(3, 0, s);
        let shift = units.label_mean.slice(3, 1, labels) / of_state;
        let scale = units.label_deviation.slice(3, 1, labels) / of_state;
        let mean = units.label_mean.slice(3, 0, 1);
        ImaginedStep {
            rewards: mean + units.label_deviation.slice(3, 0, 1) * change.slice(3, 0, 1),
            states: states + (shift + scale * change.slice(3, 1, labels)),
        }
    }

    /// Every member's numbers with noise ε of Δs, `[runs, 1, rows, observation_dim]`; rewards have none.
    pub fn with_noise<'g>(
        &self,
        outputs: Value<'g>,
        log_sigma: Value<'g>,
        noise: Value<'g>,
    ) -> Value<'g> {
        let labels = self.labels();
        let moved = outputs.slice(3, 1, labels) + log_sigma.slice(3, 1, labels).exp() * noise;
        Value::concatenate(&[outputs.slice(3, 0, 1), moved], 3)
    }

    /// Raw states.
    pub fn raw<'g>(&self, units: NormalisedUnits<'g>, states: Value<'g>) -> Value<'g> {
        let of = |row: Value<'g>| row.slice(3, 0, self.observation_dim());
        states * of(units.input_deviation) + of(units.input_mean)
    }

    /// 1 where an imagined state ends no episode, 0 where it does, `[runs, 1, rows, 1]`.
    pub fn goes_on<'g>(
        &self,
        graph: &'g Graph,
        units: NormalisedUnits<'g>,
        states: Value<'g>,
    ) -> Value<'g> {
        healthy(graph, &self.healthy, self.raw(units, states))
    }
}

/// 1 for a row all of whose numbers are finite, else 0, `[runs, 1, rows, 1]`.
pub(super) fn finite_rows(rows: Value<'_>) -> Value<'_> {
    let unfit = rows.is_finite().not().indicator().sum(3);
    unfit.equals(unfit.filled(0.0)).indicator()
}
