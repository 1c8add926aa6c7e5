//! SVG(1) with experience replay: stochastic value gradients (Heess et al., 2015). The policy's gradient is taken through policy,
//! model and V at real transitions whose action and model noise are inferred, so that the model's errors do not add up; truncated
//! importance weights correct for actions of older policies (docs/decisions/076-svg.md).

mod config;
mod returns;

pub use config::{RecordedConfig, SvgConfig, SvgTraining};

use std::sync::Arc;

use super::{Method, MethodInfo, RealStep};
use crate::config::{Config, Description};
use crate::critic::{ValueNetwork, ValueReport, ValueWorkspace};
use crate::data::{Draws, Replay, RowStorage};
use crate::env::Task;
use crate::model::{LearnedModel, Models};
use crate::nn::{LearnError, Mlp, StopFlag};
use crate::path::{Objective, RecordedObjective, RecordedWorkspace, Recording};
use crate::policy::Policy;
use crate::rng::Rng;
use crate::run::{Entries, SnapshotError, Tally};
use returns::discounted_returns;

/// SVG.
pub const INFO: MethodInfo = MethodInfo {
    name: "svg",
    summary: "Stochastic value gradients: through policy, model and V at real transitions, their noise inferred.",
    description: Description::of::<SvgConfig>,
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
    variants: &[("svg-benchmark", include_str!("variants/svg_benchmark.toml"))],
    build: |config, task| Box::new(Svg::new(config, task)),
};

/// What SVG is made of.
pub struct Svg {
    /// π.
    pub policy: Policy<f32>,
    /// π_old: the policy's network at the last training of the model.
    pub old: Mlp<f32>,
    /// V and V̄.
    pub value: ValueNetwork<f32>,
    /// The one model.
    pub model: LearnedModel,
    /// Real transitions.
    pub real: Replay,
    /// How their actions were drawn.
    pub draws: Draws,
    /// u of the step that is taken in.
    pre_squash: Vec<f32>,
    /// Rows and elites of updates.
    stream: Rng,
    /// Order of the rows where V learns from returns.
    return_stream: Rng,
    /// Made at the first update, for the threads that there are then.
    workspaces: Option<(RecordedWorkspace<f32>, ValueWorkspace<f32>)>,
    /// Breaks learning off that takes long.
    stop: StopFlag,
    config: SvgConfig,
}

impl Svg {
    /// Freshly drawn networks and an empty buffer.
    pub fn new(config: &Config, task: Arc<dyn Task>) -> Self {
        let settings: SvgConfig = config.view();
        let SvgConfig { run, training, model, policy, critic, .. } = &settings;
        let (s, a) = (task.observation_dim(), task.action_dim());
        let capacity = training.experience.replay_capacity;
        let stream = |name: &str| Rng::new(run.seed, name);
        // One stream draws all weights, in this order.
        let mut weights = stream("initial weights");
        let range = (task.action_low(), task.action_high());
        let mut policy = Policy::new(s, range, policy, &mut weights);
        let value = ValueNetwork::new(s, critic, &mut weights);
        let model = LearnedModel::new("prediction", (s, a), model, run.seed, &mut weights);
        if settings.svg.least_sigma > 0.0 {
            policy.free_sigma();
        }
        Self {
            old: policy.network.clone(),
            policy,
            value,
            model,
            real: Replay::new(s, a, capacity),
            draws: Draws::new(a, capacity),
            pre_squash: vec![0.0; a],
            stream: stream("svg"),
            return_stream: stream("svg returns"),
            workspaces: None,
            stop: StopFlag::default(),
            config: settings,
        }
    }

    /// Its settings.
    pub fn config(&self) -> &SvgConfig {
        &self.config
    }

    /// Trains the model by likelihood on all real transitions; from here on, π_old is the present policy.
    fn train_model(&mut self, step: u64, tally: &mut Tally) -> Result<(), LearnError> {
        let Self { policy, old, model, real, config, .. } = self;
        let batch = config.training.experience.batch_size;
        model.train(real, &config.model, batch, step, tally)?;
        old.update(|parameters, _| parameters.copy_from_slice(policy.network.parameters()));
        Ok(())
    }

    /// Fits V to the discounted returns of the steps since the last training of the model.
    fn fit_returns(&mut self, tally: &mut Tally) -> Result<(), LearnError> {
        let Self { value, real, return_stream, stop, config, .. } = self;
        let SvgConfig { run, training, svg, .. } = &*config;
        let every = usize::try_from(training.cadence.model_every_steps).unwrap_or(usize::MAX);
        let count = every.min(real.len());
        let first = real.pushed() - count as u64;
        let returns = discounted_returns(real, count, training.experience.discount, value);
        let mut workspace = ValueWorkspace::new(value, svg.return_batch_size);
        let mut order: Vec<u32> = (0..count as u32).collect();
        for _ in 0..svg.return_epochs {
            return_stream.shuffle(&mut order);
            for rows in order.chunks(svg.return_batch_size) {
                stop.check()?;
                // Rows that a last minibatch does not have weigh nothing.
                let row = |i: usize| {
                    let at = *rows.get(i).unwrap_or(&rows[0]);
                    let state = real.get(real.row_of(first + u64::from(at))).observation;
                    (state, returns[at as usize], if i < rows.len() { 1.0 } else { 0.0 })
                };
                let report = tally.timed("critic", || value.update_towards(&mut workspace, row));
                report.check(run.guards.max_loss)?;
                tell(&report, tally);
            }
        }
        Ok(())
    }

