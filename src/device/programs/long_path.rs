//! Long paths in standardised coordinates, of which the states are kept (`src/path/long.rs`).

use super::normalised::{NormalisedShape, NormalisedUnits, finite_rows};
use super::policy::PolicyShape;
use crate::device::graph::{Graph, Value};

/// What is fixed about long paths.
#[derive(Clone, Debug, PartialEq)]
pub struct LongPathShape {
    /// π.
    pub policy: PolicyShape,
    /// Sizes of the model.
    pub model: NormalisedShape,
    /// Paths of a run.
    pub starts: usize,
}

/// What long paths are made with.
#[derive(Clone, Debug)]
pub struct LongPathModel<'g> {
    /// Of the model.
    pub units: NormalisedUnits<'g>,
    /// Its networks.
    pub networks: Vec<Value<'g>>,
    /// Its log σ, `[runs, members, 1, labels]`.
    pub log_sigma: Value<'g>,
}

impl LongPathShape {
    /// Numbers of a row of draws: noise of the action, noise of Δs, and the member that makes the step.
    pub fn draws_width(&self) -> usize {
        self.policy.action_dim() + self.model.observation_dim() + 1
    }

    /// Arguments for the model: units, networks, log σ.
    pub fn model<'g>(&self, graph: &'g Graph) -> LongPathModel<'g> {
        LongPathModel {
            units: self.model.units(graph),
            networks: self.model.stack.arguments(graph),
            log_sigma: self.model.log_sigma(graph),
        }
    }

    /// One step of standardised states with `draws`, `[runs, 1, starts, draws_width]`: the next states, and the present ones, raw, with 1
    /// where the next one is finite, else 0. What is not finite stays where it was.
    pub fn step<'g>(
        &self,
        graph: &'g Graph,
        policy: &[Value<'g>],
        with: &LongPathModel<'g>,
        states: Value<'g>,
        draws: Value<'g>,
    ) -> (Value<'g>, Value<'g>) {
        let (s, a) = (self.model.observation_dim(), self.policy.action_dim());
        let drawn = self.policy.sample(graph, policy, states, draws.slice(3, 0, a));
        let outputs = self.model.outputs(&with.networks, with.units, states, drawn.actions);
        let moved = self.model.with_noise(outputs, with.log_sigma, draws.slice(3, a, a + s));
        let member = draws.slice(3, a + s, a + s + 1);
        let next = self.model.step(with.units, self.model.mean_of(moved, member, 1), states);
        let finite = finite_rows(next.states);
        let kept = Value::concatenate(&[self.model.raw(with.units, states), finite], 3);
        (finite.equals(finite.filled(1.0)).select(next.states, states), kept)
    }
}
