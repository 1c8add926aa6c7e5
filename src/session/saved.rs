//! A run as it was saved last, to look at and not to change.

use std::path::Path;
use std::sync::Arc;

use crate::config::Config;
use crate::env::Task;
use crate::methods::config_of_run;
use crate::policy::Actor;
use crate::rng::Rng;
use crate::run::CheckpointStore;
use crate::train::Trainer;

use super::SessionError;
use super::start::{compare, store, task_of};

/// The run in `root` at its newest whole checkpoint, or at the one with the policy that was scored best. `warn` is told
/// what the user should know of it.
///
/// # Errors
/// When there is no run, or no state of it that can be used.
pub fn load(
    root: &Path,
    best: bool,
    warn: &mut dyn FnMut(String),
) -> Result<Trainer, SessionError> {
    load_in(root, best, task_of, warn)
}

/// [`load`], in the task that `task` gives for the run's folder and configuration.
///
/// # Errors
/// As [`load`], and those of `task`.
pub fn load_in(
    root: &Path,
    best: bool,
    task: impl FnOnce(&Path, &Config) -> Result<Arc<dyn Task>, SessionError>,
    warn: &mut dyn FnMut(String),
) -> Result<Trainer, SessionError> {
    let (config, task, mut store) = opened(root, task)?;
    let loaded = if best { store.load_best() } else { store.load_newest() }?;
    for damage in &loaded.passed_over {
        warn(format!("a checkpoint is damaged and passed over: {damage}"));
    }
    if best && loaded.info.score().is_none() {
        warn(format!(
            "no checkpoint holds a policy that was evaluated: {} is the newest",
            loaded.path.display()
        ));
    }
    compare(&loaded, &config)?;
    super::work::restore(config, task, loaded).map(|(trainer, _)| trainer)
}

/// The run in `root` at its checkpoint of step `step`.
///
/// # Errors
/// When there is no run, or no such checkpoint that can be used.
pub fn load_step(root: &Path, step: u64) -> Result<Trainer, SessionError> {
    let (config, task, mut store) = opened(root, task_of)?;
    let loaded = store.load_step(step)?;
    compare(&loaded, &config)?;
    super::work::restore(config, task, loaded).map(|(trainer, _)| trainer)
}

/// What is needed to load a run.
fn opened(
    root: &Path,
    task: impl FnOnce(&Path, &Config) -> Result<Arc<dyn Task>, SessionError>,
) -> Result<(Config, Arc<dyn Task>, CheckpointStore), SessionError> {
    let config = config_of_run(root)?;
    let task = task(root, &config)?;
    let store = store(root, &config);
    Ok((config, task, store))
}

/// How to act on an observation, with the random numbers to do it.
pub type Behaviour<'a> = Box<dyn FnMut(&[f64], &mut Rng) -> Vec<f64> + 'a>;

/// The run's deterministic policy.
pub fn trained(run: &Trainer) -> Behaviour<'_> {
    let policy = run.method().policy();
    let mut actor = Actor::new(policy);
    Box::new(move |observation, _| actor.best(policy, observation).to_vec())
}

/// Uniformly random actions.
pub fn random(task: &dyn Task) -> Behaviour<'static> {
    Box::new(crate::env::uniform_actions(task))
}
