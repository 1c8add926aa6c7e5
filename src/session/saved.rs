//! A run as it was saved last, to look at and not to change.

use std::path::Path;

use crate::env::Task;
use crate::env::robot::task_of_run;
use crate::methods::config_of_run;
use crate::policy::Actor;
use crate::rng::Rng;
use crate::train::Trainer;
use anyhow::Context;

/// The run in `root` at its newest whole checkpoint, or at the one with the best evaluation.
pub fn load(root: &Path, best: bool) -> anyhow::Result<Trainer> {
    let config = config_of_run(root)?;
    let task = task_of_run(root, config.task())?;
    let mut store = super::run::store(root, &config);
    let loaded = if best { store.load_best() } else { store.load_newest() }?;
    for damage in &loaded.passed_over {
        eprintln!("warning: a checkpoint is damaged and passed over: {damage}");
    }
    Trainer::restore(config, task, loaded.snapshot)
        .with_context(|| format!("{} cannot be used", loaded.path.display()))
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
