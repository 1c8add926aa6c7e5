//! A policy as all formats need it: affine maps without padding, and what surrounds them.

use serde_json::Value;

use crate::data::Standardiser;
use crate::nn::{Activation, Shape};
use crate::policy::{Head, Policy};
use crate::train::Trainer;

/// y = x·W + b.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    /// Size of x.
    pub inputs: usize,
    /// Size of y.
    pub outputs: usize,
    /// W, row-major `[inputs, outputs]`.
    pub weight: Vec<f32>,
    /// b, `[outputs]`.
    pub bias: Vec<f32>,
}

impl Affine {
    /// Layer `l` of a network's parameters.
    fn of(shape: &Shape, l: usize, parameters: &[f32]) -> Self {
        let layer = &shape.layers[l];
        let (weight, bias) = shape.export(l, parameters);
        Self { inputs: layer.inputs, outputs: layer.outputs, weight, bias }
    }

    /// The first `n` outputs, and the others.
    fn split(&self, n: usize) -> (Self, Self) {
        let part = |from: usize, to: usize| Self {
            inputs: self.inputs,
            outputs: to - from,
            weight: self
                .weight
                .chunks(self.outputs)
                .flat_map(|row| &row[from..to])
                .copied()
                .collect(),
            bias: self.bias[from..to].to_vec(),
        };
        (part(0, n), part(n, self.outputs))
    }

    fn numbers(&self) -> impl Iterator<Item = f32> {
        self.weight.iter().chain(&self.bias).copied()
    }
}

/// Where a policy comes from, and what its actions may be.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    /// Name of its task.
    pub task: String,
    /// Name of its method.
    pub method: String,
    /// Environment steps that it has learned from.
    pub step: u64,
    /// Lowest action, `[action_dim]`.
    pub low: Vec<f64>,
    /// Highest action, `[action_dim]`.
    pub high: Vec<f64>,
}

/// A policy with all that its deterministic action takes:
/// a = scale·tanh(mean(h)) + bias, where h are the hidden layers of the observation, standardised where there is an `input`.
#[derive(Clone, Debug, PartialEq)]
pub struct PortablePolicy {
    /// Where it comes from.
    pub about: About,
    /// What observations are standardised by, `[observation_dim]`.
    pub input: Option<Standardiser<f32>>,
    /// The hidden layers, first to last.
    pub hidden: Vec<Affine>,
    /// After each of them.
    pub activation: Activation,
    /// From the last of them to the action before it is squashed, `[action_dim]` outputs.
    pub mean: Affine,
    /// What `spread` says.
    pub head: Head,
    /// From the last of them to how wide the policy's noise is; `None` where it has none of its own. The deterministic action does not
    /// need it.
    pub spread: Option<Affine>,
    /// Half the action range, `[action_dim]`.
    pub scale: Vec<f32>,
    /// Middle of the action range, `[action_dim]`.
    pub bias: Vec<f32>,
}

impl PortablePolicy {
    /// The policy of a run as it is now.
    pub fn of_run(run: &Trainer) -> Self {
        let task = run.task();
        let about = About {
            task: task.name().to_owned(),
            method: run.config().algorithm().to_owned(),
            step: run.step(),
            low: task.action_low().to_vec(),
            high: task.action_high().to_vec(),
        };
        Self::new(run.method().policy(), about)
    }

    /// A policy.
    pub fn new(policy: &Policy<f32>, about: About) -> Self {
        let (shape, parameters) = (policy.network.shape(), policy.network.parameters());
        let last = shape.layers.len() - 1;
        let (mean, spread) = Affine::of(shape, last, parameters).split(policy.action_dim());
        Self {
            about,
            input: policy.input.clone(),
            hidden: (0..last).map(|l| Affine::of(shape, l, parameters)).collect(),
            activation: shape.activation,
            mean,
            head: policy.head,
            spread: (spread.outputs > 0).then_some(spread),
            scale: policy.scale.clone(),
            bias: policy.bias.clone(),
        }
    }

    /// |S|.
    pub fn observation_dim(&self) -> usize {
        self.hidden.first().unwrap_or(&self.mean).inputs
    }

    /// |A|.
    pub fn action_dim(&self) -> usize {
        self.mean.outputs
    }

    /// Weights and biases that the deterministic action takes.
    pub fn parameters(&self) -> usize {
        self.hidden.iter().chain([&self.mean]).flat_map(Affine::numbers).count()
    }

    /// Whether all numbers are finite.
    pub fn is_finite(&self) -> bool {
        let layers = self.hidden.iter().chain([&self.mean]).chain(&self.spread);
        let input = self.input.iter().flat_map(|input| input.mean.iter().chain(&input.deviation));
        let range = self.scale.iter().chain(&self.bias);
        layers.flat_map(Affine::numbers).chain(input.chain(range).copied()).all(f32::is_finite)
    }

    /// What a file says of itself, as names and values.
    pub(super) fn properties(&self) -> Vec<(&'static str, Value)> {
        let About { task, method, step, low, high } = &self.about;
        vec![
            ("program", program().into()),
            ("task", task.as_str().into()),
            ("method", method.as_str().into()),
            ("step", (*step).into()),
            ("observation_dim", self.observation_dim().into()),
            ("action_dim", self.action_dim().into()),
            ("action_low", low.as_slice().into()),
            ("action_high", high.as_slice().into()),
        ]
    }
}

/// The program that writes, with its version.
pub(super) fn program() -> String {
    concat!("ddppo ", env!("CARGO_PKG_VERSION")).to_owned()
}
