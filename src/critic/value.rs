//! A network V(s), its slowly moving target and its optimiser: a critic of states.

use super::networks::CriticConfig;
use crate::nn::{Activation, Adam, Mlp, Real, Shape};
use crate::rng::Rng;
use crate::run::{Entries, SnapshotError};

/// V and V̄.
#[derive(Clone, Debug)]
pub struct ValueNetwork<T> {
    /// V: input s, output one value.
    pub network: Mlp<T>,
    /// V̄, following V at the Polyak rate.
    pub target: Mlp<T>,
    /// Moments of V's parameters.
    pub adam: Adam<T>,
    pub(super) gradient_clip: f64,
    pub(super) target_rate: f64,
}

impl<T: Real> ValueNetwork<T> {
    /// A Xavier-uniform network; the target starts as its copy.
    pub fn new(observation_dim: usize, config: &CriticConfig, rng: &mut Rng) -> Self {
        let &CriticConfig { hidden, learning_rate, gradient_clip, target_rate } = config;
        let shape = Shape::new(&[observation_dim, hidden, hidden, 1], Activation::Relu);
        let network = Mlp::xavier(shape, rng);
        let adam = Adam::new(network.shape().parameter_len(), learning_rate);
        Self { target: network.clone(), network, adam, gradient_clip, target_rate }
    }

    /// The same settings around other networks, V and V̄, with an optimiser of its own.
    pub fn with_networks<U: Real>(
        &self,
        (network, target): (Mlp<U>, Mlp<U>),
        adam: Adam<U>,
    ) -> ValueNetwork<U> {
        let &Self { gradient_clip, target_rate, .. } = self;
        ValueNetwork { network, target, adam, gradient_clip, target_rate }
    }
}

impl ValueNetwork<f32> {
    /// Saves or restores what is learned.
    ///
    /// # Errors
    /// When an entry is missing or of another size.
    pub fn visit(&mut self, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        let Self { network, target, adam, gradient_clip: _, target_rate: _ } = self;
        network.visit("value", entries)?;
        target.visit("target_value", entries)?;
        adam.visit("value", network.shape(), entries)
    }
}
