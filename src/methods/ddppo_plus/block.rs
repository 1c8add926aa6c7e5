//! A block, opened: what is to be done in it, and the parts that do it, wherever they are computed.

use super::DdppoPlus;
use super::buffers::Buffers;
use super::config::PlusTraining;
use crate::critic::{Critic, ValueRange};
use crate::data::{Replay, Standardiser, StateRing};
use crate::env::Task;
use crate::model::{NormalisedModel, RowDraws, SecantData, SecantTerm, Split};
use crate::path::mean_value_slopes;
use crate::policy::{Policy, Temperature};
use crate::rng::Rng;

/// What is to be done in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockPlan {
    /// Steps of each member's training.
    pub model_steps: usize,
    /// Updates of the critic alone, at its beginning.
    pub critic_updates: u64,
    /// Updates of critic, policy and temperature, after these.
    pub updates: u64,
}

/// What a block changes, and what that is made from.
pub struct BlockParts<'m> {
    /// π.
    pub policy: &'m mut Policy<f32>,
    /// Q₁ … Q_N and their targets.
    pub critic: &'m mut Critic<f32>,
    /// Where values can lie.
    pub range: &'m mut ValueRange,
    /// α.
    pub temperature: &'m mut Temperature,
    /// M^p.
    pub prediction_model: &'m mut NormalisedModel<f32>,
    /// M^g.
    pub gradient_model: Option<&'m mut NormalisedModel<f32>>,
    /// Real transitions.
    pub real: &'m Replay,
    /// States of long rollouts.
    pub states: &'m mut StateRing,
    /// Of M^p's training.
    pub prediction_stream: &'m mut Rng,
    /// Of M^g's training.
    pub gradient_stream: &'m mut Rng,
    /// Of short paths.
    pub path_stream: &'m mut Rng,
    /// Of long rollouts.
    pub rollout_stream: &'m mut Rng,
    /// Which rows are held out.
    pub split: &'m Split,
    /// How much each row counts, for M^p and for M^g.
    pub draws: [RowDraws; 2],
    /// R̃ of M^g's training.
    pub secants: Option<SecantTerm<'m, f32>>,
    /// Ends imagined episodes.
    pub task: &'m dyn Task,
}

impl DdppoPlus {
    /// Opens the block that is over with step number `step`: rows are parted, standardisers made anew, which policy and critic read through,
    /// too, and secants laid. `None` where no block is over, or there are too few rows to part, or to be each other's neighbours, as where
    /// physics broke all the time.
    pub fn begin_block(&mut self, step: u64) -> Option<BlockPlan> {
        if !self.ends_block(step) || self.real.is_empty() {
            return None;
        }
        let Self { real, gradient_model, buffers, config, .. } = self;
        let Buffers { split, draws, secants, .. } = buffers;
        split.renew(real, draws[0], config.model.holdout_fraction);
        let lacks_neighbours =
            gradient_model.is_some() && !config.gradient_loss.has_neighbours(real, split);
        if lacks_neighbours || split.training.is_empty() || split.holdout.is_empty() {
            return None;
        }
        let Self { prediction_model, policy, critic, range, .. } = self;
        prediction_model.standardise(real);
        let s = prediction_model.observation_dim();
        policy.input = Some(Standardiser {
            mean: prediction_model.inputs.mean[..s].to_vec(),
            deviation: prediction_model.inputs.deviation[..s].to_vec(),
        });
        if let Some(gradient_model) = gradient_model {
            gradient_model.inputs = prediction_model.inputs.clone();
            gradient_model.labels = prediction_model.labels.clone();
            let sizes = (s, gradient_model.action_dim());
            let secants =
                secants.get_or_insert_with(|| SecantData::new(&config.gradient_loss, sizes));
            let (half_width, discount) = (range.half_width(), config.training.experience.discount);
            secants.update(real, &gradient_model.inputs, split, || {
                mean_value_slopes(policy, critic, half_width, discount, real)
            });
        }
        let first = !self.prediction_model.trained;
        let PlusTraining { block_steps, first_updates, updates_per_step, critic_updates, .. } =
            config.training;
        Some(BlockPlan {
            model_steps: if first { config.model.first_steps } else { config.model.steps },
            critic_updates,
            updates: match first {
                true => first_updates,
                false => (block_steps as f64 * updates_per_step).round() as u64,
            },
        })
    }

    /// Between a block's training of the models and its updates: analyses see the new models, and moments begin anew.
    pub fn begin_updates(&mut self) {
        self.renew_raw_models();
        self.policy.adam.restart();
        self.critic.restart_moments();
        self.temperature.adam.restart();
    }

    /// The parts of a block that has been opened.
    pub fn block_parts(&mut self) -> BlockParts<'_> {
        let Self { policy, critic, range, temperature, prediction_model, .. } = self;
        let Self { gradient_model, real, states, streams, buffers, task, .. } = self;
        let [prediction_stream, gradient_stream, path_stream, rollout_stream] = streams;
        BlockParts {
            policy,
            critic,
            range,
            temperature,
            prediction_model,
            gradient_model: gradient_model.as_mut(),
            real,
            states,
            prediction_stream: &mut prediction_stream.1,
            gradient_stream: &mut gradient_stream.1,
            path_stream: &mut path_stream.1,
            rollout_stream: &mut rollout_stream.1,
            split: &buffers.split,
            draws: buffers.draws,
            secants: buffers.secants.as_ref().map(SecantData::term),
            task: &**task,
        }
    }
}
