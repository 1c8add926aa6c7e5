//! DDPPO: two models of the world, one that predicts well and one whose derivative is right, and a policy improved by
//! back-propagating through them (Li et al., ICLR 2022; Algorithm 1).
//!
//! After every environment step, [`Ddppo::learn`] does what the paper's Algorithm 1 does:
//! every 250 steps both models are trained and short imagined rollouts refill the critic's buffer; then the policy is
//! improved through the models, then the critic and the temperature.

use std::sync::Arc;
use std::time::Instant;

use super::adjoint::{Objective, PolicyReport, PolicyWorkspace};
use super::report::{LearnError, Learned, ModelReport};
use crate::agent::{CriticReport, CriticWorkspace, Policy, Temperature, TwinCritic};
use crate::config::{Config, GradientSource};
use crate::env::Task;
use crate::model::fit::{FitWorkspace, fit};
use crate::model::rollout::{RolloutReport, RolloutWorkspace, rollout};
use crate::model::{DynamicsModel, FitReport, GradientLoss, Neighbours};
use crate::nn::vector::all_finite;
use crate::replay::Replay;
use crate::rng::Rng;

/// One random stream for each purpose, so that a change in one part leaves the draws of the others alone.
#[derive(Clone, Debug)]
pub struct Streams {
    /// Minibatches, noise and elites of policy updates.
    pub policy: Rng,
    /// Minibatches and noise of critic updates.
    pub critic: Rng,
    /// Splits and orders of the prediction model's training.
    pub prediction_model: Rng,
    /// Splits, orders and directions of the gradient model's training.
    pub gradient_model: Rng,
    /// Start states, noise and elites of imagined rollouts.
    pub rollout: Rng,
}

/// Everything DDPPO learns, and what it learns from.
pub struct Ddppo {
    /// π.
    pub policy: Policy<f32>,
    /// Q₁, Q₂ and their targets.
    pub critic: TwinCritic<f32>,
    /// α.
    pub temperature: Temperature,
    /// M^p.
    pub prediction_model: DynamicsModel<f32>,
    /// M^g; `None` where the prediction model plays its role.
    pub gradient_model: Option<DynamicsModel<f32>>,
    /// Real transitions.
    pub real: Replay,
    /// Imagined transitions.
    pub imagined: Replay,
    /// Random streams.
    pub streams: Streams,
    pub(super) config: Config,
    pub(super) task: Arc<dyn Task>,
    pub(super) neighbours: Neighbours,
    pub(super) workspaces: Option<Workspaces>,
}

/// Buffers of all updates, made at the first one.
pub struct Workspaces {
    policy: PolicyWorkspace<f32>,
    critic: CriticWorkspace<f32>,
    rollout: RolloutWorkspace<f32>,
    prediction_fit: FitWorkspace<f32>,
    gradient_fit: FitWorkspace<f32>,
}

impl Ddppo {
    /// Freshly drawn networks and empty buffers.
    pub fn new(config: &Config, task: Arc<dyn Task>) -> Self {
        let (s, a) = (task.observation_dim(), task.action_dim());
        let stream = |name: &str| Rng::new(config.seed, name);
        let mut rng = stream("initial weights");
        let two_models = !config.model.single_model
            && config.policy.gradient_source == GradientSource::GradientModel;
        let policy = &config.policy;
        Self {
            policy: Policy::new(
                s,
                task.action_low(),
                task.action_high(),
                policy.hidden,
                policy.learning_rate,
                &mut rng,
            ),
            critic: TwinCritic::new(s, a, &config.critic, &config.training, &mut rng),
            temperature: Temperature::new(
                config.temperature.initial_log,
                config.temperature.target_entropy_per_dim * a as f64,
                config.temperature.learning_rate,
            ),
            prediction_model: DynamicsModel::new(s, a, &config.model, &mut rng),
            gradient_model: two_models.then(|| DynamicsModel::new(s, a, &config.model, &mut rng)),
            real: Replay::new(s, a, config.training.replay_capacity),
            imagined: Replay::new(
                s,
                a,
                config.rollout.capacity_per_step * config.rollout.length_at(0),
            ),
            streams: Streams {
                policy: stream("policy"),
                critic: stream("critic"),
                prediction_model: stream("prediction model"),
                gradient_model: stream("gradient model"),
                rollout: stream("rollout"),
            },
            neighbours: Neighbours::new(
                config.gradient_loss.neighbours,
                config.gradient_loss.window,
                s + a,
            ),
            config: config.clone(),
            task,
            workspaces: None,
        }
    }

