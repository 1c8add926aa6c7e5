//! The loop: act, store, learn, evaluate, one environment step at a time.

use std::sync::Arc;
use std::time::Instant;

use super::evaluation::{self, Played, evaluate};
use crate::config::Config;
use crate::data::Transition;
use crate::env::{Environment, EnvironmentError, Episode, Task};
use crate::methods::{self, Method, RealStep};
use crate::policy::Actor;
use crate::rng::Rng;
use crate::run::snapshot::SnapshotError;
use crate::run::{Record, Tally};

/// Steps in a row whose physics broke that end a run: nothing can be learned from them.
const MOST_UNSTABLE: u64 = Episode::HOPELESS;

/// A run that cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The world refused.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// A saved state does not fit.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
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
        "step {step}: the physics became unstable in each of the last {MOST_UNSTABLE} steps, so there is nothing to learn from: look at \
         the model's timestep, masses and actuators"
    )]
    Unstable {
        /// Environment step.
        step: u64,
    },
}

/// The episode being lived.
pub(crate) struct Live {
    pub(crate) environment: Box<dyn Environment>,
    /// The observation to act on.
    pub(crate) observation: Vec<f64>,
    /// Steps of this episode.
    pub(crate) length: usize,
    /// Rewards of this episode.
    pub(crate) score: f64,
}

/// A run: everything that changes, and the task and configuration that do not.
pub struct Trainer {
    pub(super) config: Config,
    pub(super) task: Arc<dyn Task>,
    pub(super) method: Box<dyn Method>,
    pub(super) live: Live,
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
    pub(super) next_observation: Vec<f64>,
    pub(super) narrow: Narrow,
    /// What the environment said of the last step.
    pub(super) warning: Option<String>,
    /// Steps up to now whose physics broke, without one between that did not.
    pub(super) unstable_in_a_row: u64,
}

/// A transition in the precision in which the replay buffer stores it; made once.
pub(crate) struct Narrow {
    observation: Vec<f32>,
    action: Vec<f32>,
    next_observation: Vec<f32>,
}

impl Narrow {
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

    /// [`Trainer::new`] with a method of one's own, as it is at the start of a run.
    ///
    /// # Errors
    /// When the environment cannot be made.
    pub fn with_method(
        method: Box<dyn Method>,
        config: Config,
        task: Arc<dyn Task>,
    ) -> Result<Self, TrainError> {
        let stream = |name: &str| Rng::new(config.seed(), name);
        let mut live = Live {
            environment: task.make()?,
            observation: vec![0.0; task.observation_dim()],
            length: 0,
            score: 0.0,
        };
        let mut resets = stream("environment");
        live.environment.reset(&mut resets, &mut live.observation);
        let mut tally = Tally::default();
        // Counts that every record has, if only to say 0.
        for name in ["episodes", "policy_updates", "critic_updates"] {
            tally.count(name, 0);
        }
        Ok(Self {
            live,
            resets,
            exploration: stream("exploration"),
            evaluations: stream("evaluation"),
            step: 0,
            tally,
            actor: Actor::new(method.policy()),
            action: vec![0.0; task.action_dim()],
            next_observation: vec![0.0; task.observation_dim()],
            narrow: Narrow::new(&*task),
            warning: None,
            unstable_in_a_row: 0,
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
        let started = Instant::now();
        self.act()?;
        self.step += 1;
        self.tally.add_seconds("environment", started.elapsed().as_secs_f64());
        let Self { method, tally, step, .. } = self;
        let step = *step;
        let learned = method.learn(step, tally);
        learned.map_err(|error| self.diverged(error.to_string()))?;
        self.tally.end_step();
        let mut records = self.tally.take_records();
        if step.is_multiple_of(self.method.record_every()) {
            records.push(self.tally.take_train_record(step, &self.method.gauges()));
        }
        if step.is_multiple_of(self.config.run().evaluation.every_steps) {
            records.push(self.evaluation_record()?);
        }
        Ok(records)
    }

    /// Acts once, stores the transition, and starts a new episode where one ended.
    fn act(&mut self) -> Result<(), TrainError> {
        let Live { environment, observation, length, score } = &mut self.live;
        let (action, next) = (&mut self.action, &mut self.next_observation);
        if self.step < self.method.warmup_steps() {
            let ranges = self.task.action_low().iter().zip(self.task.action_high());
            for (a, (&low, &high)) in action.iter_mut().zip(ranges) {
                *a = self.exploration.uniform_in(low, high);
            }
        } else {
            let policy = self.method.policy();
            action.copy_from_slice(self.actor.explore(policy, observation, &mut self.exploration));
        }
        if action.iter().any(|a| !a.is_finite()) {
            return Err(self.diverged("the policy's action is not finite".to_owned()));
        }
        let step = environment.step(action, next)?;
        self.warning = environment.take_warning();
        let broke = self.warning.is_some();
        *length += 1;
        let over = step.terminated || broke || *length >= self.task.time_limit();
        // An environment that broke and said so ends its episode; the step that broke it is no data.
        if broke {
            self.tally.count("unstable_steps", 1);
            self.unstable_in_a_row += 1;
            if self.unstable_in_a_row >= MOST_UNSTABLE {
                return Err(TrainError::Unstable { step: self.step });
            }
        } else {
            self.unstable_in_a_row = 0;
            let stored = &mut self.narrow;
            narrow(&mut stored.observation, observation);
            narrow(&mut stored.action, action);
            narrow(&mut stored.next_observation, next);
            let reward = step.reward as f32;
            // In the precision in which it is stored: what is finite before may not be after.
            if !reward.is_finite() || stored.next_observation.iter().any(|x| !x.is_finite()) {
                return Err(self.diverged(format!(
                    "the environment gave an observation or a reward ({:e}) that is not finite in 32 bits",
                    step.reward
                )));
            }
            let transition = Transition {
                observation: &stored.observation,
                action: &stored.action,
                reward,
                next_observation: &stored.next_observation,
                terminated: step.terminated,
            };
            self.method.store(RealStep { transition, ended: over });
            *score += step.reward;
        }
        std::mem::swap(observation, next);
        if over {
            self.tally.count("episodes", 1);
            self.tally.mean("episode_return", *score);
            self.tally.mean("episode_length", *length as f64);
            (*length, *score) = (0, 0.0);
            environment.reset(&mut self.resets, observation);
        }
        Ok(())
    }

    /// Scores the present policy with the deterministic action.
    fn evaluation_record(&mut self) -> Result<Record, TrainError> {
        let started = Instant::now();
        let episodes = self.config.run().evaluation.episodes;
        let results = evaluate(self.method.policy(), &*self.task, episodes, &mut self.evaluations)?;
        let mut record = evaluation::record(self.step, &results);
        record.put_seconds("evaluation", started.elapsed().as_secs_f64());
        Ok(record)
    }

    /// Runs evaluation episodes outside the run's own schedule: the run's state does not change.
    ///
    /// # Errors
    /// When an environment cannot be made or refuses a step.
    pub fn evaluate(&self, episodes: usize, seed: u64) -> Result<Vec<Played>, TrainError> {
        let mut rng = Rng::new(seed, "evaluation on demand");
        Ok(evaluate(self.method.policy(), &*self.task, episodes, &mut rng)?)
    }

    fn diverged(&self, problem: String) -> TrainError {
        TrainError::Diverged { step: self.step, problem }
    }
}
