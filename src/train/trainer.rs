//! The loop: act, store, learn, evaluate, one environment step at a time.

use std::sync::Arc;
use std::time::Instant;

use crate::config::{Config, ConfigError, require};
use crate::data::Transition;
use crate::env::{EnvironmentError, Episode, Outcome, Task};
use crate::methods::{self, Method, RealStep};
use crate::nn::{LearnError, StopFlag};
use crate::policy::Actor;
use crate::rng::Rng;
use crate::run::snapshot::{Snapshot, SnapshotError};
use crate::run::{Record, Tally};

/// A run that cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The environment refused.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// A saved state does not fit.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A setting does not fit the task.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Numbers broke.
    #[error("step {step}: {problem}; the last good checkpoint is kept")]
    Diverged {
        /// Environment step.
        step: u64,
        /// What broke.
        problem: String,
    },
    /// The physics breaks all the time.
    #[error(
        "step {step}: the physics became unstable in each of the last {steps} steps, so there is nothing to learn from: look at \
         the model's timestep, masses and actuators"
    )]
    Unstable {
        /// Environment step.
        step: u64,
        /// How many steps in a row.
        steps: u64,
    },
}

/// Refuses a method that asks the task what it does not know.
fn check_termination(
    method: &dyn Method,
    config: &Config,
    task: &dyn Task,
) -> Result<(), ConfigError> {
    let Some(key) = method.given_termination().filter(|_| !task.knows_termination()) else {
        return Ok(());
    };
    let (value, instead) = match key {
        "algorithm" => (
            config.algorithm(),
            "a method that can learn which observations end an episode, such as `ddppo`",
        ),
        _ => ("given", "`learned`"),
    };
    let silent = format!("task `{}` does not say which observations end an episode", task.name());
    require(false, key, format!("`{value}`"), format!("{instead}: {silent}"))
}

/// A run: everything that changes, and the task and configuration that do not.
pub struct Trainer {
    pub(super) config: Config,
    pub(super) task: Arc<dyn Task>,
    pub(super) method: Box<dyn Method>,
    pub(super) episode: Episode,
    pub(super) step: u64,
    /// What has happened since the last `train` record.
    pub(super) tally: Tally,
    /// Resets of the training environment.
    pub(super) resets: Rng,
    /// Random actions, and the policy's noise when acting.
    pub(super) exploration: Rng,
    /// Resets of the evaluation environments.
    pub(super) evaluations: Rng,
    pub(super) actor: Actor,
    pub(super) action: Vec<f64>,
    pub(super) narrow: Narrow,
    /// What the environment said of the last step.
    pub(super) warning: Option<String>,
}

/// What came of a step that may be broken off.
#[derive(Debug)]
pub enum Advance {
    /// The step is done; what is to be logged.
    Done(Vec<Record>),
    /// Learning or the evaluation was broken off. This is the run before the step; the trainer itself has done half of it, and is good for nothing
    /// but its step number, which is that of this state.
    BrokenOff(Box<Snapshot>),
}

/// A transition in the precision in which the replay buffer stores it; made once.
pub(crate) struct Narrow {
    observation: Vec<f32>,
    action: Vec<f32>,
    next_observation: Vec<f32>,
}

impl Narrow {
    /// A step that did not break, as it is stored.
    fn transition(&mut self, action: &[f64], outcome: &Outcome<'_>) -> Transition<'_> {
        narrow(&mut self.observation, outcome.observation);
        narrow(&mut self.action, action);
        narrow(&mut self.next_observation, outcome.next_observation);
        Transition {
            observation: &self.observation,
            action: &self.action,
            reward: outcome.reward as f32,
            next_observation: &self.next_observation,
            terminated: outcome.terminated,
        }
    }

    fn new(task: &dyn Task) -> Self {
        Self {
            observation: vec![0.0; task.observation_dim()],
            action: vec![0.0; task.action_dim()],
            next_observation: vec![0.0; task.observation_dim()],
        }
    }
}

fn narrow(to: &mut [f32], from: &[f64]) {
    to.iter_mut().zip(from).for_each(|(to, &from)| *to = from as f32);
}

impl Trainer {
    /// A run at step 0, its environment reset.
    ///
    /// # Errors
    /// When the environment cannot be made.
    pub fn new(config: Config, task: Arc<dyn Task>) -> Result<Self, TrainError> {
        let method = methods::build(&config, Arc::clone(&task));
        Self::with_method(method, config, task)
    }