    /// What is learned after environment step number `step`, whose transition is in [`Ddppo::real`].
    ///
    /// # Errors
    /// When a loss is not finite: names it.
    pub fn learn(&mut self, step: u64) -> Result<Learned, LearnError> {
        let training = &self.config.training;
        let mut learned = Learned::default();
        if step <= training.warmup_steps || self.real.len() < training.batch_size {
            return Ok(learned);
        }
        let (policy_updates, critic_updates) =
            (training.policy_updates_per_step, training.critic_updates_per_step);
        let models_due = step.is_multiple_of(training.model_every_steps)
            && self.real.len() >= training.min_transitions;
        let mut workspaces = self.workspaces.take().unwrap_or_else(|| self.make_workspaces());

        if models_due {
            let started = Instant::now();
            learned.models = Some(self.train_models(&mut workspaces)?);
            learned.seconds.models += started.elapsed().as_secs_f64();
            let started = Instant::now();
            learned.rollout = Some(self.imagine(&mut workspaces, step));
            learned.seconds.rollout += started.elapsed().as_secs_f64();
        }
        let started = Instant::now();
        if self.models_trained() {
            for _ in 0..policy_updates {
                learned.policy.add(&self.improve_policy(&mut workspaces)?);
            }
        }
        learned.seconds.policy += started.elapsed().as_secs_f64();
        let started = Instant::now();
        for _ in 0..critic_updates {
            learned.critic.add(&self.improve_critic(&mut workspaces)?);
        }
        learned.seconds.critic += started.elapsed().as_secs_f64();

        self.workspaces = Some(workspaces);
        Ok(learned)
    }

    /// Fits M^p by likelihood (eq. 2), and M^g by likelihood plus w·R (eq. 9, 10).
    fn train_models(&mut self, workspaces: &mut Workspaces) -> Result<ModelReport, LearnError> {
        let (config, loss) = (&self.config.model, &self.config.gradient_loss);
        self.neighbours.update(&self.real);
        let gradient_loss = (loss.weight > 0.0).then_some(GradientLoss {
            neighbours: &self.neighbours,
            weight: loss.weight,
            directions: loss.directions_per_row,
        });
        let on_prediction = if config.single_model { gradient_loss } else { None };
        let prediction = fit(
            &mut self.prediction_model,
            &mut workspaces.prediction_fit,
            &self.real,
            on_prediction,
            config,
            &mut self.streams.prediction_model,
        );
        let gradient = self.gradient_model.as_mut().map(|model| {
            let stream = &mut self.streams.gradient_model;
            fit(model, &mut workspaces.gradient_fit, &self.real, gradient_loss, config, stream)
        });
        let finite = |report: &FitReport| {
            report.nll.is_finite()
                && report.gradient_loss.is_none_or(f64::is_finite)
                && report.holdout_errors.iter().all(|e| e.is_finite())
        };
        if !finite(&prediction) {
            return Err(LearnError::NonFinite("the prediction model's loss"));
        }
        if !gradient.as_ref().is_none_or(finite) {
            return Err(LearnError::NonFinite("the gradient model's loss"));
        }
        let elite_error = prediction.elite_error(&self.prediction_model.elites);
        let gradient = gradient.zip(self.gradient_model.as_ref());
        Ok(ModelReport {
            prediction: (prediction, elite_error),
            gradient: gradient.map(|(report, model)| {
                let error = report.elite_error(&model.elites);
                (report, error)
            }),
        })
    }

