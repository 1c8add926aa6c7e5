//! Branched rollouts: from real states, k steps of the current policy through the prediction model, into the critic's
//! model buffer. Terminated rows stop (docs/algorithm.md, "Imagined transitions").

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dynamics::{DynamicsModel, StepTape};
use super::termination::{Ending, EndingTape};
use crate::config::{ConfigError, require};
use crate::data::{Replay, Transition};
use crate::nn::{Keep, LearnError, Matrix, Real};
use crate::policy::{Policy, PolicyTape};
use crate::rng::Rng;
use crate::run::Record;

/// Start states that one part of work takes.
pub const ROWS_PER_PART: usize = 256;
/// Parts between two passages into the buffer: bounds the memory, and feeds many threads.
pub const PARTS_PER_WAVE: usize = 32;

/// Model rollouts that fill the critic's model buffer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RolloutConfig {
    /// Real states from which rollouts branch after each model training (100 000).
    #[schemars(range(min = 1, max = 100_000_000))]
    pub starts: usize,
    /// Rollout length k up to `first_epoch`.
    #[schemars(range(min = 1, max = 1000))]
    pub min_length: usize,
    /// Rollout length k from `last_epoch` on.
    #[schemars(range(min = 1, max = 1000))]
    pub max_length: usize,
    /// Epoch (1000 steps) at which k starts to grow.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub first_epoch: u64,
    /// Epoch at which k reaches `max_length`.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub last_epoch: u64,
    /// Model buffer rows for each step of k (400 000).
    #[schemars(range(min = 1, max = 100_000_000))]
    pub capacity_per_step: usize,
}

impl RolloutConfig {
    /// k(e) = ⌊min + clip((e − first)/(last − first), 0, 1)·(max − min)⌋ (docs/algorithm.md, "Imagined transitions").
    pub fn length_at(&self, epoch: u64) -> usize {
        let span = (self.last_epoch.saturating_sub(self.first_epoch)).max(1) as f64;
        let share = ((epoch as f64 - self.first_epoch as f64) / span).clamp(0.0, 1.0);
        (self.min_length as f64 + share * (self.max_length as f64 - self.min_length as f64)).floor()
            as usize
    }

    /// Checks the values against each other.
    ///
    /// # Errors
    /// On the first that is impossible.
    pub fn check(&self) -> Result<(), ConfigError> {
        let &Self { min_length, max_length, first_epoch, last_epoch, .. } = self;
        let expected = format!("at most `rollout.max_length` ({max_length})");
        require(min_length <= max_length, "rollout.min_length", min_length, expected)?;
        let expected = format!("at most `rollout.last_epoch` ({last_epoch})");
        require(first_epoch <= last_epoch, "rollout.first_epoch", first_epoch, expected)
    }
}

/// What the rollouts of one call came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RolloutReport {
    /// Imagined transitions stored.
    pub transitions: u64,
    /// Mean imagined reward.
    pub mean_reward: f64,
    /// Share of the imagined transitions that ended their episode.
    pub terminated: f64,
    /// Imagined transitions with a state or reward that is not finite.
    pub broken: u64,
}

impl RolloutReport {
    /// The `rollout` record of a step.
    ///
    /// # Errors
    /// When an imagined transition is not finite.
    pub fn record(&self, step: u64) -> Result<Record, LearnError> {
        let &Self { transitions, mean_reward, terminated, broken } = self;
        if broken > 0 {
            return Err(LearnError::NonFinite("the prediction model's output"));
        }
        let mut record = Record::new("rollout", step);
        record.put_count("imagined_transitions", transitions);
        record.put("imagined_reward", mean_reward);
        record.put("imagined_terminated", terminated);
        Ok(record)
    }
}

/// Buffers of one part; its imagined transitions wait in `imagined`.
struct RolloutPart<T> {
    rng: Rng,
    policy: PolicyTape<T>,
    step: StepTape<T>,
    members: Vec<u32>,
    noise: Vec<T>,
    rewards: Vec<T>,
    next: Matrix<T>,
    ending: EndingTape<T>,
    narrow: [Vec<f32>; 3],
    imagined: Replay,
}

/// Buffers of all rollouts, allocated once.
pub struct RolloutWorkspace<T> {
    parts: Vec<RolloutPart<T>>,
}

impl<T: Real> RolloutWorkspace<T> {
    /// Buffers for one policy and model, and what ends episodes in it.
    pub fn new(
        policy: &Policy<T>,
        model: &DynamicsModel<T>,
        ending: Ending<'_, T>,
        longest: usize,
    ) -> Self {
        let (s, a) = (model.observation_dim(), model.action_dim());
        let part = |_| RolloutPart {
            rng: Rng::from_word(0),
            policy: PolicyTape::new(policy, ROWS_PER_PART, Keep::Nothing),
            step: StepTape::new(model, ROWS_PER_PART, Keep::Nothing),
            members: vec![0; ROWS_PER_PART],
            noise: vec![T::ZERO; model.label_dim()],
            rewards: vec![T::ZERO; ROWS_PER_PART],
            next: Matrix::zeros(ROWS_PER_PART, s),
            ending: EndingTape::new(ending, s, ROWS_PER_PART),
            narrow: [vec![0.0; s], vec![0.0; a], vec![0.0; s]],
            imagined: Replay::new(s, a, ROWS_PER_PART * longest),
        };
        Self { parts: (0..PARTS_PER_WAVE).map(part).collect() }
    }
}

