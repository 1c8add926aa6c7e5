//! What a policy meets in a world: stretches of real steps, begun at regular intervals.

use super::jacobian::Point;
use super::{EnvironmentError, Task};
use crate::rng::Rng;

/// A real step, as it was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct RealStep {
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
    pub start: Point,
    /// In order; fewer than were asked for where the episode ended before. A step that broke the physics is no step.
    pub steps: Vec<RealStep>,
}

/// `count` trajectories of up to `length` steps along a policy's way through a world, one begun in every `every` steps, with
/// resets where episodes end. What the policy does there does not depend on `length`.
///
/// # Errors
/// When the world fails.
pub fn trajectories(
    task: &dyn Task,
    (count, every, length): (usize, usize, usize),
    seed: u64,
    policy: &mut dyn FnMut(&[f64], &mut Rng) -> Vec<f64>,
) -> Result<Vec<Trajectory>, EnvironmentError> {
    let mut world = task.make()?;
    let mut rng = Rng::new(seed, "jacobian points");
    let mut observation = vec![0.0; task.observation_dim()];
    let mut all: Vec<Trajectory> = Vec::with_capacity(count);
    // All before this one are as long as they get.
    let mut open = 0;
    let (mut step, mut taken) = (0, 0);
    world.reset(&mut rng, &mut observation);
    while all.len() < count || open < count {
        let action = policy(&observation, &mut rng);
        if taken % every.max(1) == 0 && all.len() < count {
            let (state, action) = (world.state(), action.clone());
            let start = Point { state, observation: observation.clone(), action };
            all.push(Trajectory { start, steps: Vec::new() });
        }
        let outcome = world.step(&action, &mut observation)?;
        (step, taken) = (step + 1, taken + 1);
        let broke = world.take_warning().is_some();
        if !broke {
            for trajectory in &mut all[open..] {
                let (action, observation) = (action.clone(), observation.clone());
                trajectory.steps.push(RealStep { action, observation, reward: outcome.reward });
            }
        }
        if outcome.terminated || broke || step >= task.time_limit() {
            world.reset(&mut rng, &mut observation);
            step = 0;
            open = all.len();
        }
        while all.get(open).is_some_and(|trajectory| trajectory.steps.len() >= length) {
            open += 1;
        }
    }
    Ok(all)
}
