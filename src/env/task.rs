//! What a task is, and what may be asked of a running environment.

use super::picture::Frame;
use crate::rng::Rng;
use crate::run::text::printable;

/// What one environment step gave, beside the observation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Reward of the step, in the task's own unit.
    pub reward: f64,
    /// The task's end condition holds in the state reached. A time limit is none: [`super::Episode`] counts steps.
    pub terminated: bool,
}

/// What can go wrong in an environment.
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
    /// An action is not finite: the policy that chose it has broken numbers.
    #[error(
        "task {task}: action {index} is {value}, which is not finite: the policy has broken numbers"
    )]
    Action {
        /// Task name.
        task: String,
        /// Index of the first such number, from 0.
        index: usize,
        /// The number.
        value: f64,
    },
    /// An optional ability that an environment lacks.
    #[error("{0}")]
    Unsupported(&'static str),
    /// A saved state does not fit this environment.
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

impl EnvironmentError {
    /// A [`EnvironmentError::Description`] whose message may quote what a file says: it is made fit to be printed.
    pub fn description(message: &str) -> Self {
        Self::Description(printable(message))
    }
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
    /// [`Task::terminated`] of many at once: `observations` is `[ended.len(), observation_dim]`. For a task that answers a batch in hardly
    /// more time than a single one.
    fn terminated_rows(&self, observations: &[f64], ended: &mut [bool]) {
        let rows = observations.chunks_exact(self.observation_dim());
        ended.iter_mut().zip(rows).for_each(|(ended, row)| *ended = self.terminated(row));
    }
    /// Whether [`Task::terminated`] is known: an environment whose episodes end by a rule that nobody has written down for observations
    /// says false, and models learn it (`model.termination = "learned"`).
    fn knows_termination(&self) -> bool {
        true
    }
    /// [`Task::terminated`] as ranges: an imagined observation ends the episode where one of its numbers lies outside its range, bounds
    /// included, `[observation_dim]`. `None` where it is another rule; a device can only compute ranges.
    fn healthy_ranges(&self) -> Option<Vec<(f32, f32)>> {
        None
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
    /// What the user should hear before training, a sentence each: a start state outside its own healthy range, for one.
    fn warnings(&self) -> &[String] {
        &[]
    }
    /// Makes a running environment. It must be [`Environment::reset`] before its first step.
    fn make(&self) -> Result<Box<dyn Environment>, EnvironmentError>;
}

/// One running environment. [`super::Episode`] runs it.
pub trait Environment: Send {
    /// Starts an episode and writes the first observation `[observation_dim]`.
    fn reset(&mut self, rng: &mut Rng, observation: &mut [f64]);
    /// Acts once (`action` is `[action_dim]`, within the bounds) and writes the observation reached.
    fn step(&mut self, action: &[f64], observation: &mut [f64]) -> Result<Step, EnvironmentError>;
    /// Whether the environment itself cut the episode at the last step, for no end of the task's: a truncation beside that of
    /// [`Task::time_limit`]. The value of the state reached still counts.
    fn is_cut(&self) -> bool {
        false
    }
    /// Everything that the next step depends on, so that [`Environment::set_state`] continues bit for bit.
    fn state(&self) -> Vec<f64>;
    /// Continues from a [`Environment::state`] of the same task.
    fn set_state(&mut self, state: &[f64]) -> Result<(), EnvironmentError>;
    /// Moves the current state so that its observation changes by `displacement`, `[observation_dim]`, before any clipping;
    /// quaternions keep their length. Needed for [`jacobian::jacobians`] only.
    fn displace(&mut self, _displacement: &[f64]) -> Result<(), EnvironmentError> {
        Err(EnvironmentError::Unsupported(
            "true Jacobians need `Environment::displace`, which this environment lacks",
        ))
    }
    /// Generalised positions and velocities, for environments that have them.
    fn positions(&self) -> Option<(Vec<f64>, Vec<f64>)> {
        None
    }
    /// Draws the environment as it was after its last reset or step, seen by the camera of this name, or the one that it
    /// chooses itself.
    fn draw(&self, _camera: Option<&str>, _picture: &mut Frame) -> Result<(), EnvironmentError> {
        Err(EnvironmentError::Unsupported("this task cannot be drawn: only MuJoCo tasks can"))
    }
    /// The physics broke in the last step, in a sentence for the user; told once. The step is no data then, and the
    /// episode is over.
    fn take_warning(&mut self) -> Option<String> {
        None
    }
}
