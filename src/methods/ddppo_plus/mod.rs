//! DDPPO+: a loop of few updates on short differentiable paths, as that of DHMBPO (TMLR 2025), and in it, where the settings say so, the paper's second
//! model, trained on secants. Critic and policy are updated on the same paths; these start from states of long imagined ones.

mod block;
mod buffers;
mod config;
mod learning;
mod seen;

pub use block::{BlockParts, BlockPlan};
pub use config::{DdppoPlusConfig, LongRolloutConfig, PlusCritic, PlusPolicy, PlusTraining};
pub use seen::{LOOK_EVERY, PolicyGradientSeen, UpdateSeen, models_record, rollouts_record};

use std::sync::Arc;

use super::{Method, MethodInfo, RealStep};
use crate::config::{Config, Description};
use crate::critic::{Critic, TargetRule, ValueRange};
use crate::data::{Replay, RowStorage, Standardiser, StateRing};
use crate::env::Task;
use crate::model::{DynamicsModel, Models, NormalisedModel};
use crate::nn::{Activation, LearnError, Mlp, Shape, StopFlag};
use crate::path::{DerivativeSource, EndValue, Objective, Valuation};
use crate::policy::{Head, Policy, Temperature};
use crate::rng::Rng;
use crate::run::{Entries, SnapshotError, Tally};
use buffers::Buffers;

/// DDPPO+.
pub const INFO: MethodInfo = MethodInfo {
    name: "ddppo-plus",
    summary: "Few, good updates on short imagined paths; DDPPO's second model by a variant.",
    description: Description::of::<DdppoPlusConfig>,
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
        ("gradient-model", include_str!("variants/gradient_model.toml")),
        ("value-weights", include_str!("variants/value_weights.toml")),
        ("mean-of-five", include_str!("variants/mean_of_five.toml")),
        ("kaiming", include_str!("variants/kaiming.toml")),
        ("layer-norm", include_str!("variants/layer_norm.toml")),
    ],
    build: |config, task| Box::new(DdppoPlus::new(config, task)),
};

