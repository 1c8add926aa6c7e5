//! STEVE: stochastic ensemble value expansion (Buckman et al., NeurIPS 2018). A deterministic policy and an ensemble of critics
//! learn from real transitions alone; the critics' targets mix returns of different lengths through a learned model, each weighted
//! by how well the ensembles agree on it. No gradient passes through the model.

mod config;
pub mod dynamics;
pub mod expansion;
pub mod improvement;
pub mod minibatch;

pub use config::{
    ExpansionConfig, SteveConfig, SteveCritic, SteveModelConfig, StevePolicy, SteveTraining,
};

use std::sync::Arc;

use self::dynamics::{SteveDynamics, SteveDynamicsWorkspace};
use self::expansion::{Expansion, Targets};
use self::improvement::{CriticPass, PolicyPass};
use self::minibatch::SteveMinibatch;
use super::{Method, MethodInfo, RealStep};
use crate::config::{Config, Description};
use crate::critic::{Critic, TargetRule};
use crate::data::{Replay, RowStorage};
use crate::env::Task;
use crate::model::EnsembleReport;
use crate::nn::{LearnError, StopFlag};
use crate::path::Objective;
use crate::policy::{Exploration, Head, Policy};
use crate::rng::Rng;
use crate::run::{Entries, SnapshotError, Tally};

/// Environment steps between two `train` records.
const RECORD_EVERY: u64 = 250;
const PREPARED: &str = "buffers have been made";

/// STEVE.
pub const INFO: MethodInfo = MethodInfo {
    name: "steve",
    summary: "Stochastic ensemble value expansion: targets through a model, as far as ensembles agree.",
    description: Description::of::<SteveConfig>,
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
    variants: &[("steve-small", include_str!("variants/steve_small.toml"))],
    build: |config, task| Box::new(Steve::new(config, task)),
};

/// What STEVE is made of.
pub struct Steve {
    /// π.
    pub policy: Policy<f32>,
    /// Q₁, … and their targets.
    pub critic: Critic<f32>,
    /// f, R and g.
    pub dynamics: SteveDynamics<f32>,
    /// Real transitions.
    pub real: Replay,
    /// Rows and credits of the model's updates.
    model_stream: Rng,
    /// Rows and credits of the critic's updates.
    critic_stream: Rng,
    /// Made at the first update, for the threads that there are then.
    workspace: Option<Workspace>,
    /// Breaks the model's training off.
    stop: StopFlag,
    config: SteveConfig,
    task: Arc<dyn Task>,
}

/// Buffers of all updates.
struct Workspace {
    dynamics: SteveDynamicsWorkspace<f32>,
    batch: SteveMinibatch<f32>,
    targets: Targets<f32>,
    critic: CriticPass<f32>,
    policy: PolicyPass<f32>,
}

impl Steve {
    /// Freshly drawn networks and an empty buffer.
    pub fn new(config: &Config, task: Arc<dyn Task>) -> Self {
        let settings: SteveConfig = config.view();
        let SteveConfig { run, training, model, policy, critic, .. } = &settings;
        let sizes @ (s, a) = (task.observation_dim(), task.action_dim());
        let stream = |name: &str| Rng::new(run.seed, name);
        // One stream draws all weights, in this order.
        let mut weights = stream("initial weights");
        let network = dynamics::network((s, policy.hidden, policy.layers, a), 1, &mut weights);
        let (range, no_clip) = ((task.action_low(), task.action_high()), f64::INFINITY);
        let mut actor = Policy::from_network(
            network,
            range,
            Head::Deterministic,
            policy.learning_rate,
            no_clip,
        );
        actor.exploration = Exploration::Occasional(policy.exploration);
        let members = critic.members;
        let networks: Vec<_> = (0..members)
            .map(|_| {
                dynamics::network((s + a, critic.hidden, critic.layers, 1), members, &mut weights)
            })
            .collect();
        let rule = TargetRule::Copy(critic.copy_every_updates);
        let rate = critic.learning_rate;
        Self {
            policy: actor,
            critic: Critic::from_networks(networks.into_iter(), rate, no_clip, rule),
            dynamics: SteveDynamics::new(sizes, model, &mut weights),
            real: Replay::new(s, a, training.experience.replay_capacity),
            model_stream: stream("model"),
            critic_stream: stream("critic"),
            workspace: None,
            stop: StopFlag::default(),
            config: settings,
            task,
        }
    }

    /// Its settings.
    pub fn config(&self) -> &SteveConfig {
        &self.config
    }

    /// One Adam step of f, R and g on real transitions.
    ///
    /// # Errors
    /// When a loss or a gradient is not finite.
    pub fn improve_model(&mut self, tally: &mut Tally) -> Result<(), LearnError> {
        self.prepare();
        let Self { policy, dynamics, real, model_stream, workspace, config, .. } = self;
        let workspace = &mut workspace.as_mut().expect(PREPARED).dynamics;
        workspace.batch.draw(real, policy, model_stream);
        workspace.credit(config.model.members, model_stream);
        let report = tally.timed("models", || dynamics.update(workspace));
        check(
            report.transition,
            ["the transition model's loss", "the transition model's gradient"],
        )?;
        check(report.reward, ["the reward model's loss", "the reward model's gradient"])?;
        tally.mean("transition_loss", report.transition.loss);
        tally.mean("reward_loss", report.reward.loss);
        if let Some(report) = report.termination {
            check(report, ["the termination model's loss", "the termination model's gradient"])?;
            tally.mean("termination_loss", report.loss);
        }
        tally.count("model_updates", 1);
        Ok(())
    }

