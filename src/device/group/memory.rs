//! What a group takes of its device's memory, from the shapes of its arrays (docs/devices.md, "Memory").

use super::arrays::{LEAST_SLOTS, stack};
use super::dealing::Dealing;
use super::fit::ladder;
use super::fit_programs::HOLDOUT_ROWS;
use super::imagining::rollout_rows;
use super::learned::learner_shape;
use super::models::fit_shape;
use super::parts::{LearnedParts, ModelParts};
use super::recipe::{ModelRecipe, Order, Recipe};
use super::update_kind::UpdateKind;
use crate::device::pjrt::DeviceError;
use crate::device::programs::{
    DirectionsShape, FACTORS, FitShape, LearnerShape, StackShape, draws_width,
};
use crate::methods::Method;
use crate::path::GradientSource;

/// Bytes of a single and of a double number, and of an index.
pub(super) const SINGLE: u64 = 4;
pub(super) const DOUBLE: u64 = 8;
pub(super) const INDEX: u64 = 4;

/// Bytes of a group's arrays on its device, by what they are for. All but the last three are exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceMemory {
    /// Policies, critics, targets, temperatures and Adam's moments: there from beginning to end.
    pub learned: u64,
    /// Members of the models, their moments, the elites that policies are improved through and that rollouts use, and the transitions: there
    /// from the first training on.
    pub models: u64,
    /// The draws of a step's updates.
    pub draws: u64,
    /// What is there for a training alone: held-out rows, and a minibatch.
    pub training: u64,
    /// Members that are there twice in a training: those of the runs that are not over when half of them are, and the best so far where these
    /// are kept.
    pub copies: u64,
    /// What the steps of an epoch may have waiting beside the first's minibatch.
    pub queue: u64,
    /// What a program keeps while it runs, the largest of them, about: activations for the way back. The compiler decides.
    pub workspace: u64,
}

impl DeviceMemory {
    /// At most at a time, about.
    pub fn most(&self) -> u64 {
        let Self { learned, models, draws, training, copies, queue, workspace } = self;
        learned + models + workspace + (*draws).max(training + copies + queue)
    }

    /// For a group of so many runs like this one, when each has so many transitions.
    pub(super) fn of(
        recipe: &Recipe,
        method: &mut dyn Method,
        runs: usize,
        transitions: usize,
    ) -> Result<Self, DeviceError> {
        let parts = LearnedParts::of(method).filter(LearnedParts::fits).ok_or_else(|| {
            DeviceError::Unsupported("these runs have no device programs".to_owned())
        })?;
        let slots = runs.max(LEAST_SLOTS);
        let shape = learner_shape(&parts, recipe, slots);
        let LearnerShape { policy, critic, .. } = &shape;
        let learned = 3 * stack_bytes(&policy.stack)
            + 4 * stack_bytes(critic)
            + size(&shape.temperature_sizes(), DOUBLE);
        let (a, horizon) = (policy.action_dim(), horizon(recipe));
        let updates = |width: usize, count: usize| {
            slots as u64 * count as u64 * SINGLE * (shape.batch * width + FACTORS) as u64
        };
        let draws = match recipe.order {
            Order::Together(count) => updates(UpdateKind::Together.width(&shape), count),
            Order::Apart { policy, critic } => {
                let path = draws_width(shape.observation_dim(), a, horizon);
                updates(UpdateKind::Critic.width(&shape), critic).max(updates(path, policy))
            }
        };
        let mut memory = Self { learned, draws, workspace: 0, ..Self::default() };
        memory.workspace = slots as u64 * SINGLE * shape.batch as u64 * learner_floats(&shape);
        if let (Some(models), Some(of)) = (&recipe.models, &parts.models) {
            memory.add_models(&shape, recipe, (models, of), transitions);
        }
        Ok(memory)
    }

