//! MAGE: TD3 on one-step imagined transitions from real states, whose critic is fitted to the action gradient of its target (D'Oro &
//! Jaśkowski, 2020; docs/algorithm.md, "MAGE").

mod agent;
mod config;
mod minibatch;
mod updates;

pub use agent::Agent;
pub use config::{MageConfig, MageCritic, MagePolicy, MageTraining};
pub use minibatch::{Block, MageMinibatch, Smoothing};
pub use updates::{CriticLosses, Updates, Weights};

use std::sync::Arc;
use std::time::Instant;

use super::{Method, MethodInfo, RealStep};
use crate::config::{Config, Description};
use crate::data::{Replay, RowStorage, RunningMoments};
use crate::env::Task;
use crate::model::{FixedFitWorkspace, StandardisedModel, fixed_fit};
use crate::nn::cpu::vector::all_finite;
use crate::nn::{LearnError, StopFlag};
use crate::path::Objective;
use crate::policy::Policy;
use crate::rng::Rng;
use crate::run::{Entries, Record, SnapshotError, Tally};

/// Deviations under this count as 1.
const SMALLEST_DEVIATION: f64 = 1e-6;

/// MAGE.
pub const INFO: MethodInfo = MethodInfo {
    name: "mage",
    summary: "Model-based action-gradient estimator: a critic that learns its target's slope through a model.",
    description: Description::of::<MageConfig>,
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
        ("dyna-td3", include_str!("variants/dyna_td3.toml")),
        ("model-400", include_str!("variants/model_400.toml")),
        ("small", include_str!("variants/small.toml")),
    ],
    build: |config, task| Box::new(Mage::new(config, task)),
};

/// What MAGE is made of.
pub struct Mage {
    /// π, Q₁, Q₂ and their targets.
    pub agent: Agent<f32>,
    /// The ensemble.
    pub model: StandardisedModel<f32>,
    /// Real transitions.
    pub real: Replay,
    /// Of all real (s, a, r, Δs).
    moments: RunningMoments,
    /// All networks are drawn from it, the agent's again after a reset.
    weights: Rng,
    /// Orders of the model's trainings.
    fits: Rng,
    /// Minibatches and noise.
    draws: Rng,
    /// Made at the first training.
    fit_workspace: Option<FixedFitWorkspace<f32>>,
    /// Made at the first update.
    workspace: Option<(MageMinibatch<f32>, Updates<f32>)>,
    /// Breaks the model's training off.
    stop: StopFlag,
    config: MageConfig,
    task: Arc<dyn Task>,
}

/// Whether the agent can go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Sound,
    /// A loss is beyond the limit at which the agent is drawn anew.
    Lost,
}

impl Mage {
    /// Freshly drawn networks and an empty buffer.
    pub fn new(config: &Config, task: Arc<dyn Task>) -> Self {
        let settings: MageConfig = config.view();
        let (s, a) = (task.observation_dim(), task.action_dim());
        let stream = |name: &str| Rng::new(settings.run.seed, name);
        // One stream draws all weights, in this order.
        let mut weights = stream("initial weights");
        let agent = Agent::new(&settings, &*task, &mut weights);
        let model = StandardisedModel::new((s, a), &settings.model, &mut weights);
        Self {
            agent,
            model,
            real: Replay::new(s, a, settings.training.experience.replay_capacity),
            moments: RunningMoments::new(s + a + 1 + s),
            weights,
            fits: stream("model"),
            draws: stream("minibatch"),
            fit_workspace: None,
            workspace: None,
            stop: StopFlag::default(),
            config: settings,
            task,
        }
    }

    /// Its settings.
    pub fn config(&self) -> &MageConfig {
        &self.config
    }

    /// Noise of the target policy.
    pub fn smoothing(&self) -> Smoothing {
        let MagePolicy { target_noise, target_noise_clip, .. } = self.config.policy;
        Smoothing { deviation: target_noise, clip: target_noise_clip }
    }

