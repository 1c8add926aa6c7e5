//! Analyses of the models while they learn (`analysis.every_steps`): the errors that `ddppo analyze` measures on a saved run.
//!
//! Nothing of the run is touched, and nothing of an analysis is kept: its environments are its own, and its draws are those of a stream
//! named after the step. So the run is the same with analyses and without, and a resumed run writes the same ones.

use std::time::Instant;

use super::gradient_error::{GradientErrors, ModelError, RealStates};
use crate::config::{AnalysisConfig, Config};
use crate::env::{EnvironmentError, Task};
use crate::rng::Rng;
use crate::run::metrics::Record;
use crate::session::Observer;
use crate::train::{TrainError, Trainer};

/// The analyses that a run is to have; `None` for none.
fn wanted(config: &Config) -> Option<AnalysisConfig> {
    config.section::<AnalysisConfig>("analysis").filter(|analysis| analysis.every_steps > 0)
}

/// Refuses what an analysis could not do in this task, before a run has spent hours.
///
/// # Errors
/// When the environment cannot be made, or lacks the ability to be displaced, and analyses are wanted.
pub fn check(config: &Config, task: &dyn Task) -> Result<(), EnvironmentError> {
    if wanted(config).is_none() {
        return Ok(());
    }
    let mut environment = task.make()?;
    let mut still = vec![0.0; task.observation_dim()];
    environment.reset(&mut Rng::new(config.seed(), "analysis"), &mut still);
    still.fill(0.0);
    environment.displace(&still)
}

/// What a session asks after each step.
pub struct Analyses;

impl Observer for Analyses {
    fn is_due(&self, trainer: &Trainer) -> bool {
        let due = |analysis: AnalysisConfig| trainer.step().is_multiple_of(analysis.every_steps);
        wanted(trainer.config()).is_some_and(due)
    }

    fn observe(&mut self, trainer: &Trainer, records: &mut Vec<Record>) -> Result<(), TrainError> {
        records.extend(observe(trainer)?);
        Ok(())
    }
}

/// The `analysis` record of the step that was just done; `None` where none is due, and until the models have been trained.
///
/// # Errors
/// When an environment fails.
pub fn observe(trainer: &Trainer) -> Result<Option<Record>, EnvironmentError> {
    let (config, task, step) = (trainer.config(), trainer.task(), trainer.step());
    let due = |analysis: &AnalysisConfig| step.is_multiple_of(analysis.every_steps);
    let Some(analysis) = wanted(config).filter(due) else { return Ok(None) };
    let trained = trainer.method().models().filter(|models| models.are_trained());
    let Some(models) = trained else { return Ok(None) };
    let started = Instant::now();
    let seed = Rng::new(config.seed(), &format!("analysis at {step}")).next_u64();
    let states = RealStates::meet(trainer.method().policy(), task, analysis.states, seed)?;
    let GradientErrors { regular, events } = states.errors(models, task);
    let mut record = Record::new("analysis", step);
    let count = |states: Option<usize>| states.unwrap_or(0) as u64;
    record.put_count("states", count(regular.as_ref().map(|group| group.states)));
    record.put_count("event_states", count(events.map(|group| group.states)));
    if let Some(group) = &regular {
        put(&mut record, "prediction_model", &group.prediction_model);
        if let Some(error) = &group.gradient_model {
            put(&mut record, "gradient_model", error);
        }
    }
    record.put_seconds("analysis", started.elapsed().as_secs_f64());
    Ok(Some(record))
}

fn put(record: &mut Record, model: &str, error: &ModelError) {
    record.put(&format!("{model}_prediction_error"), error.mean_prediction());
    record.put(&format!("{model}_gradient_error"), error.mean_gradient());
    record.put(&format!("{model}_relative_gradient_error"), error.relative_gradient);
    // A mean without anything to average over is left out.
    if error.cosine.iter().any(Option::is_some) {
        record.put(&format!("{model}_cosine"), error.mean_cosine());
    }
}
