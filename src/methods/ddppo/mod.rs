//! DDPPO: two models of the environment, one that predicts well and one whose derivative is right, and a policy improved by
//! back-propagating through them (Li et al., ICLR 2022; Algorithm 1).

mod action_gradient;
mod config;

pub use action_gradient::ActionGradientTerm;
pub use config::{DdppoConfig, DdppoCritic, DdppoModel, DdppoPolicy, DdppoTraining};

use std::sync::Arc;
use std::time::Instant;

use super::{Method, MethodInfo, RealStep};
use crate::config::{Config, Description};
use crate::critic::{Critic, CriticUpdate};
use crate::data::{ExperienceConfig, Replay, RowStorage};
use crate::env::Task;
use crate::model::{GradientData, Imagined, LearnedModel, Models};
use crate::nn::{LearnError, StopFlag};
use crate::path::{GradientSource, Imagination, Objective, PolicyUpdate, value_slopes};
use crate::policy::{Policy, Temperature};
use crate::rng::Rng;
use crate::run::{Entries, Record, SnapshotError, Tally};

/// The paper's method.
pub const INFO: MethodInfo = MethodInfo {
    name: "ddppo",
    summary: "Directional-derivative projection policy optimisation, the paper's method.",
    description: Description::of::<DdppoConfig>,
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
    variants: &[
        ("no-gradient-loss", include_str!("variants/no_gradient_loss.toml")),
        ("single-model", include_str!("variants/single_model.toml")),
        ("prediction-gradients", include_str!("variants/prediction_gradients.toml")),
        ("mage-critic", include_str!("variants/mage_critic.toml")),
        ("doubled", include_str!("variants/doubled.toml")),
        ("secant", include_str!("variants/secant.toml")),
    ],
    build: |config, task| Box::new(Ddppo::new(config, task)),
};

/// What DDPPO is made of.
pub struct Ddppo {
    /// π.
    pub policy: Policy<f32>,
    /// Q₁, Q₂ and their targets.
    pub critic: Critic<f32>,
    /// α.
    pub temperature: Temperature,
    /// M^p, trained by likelihood; where it is the only one, by R too if the loss has it.
    pub prediction_model: LearnedModel,
    /// M^g, trained by likelihood plus w·R; `None` where M^p gives the derivatives, too.
    pub gradient_model: Option<LearnedModel>,
    /// Real transitions.
    pub real: Replay,
    /// Transitions imagined in M^p.
    pub imagined: Imagined,
    /// For R, where it is part of a loss.
    pub gradient_data: Option<GradientData>,
    /// π's updates.
    pub policy_update: PolicyUpdate,
    /// The critic's and the temperature's updates.
    pub critic_update: CriticUpdate,
    /// Where the critic's loss has it.
    action_gradient: Option<ActionGradientTerm>,
    config: DdppoConfig,
    /// The task.
    pub task: Arc<dyn Task>,
}

impl Ddppo {
    /// Freshly drawn networks and empty buffers.
    pub fn new(config: &Config, task: Arc<dyn Task>) -> Self {
        let settings: DdppoConfig = config.view();
        let DdppoConfig { run, training, model, gradient_loss, rollout, policy, critic, .. } =
            &settings;
        let sizes = (task.observation_dim(), task.action_dim());
        let experience = &training.experience;
        let (batch, max_loss) = (experience.batch_size, run.guards.max_loss);
        let stream = |name: &str| Rng::new(run.seed, name);
        // One stream draws all weights, in this order.
        let mut weights = stream("initial weights");
        let range = (task.action_low(), task.action_high());
        let policy_network = Policy::new(sizes.0, range, &policy.network, &mut weights);
        let weight = critic.action_gradient_weight;
        let critic = Critic::new(sizes.0, sizes.1, 2, &critic.network, &mut weights);
        let term = || ActionGradientTerm::new(&critic, weight, batch, stream("action gradient"));
        let mut learned =
            |name| LearnedModel::new(name, sizes, &model.ensemble, run.seed, &mut weights);
        let prediction_model = learned("prediction");
        let source = policy.path.gradient_source;
        let two = source == GradientSource::GradientModel && !model.single_model;
        let gradient_model = two.then(|| learned("gradient"));
        let with_loss = (two || model.single_model) && gradient_loss.weight > 0.0;
        Self {
            action_gradient: (weight > 0.0).then(term),
            policy: policy_network,
            critic,
            temperature: Temperature::new(&settings.temperature, sizes.1),
            prediction_model,
            gradient_model,
            real: Replay::new(sizes.0, sizes.1, experience.replay_capacity),
            imagined: Imagined::new(sizes, rollout, run.seed),
            gradient_data: with_loss.then(|| GradientData::new(gradient_loss, sizes)),
            policy_update: PolicyUpdate::new(batch, max_loss, stream("policy")),
            critic_update: CriticUpdate::new(experience, max_loss, stream("critic")),
            config: settings,
            task,
        }
    }

