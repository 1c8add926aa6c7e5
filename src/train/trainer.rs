//! The loop of SPEC section 4: act, store, learn, evaluate, one environment step at a time.

use std::sync::Arc;
use std::time::Instant;

use super::analysis;
use super::evaluation::{self, Played, evaluate};
use super::summary::{Phases, Summary, model_record, rollout_record};
use crate::config::Config;
use crate::data::Transition;
use crate::env::{Environment, EnvironmentError, Task};
use crate::methods::Learner;
use crate::policy::Actor;
use crate::rng::Rng;
use crate::run::metrics::Record;
use crate::run::snapshot::SnapshotError;

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
    pub(crate) config: Config,
    pub(crate) task: Arc<dyn Task>,
    pub(crate) learner: Learner,
    pub(crate) live: Live,
    pub(crate) step: u64,
    pub(crate) summary: Summary,
    /// Resets of the training world.
    pub(crate) resets: Rng,
    /// Random actions, and the policy's noise when acting.
    pub(crate) exploration: Rng,
    /// Resets of the evaluation worlds.
    pub(crate) evaluations: Rng,
    pub(crate) actor: Actor,
    pub(crate) action: Vec<f64>,
    pub(crate) next_observation: Vec<f64>,
    pub(crate) narrow: Narrow,
    pub(crate) phases: Phases,
    /// What the world said of the last step.
    pub(crate) warning: Option<String>,
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
    /// A run at step 0, its world reset.
    ///
    /// # Errors
    /// When the world cannot be made, or its models could not be analysed as the configuration wants it.
    pub fn new(config: Config, task: Arc<dyn Task>) -> Result<Self, TrainError> {
        analysis::check(&config, &*task)?;
        let stream = |name: &str| Rng::new(config.seed, name);
        let mut live = Live {
            environment: task.make()?,
            observation: vec![0.0; task.observation_dim()],
            length: 0,
            score: 0.0,
        };
        let mut resets = stream("environment");
        live.environment.reset(&mut resets, &mut live.observation);
        let learner = Learner::new(&config, Arc::clone(&task));
        Ok(Self {
            live,
            resets,
            exploration: stream("exploration"),
            evaluations: stream("evaluation"),
            step: 0,
            summary: Summary::default(),
            actor: Actor::new(&learner.policy),
            action: vec![0.0; task.action_dim()],
            next_observation: vec![0.0; task.observation_dim()],
            narrow: Narrow::new(&*task),
            phases: Phases::default(),
            warning: None,
            learner,
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

    /// What the world said of the last step: its physics broke, and the episode was ended.
    pub fn take_warning(&mut self) -> Option<String> {
        self.warning.take()
    }

    /// What is learned.
    pub fn learner(&self) -> &Learner {
        &self.learner
    }

    /// One environment step and all learning that follows it. Returns what is to be logged, mostly nothing.
    ///
    /// # Errors
    /// When the world refuses the step, or numbers break.
    pub fn advance(&mut self) -> Result<Vec<Record>, TrainError> {
        let started = Instant::now();
        self.act()?;
        self.step += 1;
        self.phases.environment += started.elapsed().as_secs_f64();

        let learned =
            self.learner.learn(self.step).map_err(|error| self.diverged(error.to_string()))?;
        self.phases.add(&learned);
        self.summary.policy.merge(&learned.policy);
        self.summary.critic.merge(&learned.critic);

        let mut records = Vec::new();
        if let Some(report) = &learned.models {
            records.push(model_record(self.step, self.learner.real.len(), report));
        }
        if let Some(report) = &learned.rollout {
            records.push(rollout_record(self.step, report));
        }
        if self.step.is_multiple_of(self.config.training.model_every_steps) {
            let alpha = self.learner.temperature.alpha();
            let imagines = self.config.algorithm.uses("policy.horizon");
            let phases = &mut self.phases;
            records.push(self.summary.take_record(self.step, alpha, imagines, phases));
        }
        if self.step.is_multiple_of(self.config.evaluation.every_steps) {
            records.push(self.evaluation_record()?);
        }
        if analysis::is_due(&self.config, self.step) {
            let Self { learner, task, config, step, .. } = &*self;
            records.extend(analysis::analysis_record(learner, &**task, config, *step)?);
        }
        Ok(records)
    }

    /// Acts once, stores the transition, and starts a new episode where one ended.
    fn act(&mut self) -> Result<(), TrainError> {
        let Live { environment, observation, length, score } = &mut self.live;
        let (action, next) = (&mut self.action, &mut self.next_observation);
        if self.step < self.config.training.warmup_steps {
            let ranges = self.task.action_low().iter().zip(self.task.action_high());
            for (a, (&low, &high)) in action.iter_mut().zip(ranges) {
                *a = self.exploration.uniform_in(low, high);
            }
        } else {
            let policy = &self.learner.policy;
            action.copy_from_slice(self.actor.explore(policy, observation, &mut self.exploration));
        }
        if action.iter().any(|a| !a.is_finite()) {
            return Err(self.diverged("the policy's action is not finite".to_owned()));
        }
        let step = environment.step(action, next)?;
        let finite = step.reward.is_finite() && next.iter().all(|x| x.is_finite());
        self.warning = environment.take_warning();
        let broke = self.warning.is_some();
        if !finite && !broke {
            return Err(self.diverged(
                "the environment gave an observation or reward that is not finite".to_owned(),
            ));
        }
        // A world that broke and said so ends its episode; the step that broke it is no data.
        if !broke {
            let stored = &mut self.narrow;
            narrow(&mut stored.observation, observation);
            narrow(&mut stored.action, action);
            narrow(&mut stored.next_observation, next);
            self.learner.real.push(Transition {
                observation: &stored.observation,
                action: &stored.action,
                reward: step.reward as f32,
                next_observation: &stored.next_observation,
                terminated: step.terminated,
            });
            *score += step.reward;
        }
        *length += 1;
        std::mem::swap(observation, next);
        if step.terminated || broke || *length >= self.task.time_limit() {
            self.summary.episodes += 1;
            self.summary.returns += *score;
            self.summary.lengths += *length as u64;
            (*length, *score) = (0, 0.0);
            environment.reset(&mut self.resets, observation);
        }
        Ok(())
    }

    /// Scores the present policy with the deterministic action.
    fn evaluation_record(&mut self) -> Result<Record, TrainError> {
        let started = Instant::now();
        let episodes = self.config.evaluation.episodes;
        let results = evaluate(&self.learner.policy, &*self.task, episodes, &mut self.evaluations)?;
        let mut record = evaluation::record(self.step, &results);
        record.put_seconds("evaluation", started.elapsed().as_secs_f64());
        Ok(record)
    }

    /// Runs evaluation episodes outside the run's own schedule: the run's state does not change.
    ///
    /// # Errors
    /// When a world cannot be made or refuses a step.
    pub fn evaluate(&self, episodes: usize, seed: u64) -> Result<Vec<Played>, TrainError> {
        let mut rng = Rng::new(seed, "evaluation on demand");
        Ok(evaluate(&self.learner.policy, &*self.task, episodes, &mut rng)?)
    }

    fn diverged(&self, problem: String) -> TrainError {
        TrainError::Diverged { step: self.step, problem }
    }
}
