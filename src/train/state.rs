//! Saving and restoring a run: everything that changes, so that a resumed run continues to the bit.

use std::sync::Arc;

use super::trainer::{Live, TrainError, Trainer};
use crate::config::Config;
use crate::env::Task;
use crate::methods::saved::{put_rng, take_rng};
use crate::run::snapshot::{Snapshot, SnapshotError};

impl Trainer {
    /// Everything that changes. Equal states give equal snapshots: no wall-clock time is in it.
    ///
    /// The evaluation worlds are not: each evaluation makes its own, and only their reset stream lives on.
    pub fn snapshot(&self) -> Snapshot {
        let Self {
            config: _,
            task: _,
            learner,
            live,
            step,
            summary,
            resets,
            exploration,
            evaluations,
            actor: _,
            action: _,
            next_observation: _,
            narrow: _,
            phases: _,
            warning: _,
        } = self;
        let mut snapshot = Snapshot::new();
        learner.save(&mut snapshot);
        let Live { environment, observation, length, score } = live;
        let state = environment.state();
        snapshot.put("environment/state", &[state.len()], state);
        snapshot.put("environment/observation", &[observation.len()], observation.clone());
        snapshot.put("environment/score", &[1], vec![*score]);
        snapshot.put_value("environment/length", *length as u64);
        snapshot.put_value("step", *step);
        snapshot.put_structure("summary", summary);
        put_rng(&mut snapshot, "streams/resets", resets);
        put_rng(&mut snapshot, "streams/exploration", exploration);
        put_rng(&mut snapshot, "streams/evaluations", evaluations);
        snapshot
    }

    /// Continues a run from its snapshot, under the configuration and task it was made with.
    ///
    /// # Errors
    /// When an entry is missing, superfluous or of another size, or the world cannot be made.
    pub fn restore(
        config: Config,
        task: Arc<dyn Task>,
        mut snapshot: Snapshot,
    ) -> Result<Self, TrainError> {
        let mut trainer = Self::new(config, task)?;
        let snapshot = &mut snapshot;
        trainer.learner.restore(snapshot)?;
        let state: Vec<f64> = snapshot.take_any("environment/state", &[])?;
        trainer.live.environment.set_state(&state)?;
        let dim = trainer.live.observation.len();
        trainer.live.observation = snapshot.take_f64("environment/observation", &[dim])?;
        [trainer.live.score] = snapshot.take_array::<f64, 1>("environment/score")?;
        let length: u64 = snapshot.take_value("environment/length")?;
        trainer.live.length = usize::try_from(length)
            .map_err(|_| SnapshotError::invalid("environment/length", "a number of steps"))?;
        trainer.step = snapshot.take_value("step")?;
        trainer.summary = snapshot.take_value("summary")?;
        trainer.resets = take_rng(snapshot, "streams/resets")?;
        trainer.exploration = take_rng(snapshot, "streams/exploration")?;
        trainer.evaluations = take_rng(snapshot, "streams/evaluations")?;
        std::mem::take(snapshot).finish()?;
        Ok(trainer)
    }
}