    /// Refills the model buffer with k-step rollouts of the present policy from real states.
    fn imagine(&mut self, workspaces: &mut Workspaces, step: u64) -> RolloutReport {
        let config = &self.config.rollout;
        let length = config.length_at(step / 1000);
        self.imagined.resize(config.capacity_per_step * length);
        rollout(
            &mut workspaces.rollout,
            &self.policy,
            &self.prediction_model,
            &*self.task,
            &self.real,
            &mut self.imagined,
            (config.starts, length),
            &mut self.streams.rollout,
        )
    }

    /// One policy update: the adjoint of the imagined return through the gradient model (eq. 11). Needs trained models.
    ///
    /// # Errors
    /// When the loss is not finite.
    pub fn improve_policy(
        &mut self,
        workspaces: &mut Workspaces,
    ) -> Result<PolicyReport, LearnError> {
        let mut stream = self.streams.policy.clone();
        let objective = self.objective();
        workspaces.policy.draw(&objective, &self.real, &mut stream);
        let report = workspaces.policy.differentiate(&objective);
        self.streams.policy = stream;
        if !(report.loss.is_finite() && report.mean_abs_adjoint.is_finite()) {
            return Err(LearnError::NonFinite("the policy's loss"));
        }
        if !all_finite(workspaces.policy.gradient()) {
            return Err(LearnError::NonFinite("the policy's gradient"));
        }
        let Policy { network, adam, .. } = &mut self.policy;
        let clip = self.config.policy.gradient_clip;
        network.update(|parameters, _| {
            adam.update_clipped(parameters, workspaces.policy.gradient(), clip)
        });
        Ok(report)
    }

    /// One critic and temperature update (eq. 12, 13) on 5 % real and 95 % imagined transitions; on real ones alone
    /// before the first model.
    ///
    /// # Errors
    /// When the loss is not finite.
    pub fn improve_critic(
        &mut self,
        workspaces: &mut Workspaces,
    ) -> Result<CriticReport, LearnError> {
        let training = &self.config.training;
        let real_rows = if self.imagined.is_empty() {
            training.batch_size
        } else {
            (training.batch_size as f64 * training.real_ratio) as usize
        };
        let (real, imagined) = (&self.real, &self.imagined);
        let source = |row: usize| if row < real_rows { real } else { imagined };
        let report = self.critic.update(
            &mut workspaces.critic,
            &self.policy,
            &mut self.temperature,
            &mut self.streams.critic,
            |row, rng| source(row).get(rng.below(source(row).len())),
        );
        if !(report.loss.is_finite() && report.entropy.is_finite()) {
            return Err(LearnError::NonFinite("the critic's loss"));
        }
        if !report.finite_gradient {
            return Err(LearnError::NonFinite("the critic's gradient"));
        }
        Ok(report)
    }

    /// What the policy is improved on.
    pub fn objective(&self) -> Objective<'_, f32> {
        Objective {
            policy: &self.policy,
            prediction_model: &self.prediction_model,
            gradient_model: self.gradient_model.as_ref().unwrap_or(&self.prediction_model),
            gradient_source: self.config.policy.gradient_source,
            critic: &self.critic,
            task: &*self.task,
            alpha: self.temperature.alpha(),
            discount: self.config.training.discount,
        }
    }

    /// Whether the models have been trained at least once.
    pub fn models_trained(&self) -> bool {
        !self.prediction_model.elites.is_empty()
    }

    /// Buffers for updates of these networks.
    pub fn make_workspaces(&self) -> Workspaces {
        let (training, loss) = (&self.config.training, &self.config.gradient_loss);
        let on = (loss.weight > 0.0).then_some((loss.directions_per_row, loss.neighbours));
        let fits = |model, loss| FitWorkspace::new(model, training.batch_size, loss);
        let single = self.config.model.single_model;
        Workspaces {
            policy: PolicyWorkspace::new(
                &self.objective(),
                training.batch_size,
                self.config.policy.horizon,
            ),
            critic: CriticWorkspace::new(&self.critic, &self.policy, training.batch_size),
            rollout: RolloutWorkspace::new(
                &self.policy,
                &self.prediction_model,
                self.config.rollout.max_length,
            ),
            prediction_fit: fits(&self.prediction_model, on.filter(|_| single)),
            gradient_fit: fits(self.gradient_model.as_ref().unwrap_or(&self.prediction_model), on),
        }
    }
}
