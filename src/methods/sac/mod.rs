//! SAC: soft actor-critic (Haarnoja et al., 2018), without a model of the environment (docs/algorithm.md, "SAC").

mod config;

pub use config::{SacConfig, SacTraining};

use std::sync::Arc;

use super::{Method, MethodInfo, RealStep};
use crate::config::{Config, Description};
use crate::critic::{Critic, CriticUpdate};
use crate::data::{Replay, RowStorage};
use crate::env::Task;
use crate::nn::LearnError;
use crate::path::{Objective, PolicyUpdate};
use crate::policy::{Policy, Temperature};
use crate::rng::Rng;
use crate::run::{Entries, SnapshotError, Tally};

/// Environment steps between two `train` records.
const RECORD_EVERY: u64 = 250;

/// SAC.
pub const INFO: MethodInfo = MethodInfo {
    name: "sac",
    summary: "Soft actor-critic: no model of the environment.",
    description: Description::of::<SacConfig>,
    default: include_str!("presets/default.toml"),
    tasks: &[
        ("InvertedPendulum", include_str!("presets/inverted_pendulum.toml")),
        ("Hopper", include_str!("presets/hopper.toml")),
        ("Walker2d", include_str!("presets/walker2d.toml")),
        ("HalfCheetah", include_str!("presets/half_cheetah.toml")),
        ("AntTruncatedObs", include_str!("presets/ant.toml")),
        ("HumanoidTruncatedObs", include_str!("presets/humanoid.toml")),
        ("PointMass", include_str!("presets/point_mass.toml")),
        ("Pendulum", include_str!("presets/pendulum.toml")),
    ],
    robot: include_str!("presets/robot.toml"),
    variants: &[("fixed-temperature", include_str!("variants/fixed_temperature.toml"))],
    build: |config, task| Box::new(Sac::new(config, task)),
};

/// What SAC is made of.
pub struct Sac {
    /// π.
    pub policy: Policy<f32>,
    /// Q₁, Q₂ and their targets.
    pub critic: Critic<f32>,
    /// α.
    pub temperature: Temperature,
    /// Real transitions.
    pub real: Replay,
    /// π's updates.
    pub policy_update: PolicyUpdate,
    /// The critic's and the temperature's updates.
    pub critic_update: CriticUpdate,
    config: SacConfig,
}

impl Sac {
    /// Freshly drawn networks and an empty buffer.
    pub fn new(config: &Config, task: Arc<dyn Task>) -> Self {
        let settings: SacConfig = config.view();
        let SacConfig { run, training, policy, critic, temperature } = &settings;
        let (s, a) = (task.observation_dim(), task.action_dim());
        let experience = &training.experience;
        let (batch, max_loss) = (experience.batch_size, run.guards.max_loss);
        let stream = |name: &str| Rng::new(run.seed, name);
        // One stream draws all weights, in this order.
        let mut weights = stream("initial weights");
        let range = (task.action_low(), task.action_high());
        Self {
            policy: Policy::new(s, range, policy, &mut weights),
            critic: Critic::new(s, a, 2, critic, &mut weights),
            temperature: Temperature::new(temperature, a),
            real: Replay::new(s, a, experience.replay_capacity),
            policy_update: PolicyUpdate::new(batch, max_loss, stream("policy")),
            critic_update: CriticUpdate::new(experience, max_loss, stream("critic")),
            config: settings,
        }
    }

    /// Its settings.
    pub fn config(&self) -> &SacConfig {
        &self.config
    }

    /// One step of the critic and of the temperature on real transitions.
    fn improve_critic(&mut self, tally: &mut Tally) -> Result<(), LearnError> {
        let Self { policy, critic, temperature, real, critic_update, .. } = self;
        let real = &*real;
        let draw = |_: usize, rng: &mut Rng| (real, rng.below(real.len()));
        critic_update.run(critic, policy, temperature, draw, tally)?;
        Ok(())
    }

    /// One Adam step of π down −min(Q₁, Q₂)(s, a) + α·log π(a|s) in the states of the critic's last minibatch.
    fn improve_policy(&mut self, tally: &mut Tally) -> Result<(), LearnError> {
        let Self { policy, critic, temperature, policy_update, critic_update, .. } = self;
        let discount = critic_update.discount;
        let objective = Objective::of_values(policy, critic, temperature.alpha(), discount);
        policy_update.run(&objective, |row, _| critic_update.state(row), tally)?;
        policy.update(policy_update.gradient());
        Ok(())
    }
}

impl Method for Sac {
    fn policy(&self) -> &Policy<f32> {
        &self.policy
    }

    fn warmup_steps(&self) -> u64 {
        self.config.training.experience.warmup_steps
    }

    fn record_every(&self) -> u64 {
        RECORD_EVERY
    }

    fn store(&mut self, step: RealStep<'_>) {
        self.real.store(step.transition, step.ended);
    }

    /// As soon as there are more transitions than a minibatch has, during the random first steps too: critic with temperature,
    /// then the policy on the same minibatch.
    fn learn(&mut self, _: u64, tally: &mut Tally) -> Result<(), LearnError> {
        if self.real.len() <= self.config.training.experience.batch_size {
            return Ok(());
        }
        for _ in 0..self.config.training.critic_updates_per_step {
            self.improve_critic(tally)?;
            self.improve_policy(tally)?;
        }
        Ok(())
    }

    fn gauges(&self) -> Vec<(&'static str, f64)> {
        vec![("alpha", self.temperature.alpha())]
    }

    fn objective(&self) -> Option<Objective<'_, f32>> {
        let Self { policy, critic, temperature, critic_update, .. } = self;
        let discount = critic_update.discount;
        Some(Objective::of_values(policy, critic, temperature.alpha(), discount))
    }

    fn visit(&mut self, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        let Self { policy, critic, temperature, real, policy_update, critic_update, config: _ } =
            self;
        policy.visit("policy", entries)?;
        critic.visit(entries)?;
        temperature.visit(entries)?;
        real.visit("real", entries, RowStorage::Growing)?;
        policy_update.visit(entries)?;
        critic_update.visit(entries)
    }
}
