//! What every method is made of: policy, critic, temperature, real transitions and, where it has one, a learned world; with the
//! updates that methods share. A method's own file says what the policy is improved on, and in what order.

use std::sync::Arc;
use std::time::Instant;

use super::method;
use super::report::{LearnError, Learned};
use super::world::{Models, World};
use crate::config::Config;
use crate::critic::{CriticReport, CriticWorkspace, TwinCritic};
use crate::data::Replay;
use crate::env::Task;
use crate::path::objective::{Imagination, Objective};
use crate::path::workspace::PolicyWorkspace;
use crate::policy::{Policy, Temperature};
use crate::rng::Rng;

/// One random stream for each purpose, so that a change in one part leaves the draws of the others alone.
#[derive(Clone, Debug)]
pub struct Streams {
    /// Minibatches, noise and elites of policy updates.
    pub policy: Rng,
    /// Minibatches and noise of critic updates.
    pub critic: Rng,
}

/// Everything that is learned, and what it is learned from.
pub struct Learner {
    /// π.
    pub policy: Policy<f32>,
    /// Q₁, Q₂ and their targets.
    pub critic: TwinCritic<f32>,
    /// α.
    pub temperature: Temperature,
    /// The models; `None` where the method learns none.
    pub world: Option<World>,
    /// Real transitions.
    pub real: Replay,
    /// Random streams.
    pub streams: Streams,
    pub(crate) config: Config,
    pub(crate) task: Arc<dyn Task>,
    /// Buffers of policy updates, made at the first.
    pub(crate) policy_workspace: Option<PolicyWorkspace<f32>>,
    /// Buffers of critic updates, made at the first.
    pub(crate) critic_workspace: Option<CriticWorkspace<f32>>,
}

impl Learner {
    /// Freshly drawn networks and empty buffers, as the configuration's method needs them.
    pub fn new(config: &Config, task: Arc<dyn Task>) -> Self {
        let (s, a) = (task.observation_dim(), task.action_dim());
        let stream = |name: &str| Rng::new(config.seed, name);
        let mut rng = stream("initial weights");
        let (low, high) = (task.action_low(), task.action_high());
        let settings = &config.policy;
        let (hidden, rate) = (settings.hidden, settings.learning_rate);
        let mut policy = Policy::new(s, low, high, hidden, rate, &mut rng);
        if settings.normalised_density {
            policy.normalise_density();
        }
        let models = method(config.algorithm).models(config);
        Self {
            policy,
            critic: TwinCritic::new(s, a, &config.critic, &config.training, &mut rng),
            temperature: Temperature::new(&config.temperature, a),
            world: (models != Models::None).then(|| World::new(models, config, &*task, &mut rng)),
            real: Replay::new(s, a, config.training.replay_capacity),
            streams: Streams { policy: stream("policy"), critic: stream("critic") },
            config: config.clone(),
            task,
            policy_workspace: None,
            critic_workspace: None,
        }
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The task.
    pub fn task(&self) -> &dyn Task {
        &*self.task
    }

    /// All learning after environment step number `step`, whose transition is in [`Learner::real`].
    ///
    /// # Errors
    /// When a loss is not finite: names it.
    pub fn learn(&mut self, step: u64) -> Result<Learned, LearnError> {
        method(self.config.algorithm).learn(self, step)
    }

    /// Whether there are enough real transitions for a minibatch.
    pub fn can_learn(&self) -> bool {
        self.real.len() >= self.config.training.batch_size
    }

    /// Trains the models and refills the model buffer, if there is a world and `step` is a multiple of
    /// `training.model_every_steps`.
    ///
    /// # Errors
    /// When a loss or an imagined transition is not finite.
    pub fn renew_world(&mut self, step: u64, learned: &mut Learned) -> Result<(), LearnError> {
        let training = &self.config.training;
        let due = step.is_multiple_of(training.model_every_steps)
            && self.real.len() >= training.min_transitions;
        let Some(world) = self.world.as_mut().filter(|_| due) else { return Ok(()) };
        let started = Instant::now();
        learned.models = Some(world.train(&self.real, &self.config)?);
        learned.seconds.models += started.elapsed().as_secs_f64();
        let started = Instant::now();
        let (policy, task) = (&self.policy, &*self.task);
        let rollout = world.imagine(policy, task, &self.real, &self.config, step);
        if rollout.broken > 0 {
            return Err(LearnError::NonFinite("the prediction model's output"));
        }
        learned.rollout = Some(rollout);
        learned.seconds.rollout += started.elapsed().as_secs_f64();
        Ok(())
    }

    /// One critic and temperature update (eq. 12, 13) on 5 % real and 95 % imagined transitions; on real ones alone
    /// where nothing has been imagined.
    ///
    /// # Errors
    /// When the loss, the entropy or a gradient is not finite, or the loss beyond the guard.
    pub fn improve_critic(&mut self) -> Result<CriticReport, LearnError> {
        let Self { policy, critic, temperature, real, streams, config, world, .. } = self;
        let training = &config.training;
        let imagined = world.as_ref().map(|w| &w.imagined).filter(|i| !i.is_empty());
        let real_rows = match imagined {
            Some(_) => (training.batch_size as f64 * training.real_ratio) as usize,
            None => training.batch_size,
        };
        let real = &*real;
        let source = |row: usize| if row < real_rows { real } else { imagined.unwrap_or(real) };
        let workspace = self
            .critic_workspace
            .get_or_insert_with(|| CriticWorkspace::new(critic, policy, training.batch_size));
        let report =
            critic.update(workspace, policy, temperature, &mut streams.critic, |row, rng| {
                let source = source(row);
                (source, rng.below(source.len()))
            });
        LearnError::check("the critic's loss", report.loss, config.guards.max_loss)?;
        if !report.entropy.is_finite() {
            return Err(LearnError::NonFinite("the policy's entropy"));
        }
        if !report.finite_gradient {
            return Err(LearnError::NonFinite("the critic's gradient"));
        }
        Ok(report)
    }

    /// Soft actor-critic's objective for the policy, −min Q + α·log π: nothing is imagined.
    pub fn objective(&self) -> Objective<'_, f32> {
        Objective {
            policy: &self.policy,
            imagination: None,
            critic: &self.critic,
            alpha: self.temperature.alpha(),
            discount: self.config.training.discount,
        }
    }

    /// K imagined steps, then the critic (eq. 11), with the derivatives of `policy.gradient_source`; `None` until there is a
    /// trained model.
    pub fn imagined_objective(&self) -> Option<Objective<'_, f32>> {
        let world = self.trained_world()?;
        let imagination = Imagination {
            prediction_model: &world.prediction_model,
            gradient_model: world.gradient_model.as_ref().unwrap_or(&world.prediction_model),
            gradient_source: self.config.policy.gradient_source,
            task: self.task(),
        };
        Some(Objective { imagination: Some(imagination), ..self.objective() })
    }

    /// The models, if they have been trained at least once.
    pub fn trained_world(&self) -> Option<&World> {
        self.world.as_ref().filter(|world| world.is_trained())
    }
}
