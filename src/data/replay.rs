//! Transitions, column by column. One type serves the real transitions and the imagined ones.

use crate::machine::isa::{LINE, prefetch};

/// A ring of transitions (s, a, r, s', d); the oldest gives way once `capacity` is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Replay {
    observation_dim: usize,
    action_dim: usize,
    capacity: usize,
    /// Transitions ever pushed.
    pushed: u64,
    observations: Vec<f32>,
    actions: Vec<f32>,
    rewards: Vec<f32>,
    next_observations: Vec<f32>,
    terminated: Vec<u8>,
}

/// One transition of a [`Replay`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transition<'a> {
    /// s, `[observation_dim]`.
    pub observation: &'a [f32],
    /// a, `[action_dim]`.
    pub action: &'a [f32],
    /// r.
    pub reward: f32,
    /// s', `[observation_dim]`.
    pub next_observation: &'a [f32],
    /// d: the episode's end condition held in s'. A time limit does not set it.
    pub terminated: bool,
}

/// The columns of a [`Replay`] in storage order, for saving and loading.
#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    /// `[rows, observation_dim]`.
    pub observations: Vec<f32>,
    /// `[rows, action_dim]`.
    pub actions: Vec<f32>,
    /// `[rows]`.
    pub rewards: Vec<f32>,
    /// `[rows, observation_dim]`.
    pub next_observations: Vec<f32>,
    /// `[rows]`, 0 or 1.
    pub terminated: Vec<u8>,
    /// Transitions ever pushed.
    pub pushed: u64,
}

impl Replay {
    /// An empty ring. Memory grows with what is pushed, up to `capacity` rows.
    pub fn new(observation_dim: usize, action_dim: usize, capacity: usize) -> Self {
        assert!(capacity > 0, "a replay buffer holds at least one transition");
        Self {
            observation_dim,
            action_dim,
            capacity,
            pushed: 0,
            observations: Vec::new(),
            actions: Vec::new(),
            rewards: Vec::new(),
            next_observations: Vec::new(),
            terminated: Vec::new(),
        }
    }

    /// Transitions held.
    pub fn len(&self) -> usize {
        self.rewards.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.rewards.is_empty()
    }

    /// Transitions ever pushed; those beyond [`Replay::len`] are gone.
    pub fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Largest number of transitions held.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Row of the transition pushed as number `sequence` (from 0). It must still be held.
    pub fn row_of(&self, sequence: u64) -> usize {
        debug_assert!(sequence < self.pushed && self.pushed - sequence <= self.len() as u64);
        (sequence % self.capacity as u64) as usize
    }

    /// Adds one transition.
    pub fn push(&mut self, t: Transition<'_>) {
        assert_eq!((t.observation.len(), t.action.len()), (self.observation_dim, self.action_dim));
        if self.len() < self.capacity {
            self.observations.extend_from_slice(t.observation);
            self.actions.extend_from_slice(t.action);
            self.rewards.push(t.reward);
            self.next_observations.extend_from_slice(t.next_observation);
            self.terminated.push(u8::from(t.terminated));
        } else {
            let row = (self.pushed % self.capacity as u64) as usize;
            let (s, a) = (self.observation_dim, self.action_dim);
            self.observations[row * s..][..s].copy_from_slice(t.observation);
            self.actions[row * a..][..a].copy_from_slice(t.action);
            self.rewards[row] = t.reward;
            self.next_observations[row * s..][..s].copy_from_slice(t.next_observation);
            self.terminated[row] = u8::from(t.terminated);
        }
        self.pushed += 1;
    }

