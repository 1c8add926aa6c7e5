//! MAAC: model-augmented actor-critic (Clavera et al., ICLR 2020), in the form that DDPPO's authors compare with (docs/algorithm.md, "MAAC"):
//! one model, and a policy improved by true back-propagation through its sampled steps, the noise included.
//!
//! `policy.gradient_source = "prediction_model"` takes the derivatives of the model's mean head instead: less variance, but
//! without what the slope of σ adds (docs/algorithm.md, "The mean head and the sampled step").

mod config;

pub use config::{MaacConfig, MaacPolicy, MaacTraining};

use std::sync::Arc;

use super::{Method, MethodInfo, RealStep};
use crate::config::{Config, Description};
use crate::critic::{Critic, CriticUpdate};
use crate::data::{Replay, RowStorage};
use crate::env::Task;
use crate::model::{Imagined, LearnedModel, Models};
use crate::nn::{LearnError, StopFlag};
use crate::path::{Imagination, Objective, PolicyUpdate};
use crate::policy::{Policy, Temperature};
use crate::rng::Rng;
use crate::run::{Entries, SnapshotError, Tally};

/// MAAC.
pub const INFO: MethodInfo = MethodInfo {
    name: "maac",
    summary: "Model-augmented actor-critic: back-propagation through one model's sampled steps.",
    description: Description::of::<MaacConfig>,
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
    variants: &[("mean-gradients", include_str!("variants/mean_gradients.toml"))],
    build: |config, task| Box::new(Maac::new(config, task)),
};

/// What MAAC is made of.
pub struct Maac {
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
    config: MaacConfig,
    /// The task.
    pub task: Arc<dyn Task>,
}

impl Maac {
    /// Freshly drawn networks and empty buffers.
    pub fn new(config: &Config, task: Arc<dyn Task>) -> Self {
        let settings: MaacConfig = config.view();
        let MaacConfig { run, training, model, rollout, policy, critic, .. } = &settings;
        let sizes = (task.observation_dim(), task.action_dim());
        let experience = &training.experience;
        let (batch, max_loss) = (experience.batch_size, run.guards.max_loss);
        let stream = |name: &str| Rng::new(run.seed, name);
        // One stream draws all weights, in this order.
        let mut weights = stream("initial weights");
        let range = (task.action_low(), task.action_high());
        let policy_network = Policy::new(sizes.0, range, &policy.network, &mut weights);
        let critic = Critic::new(sizes.0, sizes.1, 2, critic, &mut weights);
        let model = LearnedModel::new("prediction", sizes, model, run.seed, &mut weights);
        Self {
            policy: policy_network,
            critic,
            temperature: Temperature::new(&settings.temperature, sizes.1),
            model,
            real: Replay::new(sizes.0, sizes.1, experience.replay_capacity),
            imagined: Imagined::new(sizes, rollout, run.seed),
            policy_update: PolicyUpdate::new(batch, max_loss, stream("policy")),
            critic_update: CriticUpdate::new(experience, max_loss, stream("critic")),
            config: settings,
            task,
        }
    }

    /// Its settings.
    pub fn config(&self) -> &MaacConfig {
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

    /// One Adam step of π up Σ_{j<H} γʲ·m_j·(r_j − α·log π_j) + γᴴ·m_H·(min Q − α·log π_H) from real states, each step sampled
    /// from an elite of the one model.
    fn improve_policy(&mut self, tally: &mut Tally) -> Result<(), LearnError> {
        let Self { policy, critic, temperature, model, .. } = self;
        let learned = (&*policy, &*critic, temperature.alpha());
        let objective = objective(learned, model, &self.config, &*self.task);
        let real = &self.real;
        let start = |_: usize, rng: &mut Rng| real.get(rng.below(real.len())).observation;
        self.policy_update.run(&objective, start, tally)?;
        policy.update(self.policy_update.gradient());
        Ok(())
    }

    /// One step of the critic and of the temperature, on 5 % real and 95 % imagined transitions.
    fn improve_critic(&mut self, tally: &mut Tally) -> Result<(), LearnError> {
        let Self { policy, critic, temperature, real, imagined, critic_update, config, .. } = self;
        let training = &config.training;
        let draw = imagined.mixture(real, training.experience.batch_size, training.real_ratio);
        critic_update.run(critic, policy, temperature, draw, tally)?;
        Ok(())
    }
}

/// What the policy is improved on.
fn objective<'a>(
    (policy, critic, alpha): (&'a Policy<f32>, &'a Critic<f32>, f64),
    model: &'a LearnedModel,
    config: &MaacConfig,
    task: &'a dyn Task,
) -> Objective<'a, f32> {
    let path = &config.policy.path;
    let imagination = Imagination {
        horizon: path.horizon,
        prediction_model: &model.model,
        gradient_model: &model.model,
        gradient_source: path.gradient_source,
        derivative_members: 1,
        ending: model.ending(task),
    };
    let discount = config.training.experience.discount;
    Objective { policy, imagination: Some(imagination), critic, alpha, discount }
}

impl Method for Maac {
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

    /// Every 250 steps the model is trained and short imagined rollouts refill the critic's buffer; then the policy is improved
    /// through the model, then the critic and the temperature. Before the first model, the critic alone.
    fn learn(&mut self, step: u64, tally: &mut Tally) -> Result<(), LearnError> {
        let MaacTraining { experience, cadence, .. } = &self.config.training;
        if step <= experience.warmup_steps || self.real.len() < experience.batch_size {
            return Ok(());
        }
        if cadence.is_due(step, self.real.len()) {
            self.train_model(step, tally)?;
            self.imagine(step, tally)?;
        }
        if self.model.is_trained() {
            for _ in 0..self.config.training.policy_updates_per_step {
                self.improve_policy(tally)?;
            }
        }
        for _ in 0..self.config.training.critic_updates_per_step {
            self.improve_critic(tally)?;
        }
        Ok(())
    }

    fn takes_long(&self, step: u64) -> bool {
        let MaacTraining { experience, cadence, .. } = &self.config.training;
        step > experience.warmup_steps && cadence.is_due(step, self.real.len() + 1)
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
        let learned = (&self.policy, &self.critic, self.temperature.alpha());
        let trained = self.model.is_trained();
        trained.then(|| objective(learned, &self.model, &self.config, &*self.task))
    }

    fn starts(&self) -> Option<&Replay> {
        Some(&self.real)
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