/// Rolls out `length` steps from `starts` states of `real`, drawn with replacement, into `imagined`.
#[allow(clippy::too_many_arguments)]
pub fn rollout<T: Real>(
    workspace: &mut RolloutWorkspace<T>,
    policy: &Policy<T>,
    model: &DynamicsModel<T>,
    ending: Ending<'_, T>,
    real: &Replay,
    imagined: &mut Replay,
    (starts, length): (usize, usize),
    rng: &mut Rng,
) -> RolloutReport {
    let mut report = RolloutReport::default();
    let (mut rewards, mut ends) = (0.0, 0.0);
    let wave = PARTS_PER_WAVE * ROWS_PER_PART;
    for first in (0..starts).step_by(wave) {
        let rows_of =
            |p: usize| (starts - first).saturating_sub(p * ROWS_PER_PART).min(ROWS_PER_PART);
        for part in &mut workspace.parts {
            part.rng = Rng::from_word(rng.next_u64());
        }
        workspace.parts.par_iter_mut().enumerate().for_each(|(p, part)| {
            part.run(policy, model, ending, real, rows_of(p), length);
        });
        for part in &workspace.parts {
            for row in 0..part.imagined.len() {
                let t = part.imagined.get(row);
                report.transitions += 1;
                rewards += f64::from(t.reward);
                ends += f64::from(u8::from(t.terminated));
                let finite =
                    t.reward.is_finite() && t.next_observation.iter().all(|x| x.is_finite());
                report.broken += u64::from(!finite);
                imagined.push(t);
            }
        }
    }
    report.mean_reward = rewards / report.transitions.max(1) as f64;
    report.terminated = ends / report.transitions.max(1) as f64;
    report
}

impl<T: Real> RolloutPart<T> {
    fn run(
        &mut self,
        policy: &Policy<T>,
        model: &DynamicsModel<T>,
        ending: Ending<'_, T>,
        real: &Replay,
        rows: usize,
        length: usize,
    ) {
        self.imagined.clear();
        for i in 0..rows {
            let start = real.get(self.rng.below(real.len())).observation;
            for (x, &s) in self.policy.network.input.row_mut(i).iter_mut().zip(start) {
                *x = T::from_f32(s);
            }
        }
        let mut alive = rows;
        for _ in 0..length {
            if alive == 0 {
                return;
            }
            self.rng.fill_normal(&mut self.policy.noise[..alive * policy.action_dim()]);
            policy.sample(&mut self.policy, alive);
            let members = &mut self.members[..alive];
            model.draw_elites(&mut self.rng, members);
            model.forward(
                &mut self.step,
                members,
                &self.policy.network.input,
                &self.policy.actions,
            );
            alive = self.store(policy.action_dim(), model, ending, alive);
        }
    }

    /// Samples the next states, stores the transitions, moves surviving rows up; returns how many survive.
    fn store(
        &mut self,
        action_dim: usize,
        model: &DynamicsModel<T>,
        ending: Ending<'_, T>,
        rows: usize,
    ) -> usize {
        for i in 0..rows {
            self.rng.fill_normal(&mut self.noise);
            let state = self.policy.network.input.row(i);
            let next = self.next.row_mut(i);
            self.rewards[i] = model.sample(self.step.output(i), &self.noise, state, next);
        }
        let Self { policy, ending: tape, next: next_states, .. } = self;
        let states = &policy.network.input;
        let ended = ending.evaluate(tape, rows, states, &policy.actions, next_states);
        let mut alive = 0;
        for (i, &terminated) in ended.iter().enumerate() {
            let (state, next_state) = (self.policy.network.input.row(i), self.next.row(i));
            let action = &self.policy.actions[i * action_dim..(i + 1) * action_dim];
            let [s, a, next] = &mut self.narrow;
            for (to, from) in [(s, state), (a, action), (next, next_state)] {
                to.iter_mut().zip(from).for_each(|(t, f)| *t = f.to_f32());
            }
            self.imagined.push(Transition {
                observation: &self.narrow[0],
                action: &self.narrow[1],
                reward: self.rewards[i].to_f32(),
                next_observation: &self.narrow[2],
                terminated,
            });
            if !terminated {
                self.policy.network.input.row_mut(alive).copy_from_slice(self.next.row(i));
                alive += 1;
            }
        }
        alive
    }
}
