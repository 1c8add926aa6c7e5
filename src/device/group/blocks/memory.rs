//! What a group of `ddppo-plus` takes of its device's memory, about, from the shapes of its arrays (docs/devices.md, "Memory").

use super::budget_programs::HELD_OUT_ROWS;
use super::calls::per_call;
use super::updates::dealt_columns;
use crate::device::group::memory::{DOUBLE, INDEX, SINGLE, hidden_floats, size, stack_bytes};
use crate::device::group::transitions::table_rows;
use crate::device::programs::{FACTORS, ShortPathShape};
use crate::methods::ddppo_plus::DdppoPlusConfig;

/// Bytes at most in the two parts of a block, of which one is there at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockMemory {
    /// What is learned and the models, while updates are made: exact.
    pub kept: u64,
    /// The draws of the updates that may wait between two rollouts, and what a program keeps while it runs.
    pub updates: u64,
    /// Members, moments, best weights and transitions of a model that is trained, minibatches that may wait, and what a program keeps.
    pub training: u64,
}

impl BlockMemory {
    /// At most at a time, about.
    pub fn most(&self) -> u64 {
        (self.kept + self.updates).max(self.training)
    }

    /// Of runs of these shapes, when each has so many transitions.
    pub(super) fn of(shape: &ShortPathShape, config: &DdppoPlusConfig, transitions: usize) -> Self {
        let ShortPathShape { learner, model, horizon, gradient_model, .. } = shape;
        let (slots, members) = (learner.runs(), model.stack.networks);
        let (inputs, labels, batch) = (model.stack.sizes[0], model.labels(), learner.batch);
        let roles = 1 + u64::from(*gradient_model);
        let log_sigma = size(&[slots, members, labels], SINGLE);
        let kept = 3 * stack_bytes(&learner.policy.stack)
            + 4 * stack_bytes(&learner.critic)
            + 2 * size(&[slots, 3], DOUBLE)
            + roles * stack_bytes(&model.stack)
            + log_sigma
            + 2 * size(&[slots, inputs + labels], SINGLE);
        let dealt = dealt_columns(shape);
        let places = dealt.as_ref().map_or(0, |of| of.columns.len() * of.dealing.all());
        let draws = size(&[slots, batch * shape.draws_width() + FACTORS], SINGLE)
            + size(&[slots, places + 2], INDEX);
        // An elite's row in its place, or all rows through all members; policy and critics at each state of a path.
        let through = dealt.as_ref().map_or(members * batch, |of| of.dealing.all()) as u64;
        let of_members = hidden_floats(&model.stack) / members as u64;
        let path = *horizon as u64 * roles * through * of_members
            + (*horizon as u64 + 1)
                * batch as u64
                * (hidden_floats(&learner.policy.stack) + hidden_floats(&learner.critic));
        let waiting = config.rollout.every_updates.min(config.training.first_updates).max(1);
        let updates = draws * waiting + slots as u64 * SINGLE * path;
        let table =
            table_rows(config.run.steps, config.training.experience.replay_capacity, transitions);
        let directions = if *gradient_model { config.gradient_loss.directions_per_row } else { 0 };
        let batch = config.model.batch_size;
        let minibatch = size(&[slots, members, batch, 1 + directions], INDEX)
            + 2 * size(&[slots, members, batch], SINGLE);
        let held_out = (transitions as f64 * config.model.holdout_fraction) as usize;
        let held_out = held_out.div_ceil(HELD_OUT_ROWS) * HELD_OUT_ROWS;
        let step = (slots * members * batch * (1 + directions)) as u64 * SINGLE * of_members;
        let training = 4 * (stack_bytes(&model.stack) + log_sigma)
            + size(&[slots, table, inputs + labels], SINGLE)
            + size(&[slots, held_out, 1 + directions], INDEX)
            + minibatch * config.model.look_every as u64
            + step * per_call("an accelerator") as u64;
        Self { kept, updates, training }
    }
}
