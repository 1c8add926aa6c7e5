//! The loop that runs an environment: act, see what happened, begin again where an episode ended. Training, evaluation,
//! traces, films and analyses all go through it.

use super::{Environment, EnvironmentError, Task};
use crate::rng::Rng;

/// A running environment with its present observation, and what the episode has come to so far.
///
/// ```
/// use ddppo::env::{Episode, task, uniform_actions};
/// use ddppo::rng::Rng;
///
/// let task = task("PointMass")?;
/// let (mut resets, mut draws) = (Rng::new(0, "resets"), Rng::new(0, "draws"));
/// let mut act = uniform_actions(&*task);
/// let mut episode = Episode::begin(&*task, &mut resets)?;
/// for _ in 0..500 {
///     let action = act(episode.observation(), &mut draws);
///     if episode.step(&action)?.is_over() {
///         episode.begin_next(&mut resets);
///     }
/// }
/// # Ok::<(), ddppo::env::EnvironmentError>(())
/// ```
pub struct Episode {
    environment: Box<dyn Environment>,
    task_name: String,
    time_limit: usize,
    /// The observation to act on.
    observation: Vec<f64>,
    /// The one before it.
    previous: Vec<f64>,
    length: usize,
    total_reward: f64,
    /// Steps in a row that broke the physics, over all episodes.
    broken_in_a_row: u64,
    /// What the last step, if it broke, said of it.
    warning: Option<String>,
}

/// What one step gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome<'a> {
    /// The observation that was acted on, `[observation_dim]`.
    pub observation: &'a [f64],
    /// The observation reached, `[observation_dim]`; that before the step where the step broke.
    pub next_observation: &'a [f64],
    /// In the task's own unit.
    pub reward: f64,
    /// The task's end condition holds in the state reached: nothing more is to be earned from it.
    pub terminated: bool,
    /// The time limit is reached, or the environment cut the episode. The state keeps its value: the episode is cut, not ended.
    pub truncated: bool,
    /// The physics broke. The step is no data: neither its reward nor the observation says anything.
    pub broke: bool,
}

impl Outcome<'_> {
    /// Whether the next episode must begin.
    pub fn is_over(&self) -> bool {
        self.terminated || self.truncated || self.broke
    }

    /// Whether the reward and the observation reached are finite in single precision, in which transitions are stored.
    pub fn is_finite(&self) -> bool {
        let finite = |x: f64| (x as f32).is_finite();
        finite(self.reward) && self.next_observation.iter().all(|&x| finite(x))
    }
}

/// An [`Episode`] at one moment, for a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct EpisodeState {
    /// [`Environment::state`].
    pub environment: Vec<f64>,
    /// The observation to act on, `[observation_dim]`.
    pub observation: Vec<f64>,
    /// Steps so far.
    pub length: usize,
    /// Sum of the rewards so far.
    pub total_reward: f64,
    /// Steps in a row, up to now, that broke the physics.
    pub broken_in_a_row: u64,
}

impl Episode {
    /// Makes an environment of the task and begins its first episode with draws of `resets`.
    ///
    /// # Errors
    /// When the environment cannot be made.
    pub fn begin(task: &dyn Task, resets: &mut Rng) -> Result<Self, EnvironmentError> {
        let mut episode = Self {
            environment: task.make()?,
            task_name: task.name().to_owned(),
            time_limit: task.time_limit(),
            observation: vec![0.0; task.observation_dim()],
            previous: vec![0.0; task.observation_dim()],
            length: 0,
            total_reward: 0.0,
            broken_in_a_row: 0,
            warning: None,
        };
        episode.begin_next(resets);
        Ok(episode)
    }

    /// Resets the environment with draws of `resets`.
    pub fn begin_next(&mut self, resets: &mut Rng) {
        (self.length, self.total_reward) = (0, 0.0);
        self.environment.reset(resets, &mut self.observation);
    }

    /// Acts once; `action` is `[action_dim]`. After an outcome that [`Outcome::is_over`], the next episode must begin.
    /// A step that broke counts, its reward does not.
    ///
    /// # Errors
    /// When the action is not finite, or the environment refuses the step.
    pub fn step(&mut self, action: &[f64]) -> Result<Outcome<'_>, EnvironmentError> {
        if let Some((index, &value)) = action.iter().enumerate().find(|(_, a)| !a.is_finite()) {
            return Err(EnvironmentError::Action { task: self.task_name.clone(), index, value });
        }
        let step = self.environment.step(action, &mut self.previous)?;
        std::mem::swap(&mut self.observation, &mut self.previous);
        self.warning = self.environment.take_warning();
        let broke = self.warning.is_some();
        self.length += 1;
        if broke {
            self.broken_in_a_row += 1;
        } else {
            self.broken_in_a_row = 0;
            self.total_reward += step.reward;
        }
        Ok(Outcome {
            observation: &self.previous,
            next_observation: &self.observation,
            reward: step.reward,
            terminated: step.terminated && !broke,
            truncated: self.length >= self.time_limit || self.environment.is_cut(),
            broke,
        })
    }

    /// The observation to act on, `[observation_dim]`.
    pub fn observation(&self) -> &[f64] {
        &self.observation
    }

    /// Steps of this episode.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Sum of this episode's rewards, undiscounted.
    pub fn total_reward(&self) -> f64 {
        self.total_reward
    }

    /// Steps in a row, up to the last one, that broke the physics. A robot with which no step goes well cannot be
    /// trained: see [`Episode::HOPELESS`].
    pub fn broken_in_a_row(&self) -> u64 {
        self.broken_in_a_row
    }

    /// So many broken steps in a row are no bad luck of a reset.
    pub const HOPELESS: u64 = 100;

    /// What the last step said of the physics, if it broke them; told once.
    pub fn take_warning(&mut self) -> Option<String> {
        self.warning.take()
    }

    /// The environment, to look at.
    pub fn environment(&self) -> &dyn Environment {
        &*self.environment
    }

    /// Everything that the next step depends on, and what the episode has come to.
    pub fn state(&self) -> EpisodeState {
        EpisodeState {
            environment: self.environment.state(),
            observation: self.observation.clone(),
            length: self.length,
            total_reward: self.total_reward,
            broken_in_a_row: self.broken_in_a_row,
        }
    }

    /// Continues from a state of the same task, bit for bit.
    ///
    /// # Errors
    /// When the state is not one of this task.
    pub fn set_state(&mut self, state: EpisodeState) -> Result<(), EnvironmentError> {
        if state.observation.len() != self.observation.len() {
            return Err(EnvironmentError::State {
                task: self.task_name.clone(),
                found: state.observation.len(),
                expected: self.observation.len(),
            });
        }
        self.environment.set_state(&state.environment)?;
        self.observation = state.observation;
        (self.length, self.total_reward) = (state.length, state.total_reward);
        self.broken_in_a_row = state.broken_in_a_row;
        self.warning = None;
        Ok(())
    }
}
