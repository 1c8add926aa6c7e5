//! A method's policy updates: the gradient of its objective, guarded.

use std::time::Instant;

use super::objective::{Objective, PolicyReport};
use super::workspace::PolicyWorkspace;
use crate::nn::LearnError;
use crate::nn::cpu::vector::all_finite;
use crate::rng::Rng;
use crate::run::{Entries, SnapshotError, Tally};

/// The buffers of policy updates, their random stream and what limits them.
#[derive(Debug)]
pub struct PolicyUpdate {
    /// Rows of a minibatch.
    pub batch: usize,
    /// `guards.max_loss`.
    pub max_loss: f64,
    /// Start states, noise and elites.
    stream: Rng,
    /// Made at the first update, for the threads that there are then.
    workspace: Option<PolicyWorkspace<f32>>,
}

impl PolicyUpdate {
    /// Updates on minibatches of `batch` start states that draw from `stream`.
    pub fn new(batch: usize, max_loss: f64, stream: Rng) -> Self {
        Self { batch, max_loss, stream, workspace: None }
    }

    /// The objective's gradient by the policy's parameters, told to `tally`; the start state of row i is `start(i, rng)`,
    /// `[observation_dim]`. The policy takes its step with [`PolicyUpdate::gradient`].
    ///
    /// # Errors
    /// When an imagined state, the loss, an adjoint or the gradient is not finite, or the loss beyond the guard.
    pub fn run<'s>(
        &mut self,
        objective: &Objective<'_, f32>,
        start: impl Fn(usize, &mut Rng) -> &'s [f32] + Sync,
        tally: &mut Tally,
    ) -> Result<PolicyReport, LearnError> {
        let started = Instant::now();
        let Self { batch, max_loss, stream, workspace } = self;
        let workspace = workspace.get_or_insert_with(|| PolicyWorkspace::new(objective, *batch));
        workspace.draw(objective, start, stream);
        let report = workspace.differentiate(objective);
        report.check(*max_loss, || all_finite(workspace.gradient()))?;
        report.tell(objective.imagination.is_some(), tally);
        tally.add_seconds("policy", started.elapsed().as_secs_f64());
        Ok(report)
    }

    /// What its minibatches are drawn from, for a device that makes the updates.
    pub fn stream_mut(&mut self) -> &mut Rng {
        &mut self.stream
    }

    /// The gradient of the last update, laid out like the policy's parameters.
    pub fn gradient(&self) -> &[f32] {
        self.workspace.as_ref().expect("an update has run").gradient()
    }

    /// Saves or restores the stream.
    ///
    /// # Errors
    /// When it is missing.
    pub fn visit(&mut self, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        let Self { batch: _, max_loss: _, stream, workspace: _ } = self;
        entries.rng("streams/policy", stream)
    }
}