    /// Refuses what [`Trainer::new`] would of a method and a task, before anything is made of the run.
    ///
    /// # Errors
    /// When the method asks which observations end an episode, and the task does not say it.
    pub fn check(config: &Config, task: Arc<dyn Task>) -> Result<(), ConfigError> {
        check_termination(&*methods::build(config, Arc::clone(&task)), config, &*task)
    }

    /// [`Trainer::new`] with a method of one's own, as it is at the start of a run.
    ///
    /// # Errors
    /// When the environment cannot be made.
    pub fn with_method(
        method: Box<dyn Method>,
        config: Config,
        task: Arc<dyn Task>,
    ) -> Result<Self, TrainError> {
        check_termination(&*method, &config, &*task)?;
        let stream = |name: &str| Rng::new(config.seed(), name);
        let mut resets = stream("environment");
        let episode = Episode::begin(&*task, &mut resets)?;
        let mut tally = Tally::default();
        // Counts that every record has, if only to say 0.
        for name in ["episodes", "policy_updates", "critic_updates"] {
            tally.count(name, 0);
        }
        Ok(Self {
            episode,
            resets,
            exploration: stream("exploration"),
            evaluations: stream("evaluation"),
            step: 0,
            tally,
            actor: Actor::new(method.policy()),
            action: vec![0.0; task.action_dim()],
            narrow: Narrow::new(&*task),
            warning: None,
            method,
            config,
            task,
        })
    }

    /// Environment steps done.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The run's configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The run's task.
    pub fn task(&self) -> &dyn Task {
        &*self.task
    }

    /// What the environment said of the last step: its physics broke, and the episode was ended.
    pub fn take_warning(&mut self) -> Option<String> {
        self.warning.take()
    }

    /// What is learned.
    pub fn method(&self) -> &dyn Method {
        &*self.method
    }

    /// One environment step and all learning that follows it. Returns what is to be logged, mostly nothing.
    ///
    /// # Errors
    /// When the environment refuses the step, or numbers break.
    pub fn advance(&mut self) -> Result<Vec<Record>, TrainError> {
        self.begin_step()?;
        let step = self.step;
        let (method, tally) = self.learning();
        let learned = method.learn(step, tally);
        self.end_step(learned)
    }

    /// Whether the next step may take more than a second or two: its learning, or an evaluation.
    pub fn takes_long(&self) -> bool {
        self.method.takes_long(self.step + 1) || self.evaluates_at(self.step + 1)
    }

    /// [`Trainer::advance`], broken off where `stop` is raised during a step that [takes long](Trainer::takes_long). Such a step costs a copy
    /// of the run's state.
    ///
    /// # Errors
    /// As [`Trainer::advance`].
    pub fn advance_until(&mut self, stop: &StopFlag) -> Result<Advance, TrainError> {
        if !self.takes_long() {
            return self.advance().map(Advance::Done);
        }
        let before = Box::new(self.snapshot());
        self.begin_step()?;
        let (step, (method, tally)) = (self.step, self.learning());
        method.heed(stop);
        let records = match method.learn(step, tally) {
            Err(LearnError::BrokenOff) => None,
            learned => self.end_step_until(learned, Some(stop))?,
        };
        Ok(match records {
            Some(records) => Advance::Done(records),
            None => {
                self.step -= 1;
                Advance::BrokenOff(before)
            }
        })
    }