    fn add_models(
        &mut self,
        shape: &LearnerShape,
        of_method: &Recipe,
        (recipe, of): (&ModelRecipe, &ModelParts<'_>),
        transitions: usize,
    ) {
        let (model, horizon) = (&of.prediction.model, horizon(of_method));
        let (inputs, labels) = (model.shape().inputs() as u64, model.label_dim() as u64);
        let slots = shape.runs();
        let elites = stack(slots, recipe.config.elites, model.shape());
        let own = recipe.path.is_some_and(|p| p.gradient_source == GradientSource::GradientModel);
        let roles = if own { 2 } else { 1 };
        let rows = 2 * (inputs + labels) * SINGLE * slots as u64;
        // A window of fewer rows than a minibatch has is not worth a word.
        let directions = of.data.as_ref().map(|data| DirectionsShape {
            rows: transitions.min(shape.batch),
            directions: data.loss().directions,
        });
        let fit = fit_shape(of_method, recipe, model, slots, transitions);
        let fit = FitShape { directions, ..fit };
        let members = |slots: usize| {
            let stack = StackShape { runs: slots, ..fit.stack.clone() };
            let bounds = slots as u64 * size(&fit.bounds_sizes()[1..], DOUBLE);
            (3 * stack_bytes(&stack) + bounds, stack_bytes(&stack))
        };
        let trained = 1 + u64::from(of.gradient.is_some());
        let (of_table, of_row) = fit.data_sizes();
        self.models = roles * (stack_bytes(&elites) + rows);
        self.models += trained * members(slots).0 + size(&of_table, SINGLE);
        let best = |slots: usize| if recipe.config.restore_best { members(slots).1 } else { 0 };
        let smaller = ladder(slots).get(1).map_or(0, |&slots| members(slots).0 + best(slots));
        self.copies = best(slots) + smaller;
        let held_out = (transitions as f64 * recipe.config.holdout_fraction) as usize;
        let held_out = held_out.clamp(1, recipe.config.max_holdout);
        let held_rows = held_out.div_ceil(HOLDOUT_ROWS) * HOLDOUT_ROWS;
        let rows = fit.row_sizes();
        let mut minibatch =
            size(&rows.factors, SINGLE) + size(&rows.rows, INDEX) + size(&rows.shares, SINGLE);
        let mut data = 2 * size(&of_row, SINGLE) + size(&fit.seen_sizes(), DOUBLE);
        data += size(&[slots, held_rows], INDEX);
        if let Some(of) = rows.directions {
            minibatch +=
                size(&of.rows, INDEX) + size(&of.neighbours, INDEX) + size(&of.weights, SINGLE);
            data += size(&of.output_weights, SINGLE);
        }
        self.training = data + minibatch;
        let steps = transitions.saturating_sub(held_out).div_ceil(shape.batch.max(1)) as u64;
        self.queue = minibatch * steps.saturating_sub(1);
        // Forward each hidden layer's sum and output are kept; along a direction as many, and again their products on the way back.
        let hidden = hidden_floats;
        let batch = shape.batch as u64;
        // An elite runs on the rows in its places, or on all.
        let places = Dealing::of(shape.batch, elites.networks).map(|dealing| dealing.places as u64);
        let along = directions.map_or(0, |of| of.directions as u64);
        let step = fit.stack.runs as u64 * batch * hidden(&fit.stack) * (1 + 2 * along);
        let path = places.unwrap_or(batch) * horizon as u64 * roles * hidden(&elites)
            + batch * learner_floats(shape);
        let rollout = rollout_rows(of.imagined.starts()) as u64 * hidden(&elites) / 2;
        let slots = shape.runs() as u64;
        let most = step.max(slots * path).max(slots * rollout);
        self.workspace = self.workspace.max(SINGLE * most);
    }
}

fn horizon(recipe: &Recipe) -> usize {
    recipe.models.as_ref().and_then(|models| models.path).map_or(0, |path| path.horizon)
}

pub(super) fn size(sizes: &[usize], each: u64) -> u64 {
    sizes.iter().product::<usize>() as u64 * each
}

pub(super) fn stack_bytes(stack: &StackShape) -> u64 {
    stack.arrays().iter().map(|sizes| size(sizes, SINGLE)).sum()
}

/// Numbers of a row that an update of critic or policy keeps for its way back: two passes of the policy, and of the critics.
fn learner_floats(shape: &LearnerShape) -> u64 {
    2 * (hidden_floats(&shape.policy.stack) + hidden_floats(&shape.critic))
}

/// Numbers of a row that all networks of a stack keep for their way back: each hidden layer's sums and outputs.
pub(super) fn hidden_floats(stack: &StackShape) -> u64 {
    let inner = &stack.sizes[1..stack.sizes.len() - 1];
    stack.networks as u64 * 2 * inner.iter().sum::<usize>() as u64
}
