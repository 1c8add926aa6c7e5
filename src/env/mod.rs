//! Worlds: what a task is, and what a trainer may ask of a running world.
//!
//! A [`Task`] is the fixed description (sizes, bounds, when an imagined state ends an episode) shared by all threads;
//! an [`Environment`] is one running world made from it. Implement both to train in a world of your own: see
//! `examples/custom_environment.rs`.

mod analytic;
mod builtin;
pub mod jacobian;
mod mujoco;
pub mod robot;
mod trace;
pub mod trajectory;

pub use builtin::{files, names, task};
pub use mujoco::MujocoTask;
pub use mujoco::picture::Picture;
pub use trace::{TraceError, trace, uniform_actions};

use crate::rng::Rng;

/// What one environment step gave, beside the observation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Reward of the step, in the task's own unit.
    pub reward: f64,
    /// The task's end condition holds in the state reached. A time limit is not one: the trainer counts steps.
    pub terminated: bool,
}

/// What can go wrong in a world.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// No built-in task has this name.
    #[error("there is no task `{name}`{hint}; the tasks are {known}")]
    UnknownTask {
        /// The name asked for.
        name: String,
        /// " (did you mean `X`?)" or nothing.
        hint: String,
        /// All names, separated by commas.
        known: String,
    },
    /// A model or task file cannot be used: the message names file, line and key.
    #[error("{0}")]
    Description(String),
    /// The physics engine refused or failed.
    #[error("{0}")]
    Physics(String),
    /// An optional ability that a world lacks.
    #[error("{0}")]
    Unsupported(&'static str),
    /// A saved state does not fit this world.
    #[error("the saved state has {found} numbers where task `{task}` needs {expected}")]
    State {
        /// Task name.
        task: String,
        /// Numbers found.
        found: usize,
        /// Numbers needed.
        expected: usize,
    },
}

/// A task's fixed description. Shared by all threads.
pub trait Task: Send + Sync {
    /// Name, as the user types it.
    fn name(&self) -> &str;
    /// |S|: numbers in an observation.
    fn observation_dim(&self) -> usize;
    /// |A|: numbers in an action.
    fn action_dim(&self) -> usize;
    /// Lowest action, `[action_dim]`.
    fn action_low(&self) -> &[f64];
    /// Highest action, `[action_dim]`.
    fn action_high(&self) -> &[f64];
    /// Steps after which an episode is cut (a truncation: the value of the last state still counts).
    fn time_limit(&self) -> usize;
    /// Whether an imagined observation `[observation_dim]`, reached by a learned model, ends the episode.
    /// Observations that are not finite should. Not asked where [`Task::knows_termination`] is false.
    fn terminated(&self, observation: &[f64]) -> bool;
    /// Whether [`Task::terminated`] is known: a world whose episodes end by a rule that nobody has written down for observations
    /// says false, and models learn it (`model.termination = "learned"`).
    fn knows_termination(&self) -> bool {
        true
    }
    /// The reward, in one line for people.
    fn reward_summary(&self) -> String {
        String::new()
    }
    /// Derivatives of (next observation, reward) by (observation, action) where a closed form is known: `|S| + 1` rows
    /// of `|S| + |A|` numbers, row after row.
    fn closed_form_jacobian(&self, _observation: &[f64], _action: &[f64]) -> Option<Vec<f64>> {
        None
    }
    /// Seconds that a step lasts, for films in real time.
    fn step_seconds(&self) -> Option<f64> {
        None
    }
    /// Where in the observation unit quaternions start: four numbers with three directions to move in.
    fn quaternions(&self) -> &[usize] {
        &[]
    }
    /// Makes a running world. It must be [`Environment::reset`] before its first step.
    fn make(&self) -> Result<Box<dyn Environment>, EnvironmentError>;
}

/// One running world.
pub trait Environment: Send {
    /// Starts an episode and writes the first observation `[observation_dim]`.
    fn reset(&mut self, rng: &mut Rng, observation: &mut [f64]);
    /// Acts once (`action` is `[action_dim]`, within the bounds) and writes the observation reached.
    fn step(&mut self, action: &[f64], observation: &mut [f64]) -> Result<Step, EnvironmentError>;
    /// Everything that the next step depends on, so that [`Environment::set_state`] continues bit for bit.
    fn state(&self) -> Vec<f64>;
    /// Continues from a [`Environment::state`] of the same task.
    fn set_state(&mut self, state: &[f64]) -> Result<(), EnvironmentError>;
    /// Moves the current state so that its observation changes by `displacement`, `[observation_dim]`, before any clipping;
    /// quaternions keep their length. Needed for [`jacobian::jacobians`] only.
    fn displace(&mut self, _displacement: &[f64]) -> Result<(), EnvironmentError> {
        Err(EnvironmentError::Unsupported(
            "true Jacobians need `Environment::displace`, which this world lacks",
        ))
    }
    /// Generalised positions and velocities, for worlds that have them.
    fn positions(&self) -> Option<(Vec<f64>, Vec<f64>)> {
        None
    }
    /// Draws the world as it was after its last reset or step.
    fn draw(&self, _picture: &mut Picture) -> Result<(), EnvironmentError> {
        Err(EnvironmentError::Unsupported("this world cannot be drawn: only MuJoCo tasks can"))
    }
    /// Something the user should hear of, such as physics that became unstable; told once.
    fn take_warning(&mut self) -> Option<String> {
        None
    }
}
