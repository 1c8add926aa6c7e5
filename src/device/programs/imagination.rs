//! Learned models in use: their elites, fixed while a policy is improved through them.

use super::members::DrawnMembers;
use super::network::StackShape;
use crate::device::graph::{Graph, Number, Value};

/// Sizes of a model's elites.
#[derive(Clone, Debug, PartialEq)]
pub struct ElitesShape {
    /// The elites, a network each.
    pub stack: StackShape,
    /// Healthy observations: an imagined one outside of these, entry by entry and bounds included, ends its episode.
    pub healthy: Vec<(f32, f32)>,
}

/// A model's arrays.
#[derive(Clone, Debug)]
pub struct Elites<'g> {
    /// Of the networks.
    pub parameters: Vec<Value<'g>>,
    /// What inputs are standardised by, `[runs, 1, 1, inputs]`.
    pub mean: Value<'g>,
    /// As the mean.
    pub deviation: Value<'g>,
    /// Bounds of the log-variance, lower and upper, `[runs, 1, 1, labels]`.
    pub bounds: [Value<'g>; 2],
}

/// Where a step leads.
#[derive(Clone, Copy, Debug)]
pub struct ImaginedStep<'g> {
    /// r, `[runs, 1, rows, 1]`.
    pub rewards: Value<'g>,
    /// s', `[runs, 1, rows, observation_dim]`.
    pub states: Value<'g>,
}

/// Variance over e^min, 1 + q with q = e^{max − min}/(1 + e^{max − raw}) (`src/model/likelihood.rs`).
pub fn excess<'g>(raw: Value<'g>, [min, max]: [Value<'g>; 2]) -> Value<'g> {
    (max - min).exp() * (raw - max).logistic() + 1.0
}

impl ElitesShape {
    /// |S|.
    pub fn observation_dim(&self) -> usize {
        self.healthy.len()
    }

    /// Arguments for a model's arrays: parameters, mean, deviation, bounds.
    pub fn arguments<'g>(&self, graph: &'g Graph) -> Elites<'g> {
        let parameters = self.stack.arguments(graph);
        let runs = self.stack.runs;
        let row = |size: usize| graph.argument(&[runs, 1, 1, size], Number::Single);
        let (inputs, labels) = (self.stack.sizes[0], 1 + self.observation_dim());
        let (mean, deviation) = (row(inputs), row(inputs));
        Elites { parameters, mean, deviation, bounds: [row(labels), row(labels)] }
    }

    /// The output of each row's elite.
    pub fn forward<'g>(
        &self,
        model: &Elites<'g>,
        states: Value<'g>,
        actions: Value<'g>,
        drawn: DrawnMembers<'g>,
    ) -> Value<'g> {
        let input = Value::concatenate(&[states, actions], 3);
        let input = (input - model.mean) / model.deviation;
        drawn.outputs(&self.stack, &model.parameters, input)
    }

    /// The mean step of an output.
    pub fn mean_step<'g>(&self, output: Value<'g>, states: Value<'g>) -> ImaginedStep<'g> {
        let labels = 1 + self.observation_dim();
        ImaginedStep { rewards: output.slice(3, 0, 1), states: states + output.slice(3, 1, labels) }
    }

    /// The step that `noise` of (r, Δs) makes of an output, `[runs, 1, rows, labels]`.
    pub fn sampled_step<'g>(
        &self,
        model: &Elites<'g>,
        output: Value<'g>,
        states: Value<'g>,
        noise: Value<'g>,
    ) -> ImaginedStep<'g> {
        let labels = 1 + self.observation_dim();
        let raw = output.slice(3, labels, 2 * labels);
        let deviation = (model.bounds[0].exp() * excess(raw, model.bounds)).sqrt();
        let change = output.slice(3, 0, labels) + deviation * noise;
        ImaginedStep { rewards: change.slice(3, 0, 1), states: states + change.slice(3, 1, labels) }
    }

    /// 1 where an imagined observation ends no episode, 0 where it does, `[runs, 1, rows, 1]`.
    pub fn goes_on<'g>(&self, graph: &'g Graph, states: Value<'g>) -> Value<'g> {
        healthy(graph, &self.healthy, states)
    }
}

/// 1 where all entries of an observation lie in these ranges, bounds included, else 0, `[runs, 1, rows, 1]`.
pub(super) fn healthy<'g>(graph: &'g Graph, ranges: &[(f32, f32)], states: Value<'g>) -> Value<'g> {
    let bound = |of: fn(&(f32, f32)) -> f32| {
        let one = |range| graph.constant(f64::from(of(range)), &[1; 4], Number::Single);
        Value::concatenate(&ranges.iter().map(one).collect::<Vec<_>>(), 3)
    };
    let (low, high) = (bound(|range| range.0), bound(|range| range.1));
    let outside = low.at_most(states).and(states.at_most(high)).not().indicator().sum(3);
    outside.equals(outside.filled(0.0)).indicator()
}
