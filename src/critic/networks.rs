//! N networks Q(s, a), each with its slowly moving target and its optimiser.

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::target::TargetRule;
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
    /// Q̄, following Q.
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
    pub(super) target_rule: TargetRule,
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
        let rule = TargetRule::Polyak(target_rate);
        Self::from_networks(networks, learning_rate, gradient_clip, rule)
    }

    /// A critic of networks that have been drawn, all of one shape; the targets start as copies.
    pub fn from_networks(
        networks: impl Iterator<Item = Mlp<T>>,
        learning_rate: f64,
        gradient_clip: f64,
        target_rule: TargetRule,
    ) -> Self {
        let own = |network: Mlp<T>| {
            let adam = Adam::new(network.shape().parameter_len(), learning_rate);
            QNetwork { target: network.clone(), network, adam }
        };
        Self { networks: networks.map(own).collect(), gradient_clip, target_rule }
    }

    /// The same settings around other networks.
    pub fn with_networks<U>(&self, networks: Vec<QNetwork<U>>) -> Critic<U> {
        let &Self { networks: _, gradient_clip, target_rule } = self;
        Critic { networks, gradient_clip, target_rule }
    }

    /// One Adam step of every network down its gradient, after which its target follows.
    pub fn update_by<'g>(&mut self, gradients: impl IndexedParallelIterator<Item = &'g [T]>) {
        let (clip, rule) = (self.gradient_clip, self.target_rule);
        self.networks.par_iter_mut().zip(gradients).for_each(|(q, gradient)| {
            let QNetwork { network, target, adam } = q;
            network.update(|parameters, _| adam.update_clipped(parameters, gradient, clip));
            rule.apply(target, network, adam.updates);
        });
    }

    /// Forgets the moments of all networks.
    pub fn restart_moments(&mut self) {
        self.networks.iter_mut().for_each(|q| q.adam.restart());
    }

    /// Renews the targets' way back, for slopes of their values: following their networks they keep the forward pass up to date alone.
    pub fn renew_target_slopes(&mut self) {
        self.networks.iter_mut().for_each(|q| q.target.update(|_, _| {}));
    }

    /// Entries of a gradient are clipped to ± this.
    pub fn gradient_clip(&self) -> f64 {
        self.gradient_clip
    }

    /// How the targets follow.
    pub fn target_rule(&self) -> TargetRule {
        self.target_rule
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
        let Self { networks, gradient_clip: _, target_rule: _ } = self;
        for (q, QNetwork { network, target, adam }) in networks.iter_mut().enumerate() {
            let name = format!("critic{}", q + 1);
            network.visit(&name, entries)?;
            target.visit(&format!("target_{name}"), entries)?;
            adam.visit(&name, network.shape(), entries)?;
        }
        Ok(())
    }
}
