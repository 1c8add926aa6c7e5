//! What a policy meets in an environment: stretches of real steps, begun at regular intervals.

use super::{EnvironmentError, Episode, Task};
use crate::rng::Rng;

/// A state that was met, and the action taken in it.
#[derive(Clone, Debug, PartialEq)]
pub struct VisitedState {
    /// [`super::Environment::state`] before the step.
    pub state: Vec<f64>,
    /// The observation of that state, `[observation_dim]`.
    pub observation: Vec<f64>,
    /// The action, `[action_dim]`.
    pub action: Vec<f64>,
}

/// A real step, as it was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedStep {
    /// `[action_dim]`.
    pub action: Vec<f64>,
    /// The observation that followed, `[observation_dim]`.
    pub observation: Vec<f64>,
    /// The reward, in the task's own unit.
    pub reward: f64,
}

/// Real steps from one state on.
#[derive(Clone, Debug, PartialEq)]
pub struct Trajectory {
    /// Where it began, and the first action.
    pub start: VisitedState,
    /// In order; fewer than were asked for where the episode ended before. A step that broke the physics is no step.
    pub steps: Vec<RecordedStep>,
}

/// `count` trajectories of up to `length` steps along a policy's way through an environment, one begun in every `every` steps, with
/// resets where episodes end. What the policy does there does not depend on `length`.
///
/// # Errors
/// When the environment fails.
pub fn trajectories(
    task: &dyn Task,
    (count, every, length): (usize, usize, usize),
    seed: u64,
    policy: &mut dyn FnMut(&[f64], &mut Rng) -> Vec<f64>,
) -> Result<Vec<Trajectory>, EnvironmentError> {
    let mut rng = Rng::new(seed, "jacobian points");
    let mut episode = Episode::begin(task, &mut rng)?;
    let mut all: Vec<Trajectory> = Vec::with_capacity(count);
    // All before this one are as long as they get.
    let mut open = 0;
    let mut taken = 0;
    while all.len() < count || open < count {
        let action = policy(episode.observation(), &mut rng);
        if taken % every.max(1) == 0 && all.len() < count {
            let state = episode.environment().state();
            let observation = episode.observation().to_vec();
            let start = VisitedState { state, observation, action: action.clone() };
            all.push(Trajectory { start, steps: Vec::new() });
        }
        let outcome = episode.step(&action)?;
        taken += 1;
        if !outcome.broke {
            for trajectory in &mut all[open..] {
                trajectory.steps.push(RecordedStep {
                    action: action.clone(),
                    observation: outcome.next_observation.to_vec(),
                    reward: outcome.reward,
                });
            }
        }
        if outcome.is_over() {
            episode.begin_next(&mut rng);
            open = all.len();
        }
        while all.get(open).is_some_and(|trajectory| trajectory.steps.len() >= length) {
            open += 1;
        }
    }
    Ok(all)
}

/// Points met by a policy, one in every `every` steps, with resets where episodes end.
///
/// # Errors
/// When the environment fails.
pub fn sample_points(
    task: &dyn Task,
    count: usize,
    every: usize,
    seed: u64,
    policy: &mut dyn FnMut(&[f64], &mut Rng) -> Vec<f64>,
) -> Result<Vec<VisitedState>, EnvironmentError> {
    let trajectories = trajectories(task, (count, every, 1), seed, policy)?;
    Ok(trajectories.into_iter().map(|trajectory| trajectory.start).collect())
}
