//! MBPO: soft actor-critic on the short rollouts of one model (Janner et al., NeurIPS 2019; docs/algorithm.md, "MBPO"). How its model differs
//! from DDPPO's (bootstrap, trained bounds, restored weights) is configuration.

mod config;

pub use config::{MbpoConfig, MbpoTraining};

use std::sync::Arc;

use super::{Method, MethodInfo, RealStep};
use crate::config::{Config, Description};
use crate::critic::{Critic, CriticUpdate};
use crate::data::{Replay, RowStorage};
use crate::env::Task;
use crate::model::{Imagined, LearnedModel, Models};
use crate::nn::{LearnError, StopFlag};
use crate::path::{Objective, PolicyUpdate};
use crate::policy::{Policy, Temperature};
use crate::rng::Rng;
use crate::run::{Entries, SnapshotError, Tally};

/// MBPO.
pub const INFO: MethodInfo = MethodInfo {
    name: "mbpo",
    summary: "Model-based policy optimisation: soft actor-critic on a model's short rollouts.",
    description: Description::of::<MbpoConfig>,
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
    variants: &[],
    build: |config, task| Box::new(Mbpo::new(config, task)),
};

/// What MBPO is made of.
pub struct Mbpo {
    /// π.
    pub policy: Policy<f32>,
    /// Q₁, Q₂ and their targets.
    pub critic: Critic<f32>,
    /// α.
    pub temperature: Temperature,
    /// The one model.
    pub model: LearnedModel,
    /// Real transitions.
    pub real: Replay,
    /// Transitions imagined in the model.
    pub imagined: Imagined,
    /// π's updates.
    pub policy_update: PolicyUpdate,
    /// The critic's and the temperature's updates.
    pub critic_update: CriticUpdate,
    config: MbpoConfig,
    /// The task.
    pub task: Arc<dyn Task>,
}

impl Mbpo {
    /// Freshly drawn networks and empty buffers.
    pub fn new(config: &Config, task: Arc<dyn Task>) -> Self {
        let settings: MbpoConfig = config.view();
        let MbpoConfig { run, training, model, rollout, policy, critic, temperature, .. } =
            &settings;
        let sizes @ (s, a) = (task.observation_dim(), task.action_dim());
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
            model: LearnedModel::new("prediction", sizes, model, run.seed, &mut weights),
            real: Replay::new(s, a, experience.replay_capacity),
            imagined: Imagined::new(sizes, rollout, run.seed),
            policy_update: PolicyUpdate::new(batch, max_loss, stream("policy")),
            critic_update: CriticUpdate::new(experience, max_loss, stream("critic")),
            config: settings,
            task,
        }
    }

    /// Its settings.
    pub fn config(&self) -> &MbpoConfig {
        &self.config
    }

    /// Trains the model by likelihood on all real transitions.
    fn train_model(&mut self, step: u64, tally: &mut Tally) -> Result<(), LearnError> {
        let Self { model, real, config, .. } = self;
        let batch = config.training.experience.batch_size;
        model.train(real, &config.model, batch, step, tally)
    }

    /// Refills the model buffer with rollouts of the present policy through the model.
    fn imagine(&mut self, step: u64, tally: &mut Tally) -> Result<(), LearnError> {
        let Self { policy, model, real, imagined, task, .. } = self;
        imagined.refill(policy, model, &**task, real, step, tally)
    }

    /// One step of the critic and of the temperature, on 5 % real and 95 % imagined transitions.
    fn improve_critic(&mut self, tally: &mut Tally) -> Result<(), LearnError> {
        let Self { policy, critic, temperature, real, imagined, critic_update, config, .. } = self;
        let training = &config.training;
        let draw = imagined.mixture(real, training.experience.batch_size, training.real_ratio);
        critic_update.run(critic, policy, temperature, draw, tally)?;
        Ok(())
    }

    /// One Adam step of π down −min(Q₁, Q₂)(s, a) + α·log π(a|s) in the states of the critic's last minibatch, of which 95 % are
    /// imagined.
    fn improve_policy(&mut self, tally: &mut Tally) -> Result<(), LearnError> {
        let Self { policy, critic, temperature, policy_update, critic_update, .. } = self;
        let discount = critic_update.discount;
        let objective = Objective::of_values(policy, critic, temperature.alpha(), discount);
        policy_update.run(&objective, |row, _| critic_update.state(row), tally)?;
        policy.update(policy_update.gradient());
        Ok(())
    }
}

impl Method for Mbpo {
    fn policy(&self) -> &Policy<f32> {
        &self.policy
    }

    fn warmup_steps(&self) -> u64 {
        self.config.training.experience.warmup_steps
    }

    fn record_every(&self) -> u64 {
        self.config.training.cadence.model_every_steps
    }

    fn store(&mut self, step: RealStep<'_>) {
        self.real.store(step.transition, step.ended);
    }

    /// The first model is trained on the last of the random steps; the first update follows the step after it.
    fn learn(&mut self, step: u64, tally: &mut Tally) -> Result<(), LearnError> {
        let MbpoTraining { experience, cadence, .. } = &self.config.training;
        let warmup_steps = experience.warmup_steps;
        if step < warmup_steps || self.real.len() < experience.batch_size {
            return Ok(());
        }
        if cadence.is_due(step, self.real.len()) {
            self.train_model(step, tally)?;
            self.imagine(step, tally)?;
        }
        if step > warmup_steps {
            for _ in 0..self.config.training.critic_updates_per_step {
                self.improve_critic(tally)?;
                self.improve_policy(tally)?;
            }
        }
        Ok(())
    }

    fn takes_long(&self, step: u64) -> bool {
        let MbpoTraining { experience, cadence, .. } = &self.config.training;
        step >= experience.warmup_steps && cadence.is_due(step, self.real.len() + 1)
    }

    fn heed(&mut self, stop: &StopFlag) {
        self.model.heed(stop);
    }

    fn gauges(&self) -> Vec<(&'static str, f64)> {
        vec![("alpha", self.temperature.alpha())]
    }

    fn models(&self) -> Option<Models<'_>> {
        Some(Models { prediction: &self.model.model, gradient: None })
    }

    fn given_termination(&self) -> Option<&'static str> {
        self.model.given_termination()
    }

    fn objective(&self) -> Option<Objective<'_, f32>> {
        let Self { policy, critic, temperature, critic_update, .. } = self;
        let discount = critic_update.discount;
        Some(Objective::of_values(policy, critic, temperature.alpha(), discount))
    }

    fn visit(&mut self, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        let Self {
            policy,
            critic,
            temperature,
            model,
            real,
            imagined,
            policy_update,
            critic_update,
            config: _,
            task: _,
        } = self;
        policy.visit("policy", entries)?;
        critic.visit(entries)?;
        temperature.visit(entries)?;
        model.visit(entries)?;
        real.visit("real", entries, RowStorage::Growing)?;
        imagined.visit(entries)?;
        policy_update.visit(entries)?;
        critic_update.visit(entries)
    }
}