    /// Its settings.
    pub fn config(&self) -> &DdppoConfig {
        &self.config
    }

    /// Trains M^p by likelihood (eq. 2) and M^g by likelihood plus w·R (eq. 9, 10), on all real transitions.
    fn train_models(&mut self, step: u64, tally: &mut Tally) -> Result<(), LearnError> {
        let Self { policy, critic, prediction_model, gradient_model, real, .. } = self;
        let Self { gradient_data, config, .. } = self;
        let model = &config.model.ensemble;
        let ExperienceConfig { batch_size: batch, discount, .. } = config.training.experience;
        let mut record = Record::new("model", step);
        record.put_count("transitions", real.len() as u64);
        tally.timed("models", || {
            if let Some(data) = gradient_data {
                data.update(real, || value_slopes(policy, critic, discount, real));
            }
            let r = gradient_data.as_ref().map(GradientData::loss);
            let alone = r.filter(|_| gradient_model.is_none());
            prediction_model.fit(real, alone, model, batch, &mut record)?;
            match gradient_model {
                Some(gradient_model) => gradient_model.fit(real, r, model, batch, &mut record),
                None => Ok(()),
            }
        })?;
        tally.record(record);
        Ok(())
    }

    /// Refills the model buffer with rollouts of the present policy through M^p.
    fn imagine(&mut self, step: u64, tally: &mut Tally) -> Result<(), LearnError> {
        let Self { policy, prediction_model, real, imagined, task, .. } = self;
        imagined.refill(policy, prediction_model, &**task, real, step, tally)
    }

    /// One Adam step of π down the gradient of eq. 11: H steps through M^p from real states, with the derivatives of M^g, then
    /// the critic.
    ///
    /// # Errors
    /// When a number is not finite, or the loss beyond the guard.
    pub fn improve_policy(&mut self, tally: &mut Tally) -> Result<(), LearnError> {
        let Self { policy, critic, temperature, prediction_model, gradient_model, .. } = self;
        let models = (&*prediction_model, gradient_model.as_ref());
        let learned = (&*policy, &*critic, temperature.alpha());
        let objective = objective(learned, models, &self.config, &*self.task);
        let real = &self.real;
        let start = |_: usize, rng: &mut Rng| real.get(rng.below(real.len())).observation;
        self.policy_update.run(&objective, start, tally)?;
        policy.update(self.policy_update.gradient());
        Ok(())
    }

    /// One step of the critic (eq. 12) and of the temperature (eq. 13), on 5 % real and 95 % imagined transitions.
    ///
    /// # Errors
    /// When a number is not finite, or the loss beyond the guard.
    pub fn improve_critic(&mut self, tally: &mut Tally) -> Result<(), LearnError> {
        let Self { policy, critic, temperature, real, imagined, critic_update, config, .. } = self;
        let training = &config.training;
        let models = (&self.prediction_model, self.gradient_model.as_ref());
        let of = objective((policy, critic, temperature.alpha()), models, config, &*self.task);
        let states = &imagined.transitions;
        let term = match self.action_gradient.as_mut().filter(|_| !states.is_empty()) {
            Some(term) => {
                let started = Instant::now();
                let (loss, term) = term.differentiate(of, states)?;
                tally.mean("action_gradient_loss", loss);
                tally.add_seconds("critic", started.elapsed().as_secs_f64());
                Some(term)
            }
            None => None,
        };
        let draw = imagined.mixture(real, training.experience.batch_size, training.real_ratio);
        critic_update.run_with(critic, policy, temperature, draw, term, tally)?;
        Ok(())
    }
}