    /// The transition in a row.
    #[inline]
    pub fn get(&self, row: usize) -> Transition<'_> {
        Transition {
            observation: self.observation(row),
            action: self.action(row),
            reward: self.rewards[row],
            next_observation: self.next_observation(row),
            terminated: self.terminated[row] != 0,
        }
    }

    /// s of a row, `[observation_dim]`.
    #[inline]
    fn observation(&self, row: usize) -> &[f32] {
        &self.observations[row * self.observation_dim..][..self.observation_dim]
    }

    /// a of a row, `[action_dim]`.
    #[inline]
    fn action(&self, row: usize) -> &[f32] {
        &self.actions[row * self.action_dim..][..self.action_dim]
    }

    /// s' of a row, `[observation_dim]`.
    #[inline]
    fn next_observation(&self, row: usize) -> &[f32] {
        &self.next_observations[row * self.observation_dim..][..self.observation_dim]
    }

    /// Asks for the memory of a row that will be read soon.
    #[inline]
    pub fn prefetch(&self, row: usize) {
        for numbers in [self.observation(row), self.action(row), self.next_observation(row)] {
            numbers.chunks(LINE).for_each(prefetch);
            // Rows begin anywhere in a line and may end in one more.
            prefetch(&numbers[numbers.len() - 1..]);
        }
        prefetch(&self.rewards[row..]);
        prefetch(&self.terminated[row..]);
    }

    /// Forgets everything, keeping the memory.
    pub fn clear(&mut self) {
        self.pushed = 0;
        self.observations.clear();
        self.actions.clear();
        self.rewards.clear();
        self.next_observations.clear();
        self.terminated.clear();
    }

    /// Changes the capacity, keeping the newest transitions that fit.
    pub fn resize(&mut self, capacity: usize) {
        if capacity == self.capacity {
            return;
        }
        let mut other = Self::new(self.observation_dim, self.action_dim, capacity);
        let kept = self.len().min(capacity) as u64;
        for sequence in self.pushed - kept..self.pushed {
            other.push(self.get(self.row_of(sequence)));
        }
        *self = other;
    }

    /// The columns as they are stored.
    pub fn columns(&self) -> Columns {
        Columns {
            observations: self.observations.clone(),
            actions: self.actions.clone(),
            rewards: self.rewards.clone(),
            next_observations: self.next_observations.clone(),
            terminated: self.terminated.clone(),
            pushed: self.pushed,
        }
    }

    /// A ring holding saved columns. `None` if their lengths do not fit together.
    pub fn from_columns(
        observation_dim: usize,
        action_dim: usize,
        capacity: usize,
        c: Columns,
    ) -> Option<Self> {
        let rows = c.rewards.len();
        let fits = c.observations.len() == rows * observation_dim
            && c.next_observations.len() == rows * observation_dim
            && c.actions.len() == rows * action_dim
            && c.terminated.len() == rows
            && rows as u64 == c.pushed.min(capacity as u64);
        let mut replay = Self::new(observation_dim, action_dim, capacity);
        replay.pushed = c.pushed;
        replay.observations = c.observations;
        replay.actions = c.actions;
        replay.rewards = c.rewards;
        replay.next_observations = c.next_observations;
        replay.terminated = c.terminated;
        fits.then_some(replay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(replay: &mut Replay, i: usize) {
        let x = i as f32;
        replay.push(Transition {
            observation: &[x, -x],
            action: &[0.5 * x],
            reward: x,
            next_observation: &[x + 1.0, -x - 1.0],
            terminated: i.is_multiple_of(3),
        });
    }

    #[test]
    fn keeps_the_newest_and_finds_them_by_sequence() {
        let mut replay = Replay::new(2, 1, 5);
        (0..12).for_each(|i| push(&mut replay, i));
        assert_eq!((replay.len(), replay.pushed()), (5, 12));
        for i in 7..12 {
            let t = replay.get(replay.row_of(i as u64));
            assert_eq!(
                (t.reward, t.observation, t.terminated),
                (i as f32, &[i as f32, -(i as f32)][..], i % 3 == 0)
            );
        }
    }

    #[test]
    fn resizing_and_columns_keep_the_contents() {
        let mut replay = Replay::new(2, 1, 5);
        (0..12).for_each(|i| push(&mut replay, i));
        let copy = Replay::from_columns(2, 1, 5, replay.columns()).unwrap();
        assert_eq!(copy, replay);
        let mut short = replay.columns();
        short.rewards.pop();
        assert!(Replay::from_columns(2, 1, 5, short).is_none());
        replay.resize(8);
        (12..14).for_each(|i| push(&mut replay, i));
        let rewards: Vec<f32> =
            (0..replay.pushed()).map(|s| replay.get(replay.row_of(s)).reward).collect();
        assert_eq!(rewards, [7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0]);
        replay.resize(2);
        assert_eq!(replay.get(replay.row_of(1)).reward, 13.0);
    }
}