    /// Weights of the critic's loss.
    pub fn critic_weights(&self) -> Weights {
        let MageCritic { action_gradient_weight, error_weight, .. } = self.config.critic;
        Weights { action_gradient: action_gradient_weight, error: error_weight }
    }

    /// Trains the model on all real transitions, standardised by the present moments.
    fn train_model(&mut self, step: u64, tally: &mut Tally) -> Result<(), LearnError> {
        let Self { model, real, moments, fits, fit_workspace, stop, config, .. } = self;
        moments.write(0, SMALLEST_DEVIATION, &mut model.input);
        moments.write(model.input.mean.len(), SMALLEST_DEVIATION, &mut model.label);
        let config = &config.model;
        let workspace =
            fit_workspace.get_or_insert_with(|| FixedFitWorkspace::new(model, config.batch_size));
        workspace.stop = stop.clone();
        let report = tally.timed("models", || fixed_fit(model, workspace, real, config, fits));
        stop.check()?;
        LearnError::check("the model's loss", report.loss, f64::INFINITY)?;
        let mut record = Record::new("model", step);
        record.put_count("transitions", real.len() as u64);
        record.put("standardised_loss", report.loss);
        record.put("standardised_error", report.error);
        tally.record(record);
        Ok(())
    }

    /// One step of the critic down L_C, on states of real transitions and one imagined step from each.
    ///
    /// # Errors
    /// When a number is not finite, or the loss beyond the guard.
    fn improve_critic(&mut self, tally: &mut Tally) -> Result<Verdict, LearnError> {
        let started = Instant::now();
        let (smoothing, weights) = (self.smoothing(), self.critic_weights());
        let Self { agent, model, real, draws, workspace, config, task, .. } = self;
        let MageConfig { run, training, critic, .. } = &*config;
        let (minibatch, updates) = workspace.get_or_insert_with(|| {
            let minibatch = MageMinibatch::new(agent, model, training.experience.batch_size);
            let updates = Updates::new(agent, &minibatch);
            (minibatch, updates)
        });
        minibatch.draw(agent, model, real, smoothing, draws);
        let (discount, slopes) = (training.experience.discount, weights.action_gradient > 0.0);
        if minibatch.imagine(agent, model, &**task, discount, slopes) > 0 {
            return Err(LearnError::NonFinite("the model's output"));
        }
        let losses = updates.differentiate_critic(agent, minibatch, weights);
        let loss = weights.action_gradient * losses.action_gradient + weights.error * losses.error;
        LearnError::check("the critic's loss", loss, run.guards.max_loss)?;
        if !losses.value.is_finite() {
            return Err(LearnError::NonFinite("the critic's value"));
        }
        if !updates.critic_gradients().all(all_finite) {
            return Err(LearnError::NonFinite("the critic's gradient"));
        }
        agent.critic.update_by(updates.critic_gradients_shared());
        agent.critic.renew_target_slopes();
        tally.mean("critic_loss", loss);
        tally.mean("critic_error_loss", losses.error);
        if slopes {
            tally.mean("action_gradient_loss", losses.action_gradient);
        }
        tally.mean("q_value", losses.value);
        tally.count("critic_updates", 1);
        tally.add_seconds("critic", started.elapsed().as_secs_f64());
        Ok(if losses.error > critic.reset_loss { Verdict::Lost } else { Verdict::Sound })
    }