    /// One update of V on recorded transitions and, where the model has been trained, one of the policy on the same.
    fn update(&mut self, tally: &mut Tally) -> Result<(), LearnError> {
        let Self { policy, old, value, model, real, draws, stream, workspaces, config, .. } = self;
        let (settings, max_loss) = (&config.svg, config.run.guards.max_loss);
        let (discount, cap) = (config.training.experience.discount, settings.importance_cap);
        let model = &model.model;
        let (recorded, of_value) = workspaces.get_or_insert_with(|| {
            let (horizon, batch) = (settings.horizon, settings.batch_size);
            let network = &value.network;
            let recorded = RecordedWorkspace::new(policy, model, network, horizon, batch);
            (recorded, ValueWorkspace::new(value, batch))
        });
        let recording = Recording { real, draws, window: settings.window };
        tally.timed("policy", || recorded.draw(recording, (policy, model), cap, stream));
        let (mean, truncated) = recorded.weights(cap);
        tally.mean("importance_weight", mean);
        tally.mean("importance_truncated", truncated);
        tally.mean("policy_sigma", recorded.mean_deviation());
        if settings.return_epochs == 0 {
            let row = |row: usize| {
                let (sequence, weight) = recorded.first(row);
                (real.get(real.row_of(sequence)), weight)
            };
            let report = tally.timed("critic", || value.update_one_step(of_value, discount, row));
            report.check(max_loss)?;
            tell(&report, tally);
        }
        if model.elites.is_empty() {
            return Ok(());
        }
        let objective = RecordedObjective {
            policy,
            old,
            model,
            value: &value.network,
            discount,
            divergence_weight: settings.divergence_weight,
        };
        let report = tally.timed("policy", || recorded.differentiate(&objective));
        report.check(max_loss)?;
        let least_sigma = settings.least_sigma;
        tally.timed("policy", || match least_sigma > 0.0 {
            true => policy.update_free_sigma(recorded.gradient(), least_sigma),
            false => policy.update(recorded.gradient()),
        });
        tally.mean("policy_loss", report.loss);
        tally.mean("mean_abs_adjoint", report.mean_abs_adjoint);
        tally.mean("policy_divergence", report.divergence);
        tally.count("policy_updates", 1);
        Ok(())
    }
}

fn tell(report: &ValueReport, tally: &mut Tally) {
    tally.mean("critic_loss", report.loss);
    tally.mean("state_value", report.value);
    tally.count("critic_updates", 1);
}

impl Method for Svg {
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
        let Self { policy, real, draws, pre_squash, .. } = self;
        match step.draw {
            Some(draw) => draws.push(draw.pre_squash, draw.log_density),
            None => {
                let log_density = policy.describe_uniform(step.transition.action, pre_squash);
                draws.push(pre_squash, log_density);
            }
        }
        real.store(step.transition, step.ended);
    }

    fn end_episode(&mut self) {
        self.real.end_episode();
    }

    /// Every 250 steps the model is trained and π_old renewed; after each step V is updated and, once there is a model, the policy on
    /// the same minibatch.
    fn learn(&mut self, step: u64, tally: &mut Tally) -> Result<(), LearnError> {
        let SvgConfig { training, svg, .. } = &self.config;
        let SvgTraining { experience, cadence } = training;
        if step <= experience.warmup_steps || self.real.len() < experience.batch_size {
            return Ok(());
        }
        let (steadily, at_once) = (svg.updates_per_step, svg.updates_per_training);
        if cadence.is_due(step, self.real.len()) {
            let from_returns = svg.return_epochs > 0;
            self.train_model(step, tally)?;
            if from_returns {
                self.fit_returns(tally)?;
            }
            for _ in 0..at_once {
                self.stop.check()?;
                self.update(tally)?;
            }
        }
        for _ in 0..steadily {
            self.update(tally)?;
        }
        Ok(())
    }

    fn takes_long(&self, step: u64) -> bool {
        let SvgTraining { experience, cadence, .. } = &self.config.training;
        step > experience.warmup_steps && cadence.is_due(step, self.real.len() + 1)
    }

    fn heed(&mut self, stop: &StopFlag) {
        self.model.heed(stop);
        self.stop = stop.clone();
    }

    fn gauges(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    fn models(&self) -> Option<Models<'_>> {
        Some(Models { prediction: &self.model.model, gradient: None })
    }

    /// None: SVG's objective is along recorded steps, with a critic of states.
    fn objective(&self) -> Option<Objective<'_, f32>> {
        None
    }

    fn visit(&mut self, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        let Self {
            policy,
            old,
            value,
            model,
            real,
            draws,
            pre_squash: _,
            stream,
            return_stream,
            workspaces: _,
            stop: _,
            config: _,
        } = self;
        policy.visit("policy", entries)?;
        old.visit("old_policy", entries)?;
        value.visit(entries)?;
        model.visit(entries)?;
        real.visit("real", entries, RowStorage::Growing)?;
        draws.visit("draws", real, entries)?;
        entries.rng("streams/svg", stream)?;
        entries.rng("streams/svg_returns", return_stream)
    }
}
