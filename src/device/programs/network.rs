//! Stacks of networks of one shape, `[runs, networks, …]`, and their steps of Adam.

use crate::device::graph::{Graph, Number, Value};
use crate::nn::Activation;

/// Adam's constants, those of `nn::Adam`.
const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Shapes of a stack of networks.
#[derive(Clone, Debug, PartialEq)]
pub struct StackShape {
    /// Runs of the group.
    pub runs: usize,
    /// Networks of a run.
    pub networks: usize,
    /// Sizes of the layers, input and output included.
    pub sizes: Vec<usize>,
    /// After every map but the last.
    pub activation: Activation,
    /// ε of the layer normalisation behind each hidden layer; empty where there is none.
    pub norms: Vec<f64>,
}

impl StackShape {
    /// The shapes of a stack's arrays: each layer's weights `[runs, networks, inputs, outputs]`, then its biases
    /// `[runs, networks, 1, outputs]`.
    pub fn arrays(&self) -> Vec<[usize; 4]> {
        let (runs, networks) = (self.runs, self.networks);
        let layers = self.sizes.windows(2);
        layers.flat_map(|l| [[runs, networks, l[0], l[1]], [runs, networks, 1, l[1]]]).collect()
    }

    /// Arguments for a stack's arrays.
    pub fn arguments<'g>(&self, graph: &'g Graph) -> Vec<Value<'g>> {
        self.arrays().iter().map(|shape| graph.argument(shape, Number::Single)).collect()
    }

    /// The outputs of networks with these parameters for `x`, `[runs, networks or 1, rows, inputs]`.
    pub fn forward<'g>(&self, parameters: &[Value<'g>], x: Value<'g>) -> Value<'g> {
        let mut shape = x.shape();
        shape[1] = self.networks;
        let mut y = x.expand(&shape);
        for (l, layer) in parameters.chunks_exact(2).enumerate() {
            y = y.dot(layer[0]) + layer[1];
            if l + 2 < self.sizes.len() {
                y = match self.activation {
                    Activation::Relu => y.relu(),
                    Activation::Silu => y.silu(),
                };
            }
            if let Some(&epsilon) = self.norms.get(l) {
                let units = self.sizes[l + 1] as f64;
                let off = y - y.sum(3) / units;
                y = off / ((off * off).sum(3) / units + epsilon).sqrt();
            }
        }
        y
    }
}

/// Networks that are trained: their parameters and Adam's moments of them, in the order of [`StackShape::arrays`].
#[derive(Clone, Debug)]
pub struct TrainedStack<'g> {
    /// The parameters.
    pub parameters: Vec<Value<'g>>,
    /// First moments.
    pub first: Vec<Value<'g>>,
    /// Second moments.
    pub second: Vec<Value<'g>>,
}

/// What Adam's step depends on beside gradient and moments, `[runs, 1, 1, 1]` each.
#[derive(Clone, Copy, Debug)]
pub struct AdamFactors<'g> {
    /// The rate over 1 − β₁ⁿ.
    pub rate: Value<'g>,
    /// √(1/(1 − β₂ⁿ)).
    pub second_scale: Value<'g>,
    /// Whether the run takes the step.
    pub live: Value<'g>,
}

impl<'g> AdamFactors<'g> {
    /// Columns `k` and `k + 1` of an update's factors, `[runs, 1, 1, …]`, the last of which is 1 for a run that takes the step, else 0.
    pub fn of_columns(factors: Value<'g>, k: usize) -> Self {
        let column = |k: usize| factors.slice(3, k, k + 1);
        let last = column(factors.shape()[3] - 1);
        let live = last.equals(last.filled(1.0));
        Self { rate: column(k), second_scale: column(k + 1), live }
    }
}

impl<'g> TrainedStack<'g> {
    /// Arguments for a stack and its moments.
    pub fn arguments(shape: &StackShape, graph: &'g Graph) -> Self {
        let [parameters, first, second] = [(); 3].map(|()| shape.arguments(graph));
        Self { parameters, first, second }
    }

    /// All arrays in the order of the arguments.
    pub fn arrays(&self) -> impl Iterator<Item = Value<'g>> + '_ {
        self.parameters.iter().chain(&self.first).chain(&self.second).copied()
    }

    /// One step down a gradient: array by array, to it comes the penalty's, `decay`·parameter, then its entries are clipped to ±`clip`
    /// (`src/nn/adam.rs` has the same).
    pub fn step(
        &mut self,
        gradient: &[Value<'g>],
        decay: impl Fn(usize) -> f64,
        clip: f64,
        factors: AdamFactors<'g>,
    ) {
        for (k, &g) in gradient.iter().enumerate() {
            let Self { parameters, first, second } = self;
            let g = if decay(k) > 0.0 { parameters[k] * decay(k) + g } else { g };
            let g = if clip.is_finite() { g.clamp(-clip, clip) } else { g };
            let m = (first[k] - g) * BETA_1 + g;
            let v = (second[k] - g * g) * BETA_2 + g * g;
            let change = factors.rate * m / (v.sqrt() * factors.second_scale + EPSILON);
            let live = factors.live;
            // Nothing is differentiated through a step: what follows has the new numbers as constants.
            first[k] = live.select(m, first[k]).held();
            second[k] = live.select(v, second[k]).held();
            parameters[k] = live.select(parameters[k] - change, parameters[k]).held();
        }
    }
}

/// One step on an array in double precision that has numbers and their moments one after the other along `axis`.
pub fn step_together<'g>(
    together: Value<'g>,
    axis: usize,
    gradient: Value<'g>,
    factors: AdamFactors<'g>,
) -> Value<'g> {
    let part = |k: usize| vec![together.slice(axis, k, k + 1)];
    let mut stack = TrainedStack { parameters: part(0), first: part(1), second: part(2) };
    let AdamFactors { rate, second_scale, live } = factors;
    let [rate, second_scale] = [rate, second_scale].map(|f| f.convert(Number::Double));
    stack.step(&[gradient], |_| 0.0, f64::INFINITY, AdamFactors { rate, second_scale, live });
    Value::concatenate(&stack.arrays().collect::<Vec<_>>(), axis)
}

/// Whether all entries of some arrays are finite, for each run: 1 or 0, `[runs, 1, 1, 1]`.
pub fn all_finite<'g>(arrays: &[Value<'g>]) -> Value<'g> {
    let broken = |a: &Value<'g>| a.is_finite().not().indicator().sum_from(1);
    let broken = arrays.iter().map(broken).reduce(|a, b| a + b).expect("there is an array");
    broken.equals(broken.filled(0.0)).indicator()
}