    /// One step of π down L_A in the states of the critic's last minibatch, and a Polyak step of π̄.
    ///
    /// # Errors
    /// When a number is not finite, or the loss beyond the guard.
    fn improve_policy(&mut self, tally: &mut Tally) -> Result<Verdict, LearnError> {
        let started = Instant::now();
        let Self { agent, workspace, config, .. } = self;
        let (minibatch, updates) = workspace.as_mut().expect("the critic has been updated");
        let loss = updates.differentiate_policy(agent, minibatch);
        LearnError::check("the policy's loss", loss, config.run.guards.max_loss)?;
        if !all_finite(updates.policy_gradient()) {
            return Err(LearnError::NonFinite("the policy's gradient"));
        }
        agent.policy.update(updates.policy_gradient());
        agent.follow_policy();
        tally.mean("policy_loss", loss);
        tally.count("policy_updates", 1);
        tally.add_seconds("policy", started.elapsed().as_secs_f64());
        let lost = loss.abs() > config.policy.reset_loss;
        Ok(if lost { Verdict::Lost } else { Verdict::Sound })
    }

    /// A critic update, and every second time the policy's. An agent that is lost is drawn anew; model and transitions stay.
    fn improve(&mut self, tally: &mut Tally) -> Result<(), LearnError> {
        let mut verdict = self.improve_critic(tally)?;
        let updates = self.agent.critic.networks[0].adam.updates;
        if verdict == Verdict::Sound && updates.is_multiple_of(self.config.policy.delay) {
            verdict = self.improve_policy(tally)?;
        }
        if verdict == Verdict::Lost {
            let Self { agent, weights, config, task, .. } = self;
            *agent = Agent::new(config, &**task, weights);
            self.standardise();
        }
        tally.count("agent_resets", u64::from(verdict == Verdict::Lost));
        Ok(())
    }

    /// Lets the agent see observations by the present moments.
    fn standardise(&mut self) {
        self.moments.write(0, SMALLEST_DEVIATION, self.agent.standardiser_mut());
    }
}

impl Method for Mage {
    fn policy(&self) -> &Policy<f32> {
        &self.agent.policy
    }

    fn warmup_steps(&self) -> u64 {
        self.config.training.experience.warmup_steps
    }

    fn record_every(&self) -> u64 {
        self.config.training.model_every_steps
    }

    fn store(&mut self, step: RealStep<'_>) {
        let (t, model) = (step.transition, &self.model);
        let (inputs, labels) = (model.input.mean.len(), model.label.mean.len());
        let row = (0..inputs).map(|d| t.input(d)).chain((0..labels).map(|d| t.label(d)));
        self.moments.add(row);
        self.real.store(t, step.ended);
        self.standardise();
    }

    /// Every 25 steps, random ones included, the model is trained; after the random steps critic and policy are improved.
    fn learn(&mut self, step: u64, tally: &mut Tally) -> Result<(), LearnError> {
        let MageTraining { experience, model_every_steps, critic_updates_per_step } =
            &self.config.training;
        let (warmup, updates) = (experience.warmup_steps, *critic_updates_per_step);
        if step.is_multiple_of(*model_every_steps) && !self.real.is_empty() {
            self.train_model(step, tally)?;
        }
        if step >= warmup && self.model.is_trained() {
            for _ in 0..updates {
                self.improve(tally)?;
            }
        }
        Ok(())
    }

    fn takes_long(&self, step: u64) -> bool {
        step.is_multiple_of(self.config.training.model_every_steps)
    }

    fn heed(&mut self, stop: &StopFlag) {
        self.stop = stop.clone();
    }

    fn gauges(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    fn given_termination(&self) -> Option<&'static str> {
        Some("algorithm")
    }

    fn objective(&self) -> Option<Objective<'_, f32>> {
        None
    }

    fn visit(&mut self, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        let Self {
            agent,
            model,
            real,
            moments,
            weights,
            fits,
            draws,
            fit_workspace: _,
            workspace: _,
            stop: _,
            config: _,
            task: _,
        } = self;
        agent.visit(entries)?;
        model.visit("model", entries)?;
        real.visit("real", entries, RowStorage::Growing)?;
        moments.visit("moments", entries)?;
        entries.rng("streams/weights", weights)?;
        entries.rng("streams/model", fits)?;
        entries.rng("streams/minibatch", draws)
    }
}