    /// One Adam step of the critic on real transitions, towards targets through the model.
    ///
    /// # Errors
    /// When a target, the loss or a gradient is not finite, or the loss beyond the guard.
    pub fn improve_critic(&mut self, tally: &mut Tally) -> Result<(), LearnError> {
        self.prepare();
        let Self { policy, critic, dynamics, real, critic_stream, workspace, config, task, .. } =
            self;
        let workspace = workspace.as_mut().expect(PREPARED);
        let Workspace { batch, targets, critic: pass, .. } = workspace;
        batch.draw(real, policy, critic_stream);
        pass.credit(critic.networks.len(), critic_stream);
        let expansion = expansion((policy, critic, dynamics), config, &**task);
        let report = tally.timed("critic", || {
            targets.set(&expansion, batch);
            pass.differentiate(critic, batch, &targets.values)
        });
        if !targets.values.iter().all(|y| y.is_finite()) {
            return Err(LearnError::NonFinite("the critic's target"));
        }
        LearnError::check("the critic's loss", report.loss, config.run.guards.max_loss)?;
        check(report, ["the critic's loss", "the critic's gradient"])?;
        tally.timed("critic", || pass.update(critic));
        tally.mean("critic_loss", report.loss);
        tally.mean("expanded_steps", targets.depths.iter().sum::<f64>() / batch.rows() as f64);
        tally.count("critic_updates", 1);
        Ok(())
    }

    /// One Adam step of π up the critic's mean value, on the rows of the critic's last update.
    ///
    /// # Errors
    /// When the loss or the gradient is not finite, or the loss beyond the guard.
    pub fn improve_policy(&mut self, tally: &mut Tally) -> Result<(), LearnError> {
        self.prepare();
        let Self { policy, critic, workspace, config, .. } = self;
        let Workspace { batch, policy: pass, .. } = workspace.as_mut().expect(PREPARED);
        let penalty = config.policy.output_penalty;
        let report = tally.timed("policy", || pass.differentiate(policy, critic, batch, penalty));
        LearnError::check("the policy's loss", report.loss, config.run.guards.max_loss)?;
        if !report.finite_gradient {
            return Err(LearnError::NonFinite("the policy's gradient"));
        }
        tally.timed("policy", || policy.update(&pass.gradient));
        tally.mean("policy_loss", report.loss);
        tally.mean("q_value", report.value);
        tally.count("policy_updates", 1);
        Ok(())
    }

    /// Makes the buffers of all updates, if there are none.
    fn prepare(&mut self) {
        let Self { policy, critic, dynamics, workspace, config, task, .. } = self;
        let rows = config.training.experience.batch_size;
        let sizes = (policy.observation_dim(), policy.action_dim());
        workspace.get_or_insert_with(|| Workspace {
            dynamics: SteveDynamicsWorkspace::new(dynamics, sizes, rows),
            batch: SteveMinibatch::new(sizes, rows),
            targets: Targets::new(&expansion((policy, critic, dynamics), config, &**task), rows),
            critic: CriticPass::new(critic, rows),
            policy: PolicyPass::new(policy, critic, rows),
        });
    }
}

/// What targets are made of.
fn expansion<'a>(
    (policy, critic, dynamics): (&'a Policy<f32>, &'a Critic<f32>, &'a SteveDynamics<f32>),
    config: &SteveConfig,
    task: &'a dyn Task,
) -> Expansion<'a, f32> {
    let (discount, horizon) = (config.training.experience.discount, config.steve.horizon);
    Expansion { policy, critic, dynamics, task, discount, horizon }
}

/// Refuses numbers that cannot be learned from; `names` are those of the loss and of its gradient.
fn check(report: EnsembleReport, names: [&'static str; 2]) -> Result<(), LearnError> {
    LearnError::check(names[0], report.loss, f64::INFINITY)?;
    if report.finite_gradient { Ok(()) } else { Err(LearnError::NonFinite(names[1])) }
}

impl Method for Steve {
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

    /// The model is trained alone when the random steps are over; from then on after every step: the model, then the critic, each
    /// time with the policy on the same rows.
    fn learn(&mut self, step: u64, tally: &mut Tally) -> Result<(), LearnError> {
        let SteveTraining { pretraining_updates, model_updates_per_step, .. } =
            self.config.training;
        let last_random_step = self.warmup_steps().max(1);
        if step < last_random_step || self.real.is_empty() {
            return Ok(());
        }
        if step == last_random_step {
            return (0..pretraining_updates).try_for_each(|_| {
                self.stop.check()?;
                self.improve_model(tally)
            });
        }
        (0..model_updates_per_step).try_for_each(|_| self.improve_model(tally))?;
        for _ in 0..self.config.training.critic_updates_per_step {
            self.improve_critic(tally)?;
            self.improve_policy(tally)?;
        }
        Ok(())
    }

    fn takes_long(&self, step: u64) -> bool {
        step == self.warmup_steps().max(1)
    }

    fn heed(&mut self, stop: &StopFlag) {
        self.stop = stop.clone();
    }

    fn gauges(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    fn given_termination(&self) -> Option<&'static str> {
        self.dynamics.termination.is_none().then_some("model.termination")
    }

    /// None: no gradient of the policy passes through the model, and the critic has no least value.
    fn objective(&self) -> Option<Objective<'_, f32>> {
        None
    }

    fn visit(&mut self, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        let Self {
            policy,
            critic,
            dynamics,
            real,
            model_stream,
            critic_stream,
            workspace: _,
            stop: _,
            config: _,
            task: _,
        } = self;
        policy.visit("policy", entries)?;
        critic.visit(entries)?;
        dynamics.visit(entries)?;
        real.visit("real", entries, RowStorage::Growing)?;
        entries.rng("streams/model", model_stream)?;
        entries.rng("streams/critic", critic_stream)
    }
}