/// What DDPPO+ is made of.
pub struct DdppoPlus {
    /// π, of standardised states.
    pub policy: Policy<f32>,
    /// Q₁ … Q_N and their targets, of standardised states, in units of the range of values.
    pub critic: Critic<f32>,
    /// Where values can lie.
    pub range: ValueRange,
    /// α.
    pub temperature: Temperature,
    /// M^p, trained by likelihood.
    pub prediction_model: NormalisedModel<f32>,
    /// M^g, trained by likelihood and secants; `None` where M^p gives the derivatives, too.
    pub gradient_model: Option<NormalisedModel<f32>>,
    /// The models in raw units, as analyses know them: made again with every training.
    raw_models: (DynamicsModel<f32>, Option<DynamicsModel<f32>>),
    /// Real transitions.
    pub real: Replay,
    /// States of long rollouts.
    pub states: StateRing,
    /// The models' rows and steps; start states, members and noise of all paths; those of long rollouts.
    streams: [(&'static str, Rng); 4],
    buffers: Buffers,
    config: DdppoPlusConfig,
    /// The task.
    pub task: Arc<dyn Task>,
}

/// ε of the critics' layer normalisation.
const CRITIC_EPSILON: f64 = 1e-5;

/// Sizes of a network of `layers` hidden layers.
fn shape(inputs: usize, (hidden, layers): (usize, usize), outputs: usize) -> Shape {
    let mut sizes = vec![inputs];
    sizes.extend(std::iter::repeat_n(hidden, layers));
    sizes.push(outputs);
    Shape::new(&sizes, Activation::Silu)
}

/// The models as analyses know them.
fn in_raw_units(
    prediction: &NormalisedModel<f32>,
    gradient: Option<&NormalisedModel<f32>>,
) -> (DynamicsModel<f32>, Option<DynamicsModel<f32>>) {
    (prediction.in_raw_units(), gradient.map(NormalisedModel::in_raw_units))
}

impl DdppoPlus {
    /// Freshly drawn networks and empty buffers.
    pub fn new(config: &Config, task: Arc<dyn Task>) -> Self {
        let settings: DdppoPlusConfig = config.view();
        let DdppoPlusConfig { run, training, model, rollout, policy, critic, .. } = &settings;
        let (s, a) = (task.observation_dim(), task.action_dim());
        let stream = |name: &str| Rng::new(run.seed, name);
        // One stream draws all weights, in this order.
        let mut weights = stream("initial weights");
        let network =
            Mlp::orthogonal(shape(s, (policy.hidden, policy.layers), 2 * a), &mut weights);
        let range = (task.action_low(), task.action_high());
        let (rate, clip) = (policy.learning_rate, policy.gradient_clip);
        let mut pi = Policy::from_network(network, range, Head::Softplus, rate, clip);
        pi.normalise_density();
        pi.input = Some(Standardiser::identity(s));
        let networks = (0..critic.members).map(|_| {
            let shape = shape(s + a, (critic.hidden, critic.layers), 1);
            let mut network = critic.initial_weights.draw(shape, &mut weights);
            network.update(|parameters, shape| {
                let last = &shape.layers[critic.layers];
                parameters[last.weight.clone()].fill(0.0);
                parameters[last.bias.clone()].fill(0.0);
            });
            if critic.layer_norm { network.with_layer_norm(|_| CRITIC_EPSILON) } else { network }
        });
        let (rate, clip) = (critic.learning_rate, critic.gradient_clip);
        let q = Critic::from_networks(networks, rate, clip, TargetRule::Polyak(critic.target_rate));
        let mut learned = || NormalisedModel::of_config((s, a), model, &mut weights);
        let prediction_model = learned();
        let two = policy.path.gradient_source == DerivativeSource::Gradient;
        let gradient_model = two.then(learned);
        Self {
            policy: pi,
            critic: q,
            range: ValueRange::default(),
            temperature: Temperature::new(&settings.temperature, a),
            raw_models: in_raw_units(&prediction_model, gradient_model.as_ref()),
            prediction_model,
            gradient_model,
            real: Replay::new(s, a, training.experience.replay_capacity),
            states: StateRing::new(s, rollout.capacity),
            streams: ["prediction_model", "gradient_model", "paths", "rollout"]
                .map(|name| (name, stream(name))),
            buffers: Buffers::new(run.seed),
            config: settings,
            task,
        }
    }

    /// Makes the models in raw units anew.
    fn renew_raw_models(&mut self) {
        self.raw_models = in_raw_units(&self.prediction_model, self.gradient_model.as_ref());
    }

    /// Whether a block of environment steps is over with this one. The random first steps are a block.
    fn ends_block(&self, step: u64) -> bool {
        let PlusTraining { experience, block_steps, .. } = &self.config.training;
        let since = step.checked_sub(experience.warmup_steps.max(1));
        since.is_some_and(|since| since.is_multiple_of(*block_steps))
    }

    /// Its settings.
    pub fn config(&self) -> &DdppoPlusConfig {
        &self.config
    }
}

impl Method for DdppoPlus {
    fn policy(&self) -> &Policy<f32> {
        &self.policy
    }

    fn warmup_steps(&self) -> u64 {
        self.config.training.experience.warmup_steps
    }

    fn record_every(&self) -> u64 {
        self.config.training.block_steps
    }

    fn store(&mut self, step: RealStep<'_>) {
        self.real.store(step.transition, step.ended);
    }

    /// When a block of environment steps is over: both models are trained, then the critic alone is updated, then critic and policy
    /// together, on fresh moments. The random first steps are the first block.
    fn learn(&mut self, step: u64, tally: &mut Tally) -> Result<(), LearnError> {
        let Some(block) = self.begin_block(step) else { return Ok(()) };
        self.train_models(step, block.model_steps, tally)?;
        self.begin_updates();
        let alone = block.critic_updates;
        let (mut states, mut rollouts) = (0, 0);
        for update in 0..alone + block.updates {
            self.buffers.stop.check()?;
            if update.is_multiple_of(self.config.rollout.every_updates) {
                states += self.roll_out(tally)?;
                rollouts += 1;
            }
            self.update(update.checked_sub(alone), tally)?;
        }
        tally.record(rollouts_record(step, rollouts, self.config.rollout.starts, states));
        Ok(())
    }

    fn takes_long(&self, step: u64) -> bool {
        self.ends_block(step)
    }

    fn heed(&mut self, stop: &StopFlag) {
        self.buffers.stop = stop.clone();
    }

    fn gauges(&self) -> Vec<(&'static str, f64)> {
        let ValueRange { low, high, .. } = self.range;
        vec![("alpha", self.temperature.alpha()), ("q_low", low), ("q_high", high)]
    }

    fn models(&self) -> Option<Models<'_>> {
        let (prediction, gradient) = &self.raw_models;
        Some(Models { prediction, gradient: gradient.as_ref() })
    }

    fn given_termination(&self) -> Option<&'static str> {
        Some("algorithm")
    }

    /// None in this form: states are standardised, and the policy is improved on the mean of the critics.
    fn objective(&self) -> Option<Objective<'_, f32>> {
        None
    }

    fn valuation(&self) -> Option<Valuation<'_, f32>> {
        let Self { policy, critic, range, temperature, config, .. } = self;
        let end = EndValue::Mean { centre: range.centre(), half_width: range.half_width() };
        let (alpha, discount) = (temperature.alpha(), config.training.experience.discount);
        let horizon = config.policy.path.horizon;
        let trained = self.prediction_model.trained;
        trained.then_some(Valuation { policy, critic, end, alpha, discount, horizon })
    }

    fn visit(&mut self, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        let Self {
            policy,
            critic,
            range,
            temperature,
            prediction_model,
            gradient_model,
            raw_models: _,
            real,
            states,
            streams,
            buffers: _,
            config: _,
            task: _,
        } = self;
        policy.visit("policy", entries)?;
        critic.visit(entries)?;
        range.visit(entries)?;
        temperature.visit(entries)?;
        prediction_model.visit("prediction_model", entries)?;
        if let Some(model) = gradient_model {
            model.visit("gradient_model", entries)?;
        }
        real.visit("real", entries, RowStorage::Growing)?;
        states.visit("states", entries)?;
        for (name, stream) in streams {
            entries.rng(&format!("streams/{name}"), stream)?;
        }
        if entries.restores() {
            self.renew_raw_models();
        }
        Ok(())
    }
}
