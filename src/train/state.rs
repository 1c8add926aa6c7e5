//! Saving and restoring a run: everything that changes, so that a resumed run continues to the bit.

use std::sync::Arc;

use super::trainer::{TrainError, Trainer};
use crate::config::Config;
use crate::env::{EpisodeState, Task};
use crate::methods::{self, Method};
use crate::run::snapshot::Snapshot;
use crate::run::{Entries, Tally};

impl Trainer {
    /// Everything that changes. Equal states give equal snapshots: no wall-clock time is in it.
    pub fn snapshot(&mut self) -> Snapshot {
        let mut snapshot = Snapshot::new();
        self.visit(&mut Entries::Save(&mut snapshot)).expect("saving meets no other state");
        snapshot
    }

    /// Continues a run from its snapshot, under the configuration and task it was made with.
    ///
    /// # Errors
    /// When an entry is missing, superfluous or of another size, or the environment cannot be made.
    pub fn restore(
        config: Config,
        task: Arc<dyn Task>,
        snapshot: Snapshot,
    ) -> Result<Self, TrainError> {
        let method = methods::build(&config, Arc::clone(&task));
        Self::restore_method(method, config, task, snapshot)
    }

    /// [`Trainer::restore`] with a method of one's own, as it is at the start of a run.
    ///
    /// # Errors
    /// As [`Trainer::restore`].
    pub fn restore_method(
        method: Box<dyn Method>,
        config: Config,
        task: Arc<dyn Task>,
        mut snapshot: Snapshot,
    ) -> Result<Self, TrainError> {
        let mut trainer = Self::with_method(method, config, task)?;
        trainer.visit(&mut Entries::Restore(&mut snapshot))?;
        snapshot.finish()?;
        Ok(trainer)
    }

    /// The evaluation environments are no part of the state: each evaluation makes its own, and only their reset stream lives on.
    fn visit(&mut self, entries: &mut Entries<'_>) -> Result<(), TrainError> {
        let Self {
            config: _,
            task: _,
            method,
            episode,
            step,
            tally,
            resets,
            exploration,
            evaluations,
            actor: _,
            action: _,
            narrow: _,
            warning: _,
        } = self;
        method.visit(entries)?;
        let mut state = episode.state();
        let EpisodeState { environment, observation, length, total_reward, broken_in_a_row } =
            &mut state;
        entries.vector("environment/state", &[], environment)?;
        let dim = [observation.len()];
        entries.array("environment/observation", &dim, observation)?;
        entries.array("environment/score", &[1], std::slice::from_mut(total_reward))?;
        entries.value("environment/length", length)?;
        entries.value("environment/broken_in_a_row", broken_in_a_row)?;
        if entries.restores() {
            episode.set_state(state)?;
        }
        entries.value("step", step)?;
        Tally::visit(tally, entries)?;
        entries.rng("streams/resets", resets)?;
        entries.rng("streams/exploration", exploration)?;
        entries.rng("streams/evaluations", evaluations)?;
        Ok(())
    }
}
