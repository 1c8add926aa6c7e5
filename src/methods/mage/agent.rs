//! What MAGE learns to act and to value with: a deterministic policy, a twin critic, and the slow copies of both.

use super::config::{MageConfig, MageCritic, MagePolicy};
use crate::critic::{Critic, TargetRule};
use crate::data::Standardiser;
use crate::env::Task;
use crate::nn::cpu::vector;
use crate::nn::{Activation, Adam, Mlp, Real, Shape};
use crate::policy::{Exploration, Head, Policy};
use crate::rng::Rng;
use crate::run::{Entries, SnapshotError};

/// Policy and critic, and their targets. Both read standardised observations s̃; the critic reads t = (a − bias)/scale.
#[derive(Clone, Debug)]
pub struct Agent<T> {
    /// π. It holds the observations' standardiser, for acting and for learning.
    pub policy: Policy<T>,
    /// π̄, following π at the Polyak rate.
    pub target_policy: Mlp<T>,
    /// Q₁, Q₂ and Q̄₁, Q̄₂, whose way back is kept up to date.
    pub critic: Critic<T>,
    /// Polyak factor of all targets.
    pub target_rate: f64,
}

impl<T: Real> Agent<T> {
    /// Freshly drawn networks, Xavier-uniform with SiLU; the targets start as copies.
    pub fn new(config: &MageConfig, task: &dyn Task, weights: &mut Rng) -> Self {
        let (s, a) = (task.observation_dim(), task.action_dim());
        let MageConfig { policy, critic, .. } = config;
        let &MagePolicy { hidden, learning_rate, gradient_clip, exploration_noise, .. } = policy;
        let shape = Shape::new(&[s, hidden, hidden, a], Activation::Silu);
        let range = (task.action_low(), task.action_high());
        let network = Mlp::xavier(shape, weights);
        let target_policy = network.clone();
        let mut policy =
            Policy::from_network(network, range, Head::Deterministic, learning_rate, gradient_clip);
        policy.exploration = Exploration::Added(exploration_noise);
        policy.input = Some(Standardiser::identity(s));
        let MageCritic { network: settings, .. } = critic;
        let shape = Shape::new(&[s + a, settings.hidden, settings.hidden, 1], Activation::Silu);
        let networks = (0..2).map(|_| Mlp::xavier(shape.clone(), weights));
        let (rate, clip) = (settings.learning_rate, settings.gradient_clip);
        let rule = TargetRule::Polyak(settings.target_rate);
        let critic = Critic::from_networks(networks, rate, clip, rule);
        let mut agent = Self { policy, target_policy, critic, target_rate: settings.target_rate };
        agent.rectify(learning_rate, rate);
        agent
    }

    fn rectify(&mut self, policy_rate: f64, critic_rate: f64) {
        self.policy.adam = Adam::rectified(self.policy.adam.first.len(), policy_rate);
        for q in &mut self.critic.networks {
            q.adam = Adam::rectified(q.adam.first.len(), critic_rate);
        }
    }

    /// What observations are standardised by.
    pub fn standardiser(&self) -> &Standardiser<T> {
        self.policy.input.as_ref().expect("the policy was made with one")
    }

    /// [`Agent::standardiser`], to be written.
    pub fn standardiser_mut(&mut self) -> &mut Standardiser<T> {
        self.policy.input.as_mut().expect("the policy was made with one")
    }

    /// π̄ ← π and Q̄ ← Q by one Polyak step each.
    pub fn follow_policy(&mut self) {
        let Self { policy, target_policy, target_rate, .. } = self;
        let rate = T::from_f64(*target_rate);
        target_policy.update(|target, _| vector::blend(target, policy.network.parameters(), rate));
    }
}

impl Agent<f32> {
    /// Saves or restores what is learned.
    ///
    /// # Errors
    /// When an entry is missing or of another size.
    pub fn visit(&mut self, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        let Self { policy, target_policy, critic, target_rate: _ } = self;
        policy.visit("policy", entries)?;
        target_policy.visit("target_policy", entries)?;
        critic.visit(entries)
    }
}