    /// The first part of a step, where somebody else learns in place of the method: acts, and stores what came of it.
    ///
    /// # Errors
    /// When the environment refuses the step, or numbers break.
    pub fn begin_step(&mut self) -> Result<(), TrainError> {
        let started = Instant::now();
        self.act()?;
        self.step += 1;
        self.tally.add_seconds("environment", started.elapsed().as_secs_f64());
        Ok(())
    }

    /// The second part: the method, and what it tells of its learning.
    pub fn learning(&mut self) -> (&mut dyn Method, &mut Tally) {
        (&mut *self.method, &mut self.tally)
    }

    /// The last part. Returns what is to be logged, mostly nothing.
    ///
    /// # Errors
    /// When learning failed, or the evaluation does.
    pub fn end_step(&mut self, learned: Result<(), LearnError>) -> Result<Vec<Record>, TrainError> {
        let records = self.end_step_until(learned, None)?;
        Ok(records.expect("nobody can raise the flag"))
    }

    /// [`Trainer::end_step`]; `None` where `stop` was raised during an evaluation.
    fn end_step_until(
        &mut self,
        learned: Result<(), LearnError>,
        stop: Option<&StopFlag>,
    ) -> Result<Option<Vec<Record>>, TrainError> {
        learned.map_err(|error| self.diverged(error.to_string()))?;
        let step = self.step;
        self.tally.end_step();
        let mut records = self.tally.take_records();
        if step.is_multiple_of(self.method.record_every()) {
            records.push(self.tally.take_train_record(step, &self.method.gauges()));
        }
        if self.evaluates_at(step) {
            let Some(record) = self.evaluation_record(stop)? else { return Ok(None) };
            records.push(record);
        }
        Ok(Some(records))
    }

    fn evaluates_at(&self, step: u64) -> bool {
        step.is_multiple_of(self.config.run().evaluation.every_steps)
    }

    /// Acts once, stores the transition, and starts a new episode where one ended.
    fn act(&mut self) -> Result<(), TrainError> {
        let Self {
            episode, method, action, exploration, narrow, tally, resets, step, actor, ..
        } = self;
        let random = *step < method.warmup_steps();
        if random {
            let ranges = self.task.action_low().iter().zip(self.task.action_high());
            for (a, (&low, &high)) in action.iter_mut().zip(ranges) {
                *a = exploration.uniform_in(low, high);
            }
        } else {
            let observation = episode.observation();
            action.copy_from_slice(actor.explore(method.policy(), observation, exploration));
        }
        if action.iter().any(|a| !a.is_finite()) {
            return Err(self.diverged("the policy's action is not finite".to_owned()));
        }
        let outcome = episode.step(action)?;
        let over = outcome.is_over();
        // A step that broke the physics ends its episode and is no data.
        if outcome.broke {
            method.end_episode();
            tally.count("unstable_steps", 1);
        } else {
            if !outcome.is_finite() {
                let problem = format!(
                    "the environment gave an observation or a reward ({:e}) that is not finite in 32 bits",
                    outcome.reward
                );
                return Err(self.diverged(problem));
            }
            let transition = narrow.transition(action, &outcome);
            let draw = actor.draw().filter(|_| !random);
            method.store(RealStep { transition, ended: over, draw });
        }
        self.warning = episode.take_warning();
        if episode.broken_in_a_row() >= Episode::HOPELESS {
            return Err(TrainError::Unstable { step: self.step, steps: Episode::HOPELESS });
        }
        if over {
            tally.count("episodes", 1);
            tally.mean("episode_return", episode.total_reward());
            tally.mean("episode_length", episode.length() as f64);
            episode.begin_next(resets);
        }
        Ok(())
    }

    fn diverged(&self, problem: String) -> TrainError {
        TrainError::Diverged { step: self.step, problem }
    }
}
