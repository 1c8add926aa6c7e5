//! A run's own policy scored, on its schedule or on demand.

use std::time::Instant;

use super::evaluation::{self, Acting, Played, evaluate};
use super::trainer::{TrainError, Trainer};
use crate::nn::StopFlag;
use crate::rng::Rng;
use crate::run::Record;

impl Trainer {
    /// Scores the present policy with the deterministic action; `None` where `stop` was raised meanwhile.
    pub(super) fn evaluation_record(
        &mut self,
        stop: Option<&StopFlag>,
    ) -> Result<Option<Record>, TrainError> {
        let started = Instant::now();
        let episodes = self.config.run().evaluation.episodes;
        let (policy, rng) = (self.method.policy(), &mut self.evaluations);
        let stop = stop.cloned().unwrap_or_default();
        let played = evaluate(policy, &*self.task, Acting::Best, episodes, rng, &stop)?;
        Ok(played.map(|played| {
            let mut record = evaluation::record(self.step, &played);
            record.put_seconds("evaluation", started.elapsed().as_secs_f64());
            record
        }))
    }

    /// Runs evaluation episodes outside the run's own schedule: the run's state does not change.
    ///
    /// # Errors
    /// When an environment cannot be made or refuses a step.
    pub fn evaluate(&self, episodes: usize, seed: u64) -> Result<Vec<Played>, TrainError> {
        self.evaluate_acting(Acting::Best, episodes, seed)
    }

    /// [`Trainer::evaluate`] with a policy that may explore. Equal seeds begin equal episodes, however it acts.
    ///
    /// # Errors
    /// As [`Trainer::evaluate`].
    pub fn evaluate_acting(
        &self,
        acting: Acting,
        episodes: usize,
        seed: u64,
    ) -> Result<Vec<Played>, TrainError> {
        let (rng, stop) = (&mut Rng::new(seed, "evaluation on demand"), StopFlag::default());
        let played = evaluate(self.method.policy(), &*self.task, acting, episodes, rng, &stop)?;
        Ok(played.expect("nobody can raise the flag"))
    }
}
