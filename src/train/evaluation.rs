//! Scoring a policy: whole episodes of its deterministic actions, in worlds of their own.

use rayon::prelude::*;

use crate::env::{EnvironmentError, Task};
use crate::policy::{Actor, Policy};
use crate::rng::Rng;

/// One evaluation episode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Episode {
    /// Sum of rewards, undiscounted.
    pub score: f64,
    /// Steps.
    pub length: usize,
}

/// Runs `episodes` episodes, each in a world of its own with a reset stream grown from a word of `rng`, so that the
/// result does not depend on how many run at the same time.
///
/// # Errors
/// When a world cannot be made or refuses a step.
pub fn evaluate(
    policy: &Policy<f32>,
    task: &dyn Task,
    episodes: usize,
    rng: &mut Rng,
) -> Result<Vec<Episode>, EnvironmentError> {
    let words: Vec<u64> = (0..episodes).map(|_| rng.next_u64()).collect();
    words.par_iter().map(|&word| run_episode(policy, task, &mut Rng::from_word(word))).collect()
}

fn run_episode(
    policy: &Policy<f32>,
    task: &dyn Task,
    rng: &mut Rng,
) -> Result<Episode, EnvironmentError> {
    let mut environment = task.make()?;
    let mut observation = vec![0.0; task.observation_dim()];
    let mut actor = Actor::new(policy);
    environment.reset(rng, &mut observation);
    let mut episode = Episode { score: 0.0, length: 0 };
    while episode.length < task.time_limit() {
        let action = actor.best(policy, &observation);
        let step = environment.step(action, &mut observation)?;
        episode.score += step.reward;
        episode.length += 1;
        if step.terminated {
            break;
        }
    }
    Ok(episode)
}