/// Eq. 11.
fn objective<'a>(
    (policy, critic, alpha): (&'a Policy<f32>, &'a Critic<f32>, f64),
    (prediction_model, gradient_model): (&'a LearnedModel, Option<&'a LearnedModel>),
    config: &DdppoConfig,
    task: &'a dyn Task,
) -> Objective<'a, f32> {
    let path = &config.policy.path;
    let imagination = Imagination {
        horizon: path.horizon,
        prediction_model: &prediction_model.model,
        gradient_model: &gradient_model.unwrap_or(prediction_model).model,
        gradient_source: path.gradient_source,
        derivative_members: config.policy.derivative_members,
        ending: prediction_model.ending(task),
    };
    let discount = config.training.experience.discount;
    Objective { policy, imagination: Some(imagination), critic, alpha, discount }
}

impl Method for Ddppo {
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

    /// Every 250 steps both models are trained and short imagined rollouts refill the critic's buffer; then the policy is
    /// improved through the models, then the critic and the temperature. Before the first model, the critic alone.
    fn learn(&mut self, step: u64, tally: &mut Tally) -> Result<(), LearnError> {
        let DdppoTraining { experience, cadence, .. } = &self.config.training;
        if step <= experience.warmup_steps || self.real.len() < experience.batch_size {
            return Ok(());
        }
        if cadence.is_due(step, self.real.len()) {
            self.train_models(step, tally)?;
            self.imagine(step, tally)?;
        }
        if self.prediction_model.is_trained() {
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
        let DdppoTraining { experience, cadence, .. } = &self.config.training;
        step > experience.warmup_steps && cadence.is_due(step, self.real.len() + 1)
    }

    fn heed(&mut self, stop: &StopFlag) {
        let gradient_model = self.gradient_model.iter_mut();
        gradient_model.chain([&mut self.prediction_model]).for_each(|model| model.heed(stop));
    }

    fn gauges(&self) -> Vec<(&'static str, f64)> {
        vec![("alpha", self.temperature.alpha())]
    }

    fn models(&self) -> Option<Models<'_>> {
        let gradient = self.gradient_model.as_ref().map(|learned| &learned.model);
        Some(Models { prediction: &self.prediction_model.model, gradient })
    }

    fn given_termination(&self) -> Option<&'static str> {
        self.prediction_model.given_termination()
    }

    fn objective(&self) -> Option<Objective<'_, f32>> {
        let models = (&self.prediction_model, self.gradient_model.as_ref());
        let learned = (&self.policy, &self.critic, self.temperature.alpha());
        let trained = self.prediction_model.is_trained();
        trained.then(|| objective(learned, models, &self.config, &*self.task))
    }

    fn starts(&self) -> Option<&Replay> {
        Some(&self.real)
    }

    fn visit(&mut self, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        let Self {
            policy,
            critic,
            temperature,
            prediction_model,
            gradient_model,
            real,
            imagined,
            gradient_data: _,
            policy_update,
            critic_update,
            action_gradient,
            config: _,
            task: _,
        } = self;
        policy.visit("policy", entries)?;
        critic.visit(entries)?;
        temperature.visit(entries)?;
        prediction_model.visit(entries)?;
        if let Some(model) = gradient_model {
            model.visit(entries)?;
            if model.is_trained() != prediction_model.is_trained() {
                let expected = "elites of both models, or of none";
                return Err(SnapshotError::invalid("gradient_model/elites", expected));
            }
        }
        real.visit("real", entries, RowStorage::Growing)?;
        imagined.visit(entries)?;
        policy_update.visit(entries)?;
        critic_update.visit(entries)?;
        match action_gradient {
            Some(term) => term.visit(entries),
            None => Ok(()),
        }
    }
}
