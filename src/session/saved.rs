//! A run as it was saved last, to look at and not to change.

use std::path::Path;

use crate::env::Task;
use crate::methods::config_of_run;
use crate::policy::Actor;
use crate::rng::Rng;
use crate::train::Trainer;

use super::SessionError;
use super::start::{store, task_of};

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
    let config = config_of_run(root)?;
    let task = task_of(root, &config)?;
    let mut store = store(root, &config);
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
    super::work::restore(config, task, loaded).map(|(trainer, _)| trainer)
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
