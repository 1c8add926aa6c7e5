//! N networks Q(s, a), each with its slowly moving target and its optimiser.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::nn::cpu::vector;
use crate::nn::{Activation, Adam, Mlp, Real, Shape};
use crate::rng::Rng;
use crate::run::{Entries, SnapshotError};

/// Critic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CriticConfig {
    /// Units of each of the two hidden layers (256).
    #[schemars(range(min = 1, max = 16_384))]
    pub hidden: usize,
    /// Adam's step size (3e-4).
    #[schemars(extend("exclusiveMinimum" = 0.0), range(max = 1.0))]
    pub learning_rate: f64,
    /// Gradient entries are clipped to ± this (100; SAC and MBPO: `inf`, not at all).
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub gradient_clip: f64,
    /// Polyak factor τ of the target networks (0.005).
    #[schemars(extend("exclusiveMinimum" = 0.0), range(max = 1.0))]
    pub target_rate: f64,
}

/// One Q network, its target and its optimiser.
#[derive(Clone, Debug)]
pub struct QNetwork<T> {
    /// Q: input (s, a), output one value.
    pub network: Mlp<T>,
    /// Q̄, following Q at the Polyak rate.
    pub target: Mlp<T>,
    /// Moments of Q's parameters.
    pub adam: Adam<T>,
}

/// The networks: two of them are a twin critic.
#[derive(Clone, Debug)]
pub struct Critic<T> {
    /// Q₁, Q₂, …, all of one shape.
    pub networks: Vec<QNetwork<T>>,
    pub(super) gradient_clip: f64,
    pub(super) target_rate: f64,
}

impl<T: Real> Critic<T> {
    /// `count` Xavier-uniform networks; the targets start as copies.
    pub fn new(
        observation_dim: usize,
        action_dim: usize,
        count: usize,
        config: &CriticConfig,
        rng: &mut Rng,
    ) -> Self {
        let sizes = [observation_dim + action_dim, config.hidden, config.hidden, 1];
        let shape = Shape::new(&sizes, Activation::Relu);
        let networks = (0..count).map(|_| Mlp::xavier(shape.clone(), rng));
        let &CriticConfig { hidden: _, learning_rate, gradient_clip, target_rate } = config;
        Self::from_networks(networks, learning_rate, gradient_clip, target_rate)
    }

    /// A critic of networks that have been drawn, all of one shape; the targets start as copies.
    pub fn from_networks(
        networks: impl Iterator<Item = Mlp<T>>,
        learning_rate: f64,
        gradient_clip: f64,
        target_rate: f64,
    ) -> Self {
        let own = |network: Mlp<T>| {
            let adam = Adam::new(network.shape().parameter_len(), learning_rate);
            QNetwork { target: network.clone(), network, adam }
        };
        Self { networks: networks.map(own).collect(), gradient_clip, target_rate }
    }

    /// The same settings around other networks.
    pub fn with_networks<U>(&self, networks: Vec<QNetwork<U>>) -> Critic<U> {
        let &Self { networks: _, gradient_clip, target_rate } = self;
        Critic { networks, gradient_clip, target_rate }
    }

    /// One Adam step of each network down its gradient, entries clipped, and a Polyak step of its target, whose way back is renewed, too.
    pub fn step<'g>(&mut self, gradients: impl Iterator<Item = &'g [T]>) {
        let (clip, rate) = (self.gradient_clip, T::from_f64(self.target_rate));
        for (QNetwork { network, target, adam }, gradient) in
            self.networks.iter_mut().zip(gradients)
        {
            network.update(|parameters, _| adam.update_clipped(parameters, gradient, clip));
            target.update(|target, _| vector::blend(target, network.parameters(), rate));
        }
    }

    /// Shape of all networks.
    pub fn shape(&self) -> &Shape {
        self.networks[0].network.shape()
    }
}

impl Critic<f32> {
    /// Saves or restores what is learned.
    ///
    /// # Errors
    /// When an entry is missing or of another size.
    pub fn visit(&mut self, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        let Self { networks, gradient_clip: _, target_rate: _ } = self;
        for (q, QNetwork { network, target, adam }) in networks.iter_mut().enumerate() {
            let name = format!("critic{}", q + 1);
            network.visit(&name, entries)?;
            target.visit(&format!("target_{name}"), entries)?;
            adam.visit(&name, network.shape(), entries)?;
        }
        Ok(())
    }
}
