//! Transitions, column by column. One type serves the real transitions and the imagined ones.

use crate::machine::Real;
use crate::machine::isa::{LINE, prefetch};
use crate::run::snapshot::Element;
use crate::run::{Entries, SnapshotError};

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
    /// Whether the episode went no further, for whatever reason.
    ended: Vec<u8>,
}

/// How a replay's rows are saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowStorage {
    /// All of them in each checkpoint.
    Whole,
    /// In segments that are written once, as long as the ring has not wrapped.
    Growing,
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

impl Transition<'_> {
    /// Number `d` of a model's input (s, a).
    #[inline]
    pub fn input<T: Real>(&self, d: usize) -> T {
        match self.observation.get(d) {
            Some(&x) => T::from_f32(x),
            None => T::from_f32(self.action[d - self.observation.len()]),
        }
    }

    /// Number `d` of a model's label (r, Δs), Δs = s' − s.
    #[inline]
    pub fn label<T: Real>(&self, d: usize) -> T {
        match d {
            0 => T::from_f32(self.reward),
            _ => T::from_f32(self.next_observation[d - 1]) - T::from_f32(self.observation[d - 1]),
        }
    }
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
            ended: Vec::new(),
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

    /// Number of the push that put a transition into a row.
    pub fn sequence_of(&self, row: usize) -> u64 {
        let newest = self.pushed - 1;
        newest - (newest - row as u64) % self.capacity as u64
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
            self.ended.push(u8::from(t.terminated));
        } else {
            let row = (self.pushed % self.capacity as u64) as usize;
            let (s, a) = (self.observation_dim, self.action_dim);
            self.observations[row * s..][..s].copy_from_slice(t.observation);
            self.actions[row * a..][..a].copy_from_slice(t.action);
            self.rewards[row] = t.reward;
            self.next_observations[row * s..][..s].copy_from_slice(t.next_observation);
            self.terminated[row] = u8::from(t.terminated);
            self.ended[row] = u8::from(t.terminated);
        }
        self.pushed += 1;
    }

    /// Adds one transition and whether its episode goes no further, for whatever reason.
    pub fn store(&mut self, transition: Transition<'_>, ended: bool) {
        self.push(transition);
        if ended {
            self.end_episode();
        }
    }

    /// Notes that the newest transition was the last of its episode, though it did not terminate: a time limit, or physics that broke.
    pub fn end_episode(&mut self) {
        if self.pushed > 0 {
            let row = self.row_of(self.pushed - 1);
            self.ended[row] = 1;
        }
    }

    /// Whether the transition in a row was the last of its episode.
    pub fn ends_episode(&self, row: usize) -> bool {
        self.ended[row] != 0
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
        self.ended.clear();
    }

    /// Changes the capacity, keeping the newest transitions that fit.
    pub fn resize(&mut self, capacity: usize) {
        if capacity == self.capacity {
            return;
        }
        let mut other = Self::new(self.observation_dim, self.action_dim, capacity);
        let kept = self.len().min(capacity) as u64;
        for sequence in self.pushed - kept..self.pushed {
            let row = self.row_of(sequence);
            other.push(self.get(row));
            if self.ends_episode(row) {
                other.end_episode();
            }
        }
        *self = other;
    }

    /// Saves or restores everything under `name`. A ring that is saved whole takes the saved capacity on: it may have been resized.
    ///
    /// # Errors
    /// When an entry is missing or the columns do not fit together.
    pub fn visit(
        &mut self,
        name: &str,
        entries: &mut Entries<'_>,
        storage: RowStorage,
    ) -> Result<(), SnapshotError> {
        let Self {
            observation_dim,
            action_dim,
            capacity,
            pushed,
            observations,
            actions,
            rewards,
            next_observations,
            terminated,
            ended,
        } = self;
        let (s, a) = (*observation_dim, *action_dim);
        let (key, mut saved) = (format!("{name}/capacity"), *capacity as u64);
        entries.value(&key, &mut saved)?;
        let fits = saved == *capacity as u64 || storage == RowStorage::Whole;
        *capacity = usize::try_from(saved)
            .ok()
            .filter(|&saved| fits && saved > 0)
            .ok_or_else(|| SnapshotError::invalid(&key, &format!("the capacity {capacity}")))?;
        entries.value(&format!("{name}/pushed"), pushed)?;
        let grows = storage == RowStorage::Growing && *pushed <= *capacity as u64;
        // Tables name files, so their keys have no slash.
        let floats: [(&str, usize, &mut Vec<f32>); 4] = [
            ("observations", s, observations),
            ("actions", a, actions),
            ("rewards", 1, rewards),
            ("next_observations", s, next_observations),
        ];
        for (column, width, values) in floats {
            column_of(entries, &format!("{name}-{column}"), width, values, grows)?;
        }
        for (column, values) in [("terminated", &mut *terminated), ("ended", &mut *ended)] {
            column_of(entries, &format!("{name}-{column}"), 1, values, grows)?;
        }
        let rows = rewards.len();
        let lengths = [observations.len(), next_observations.len(), actions.len()];
        let whole = lengths == [rows * s, rows * s, rows * a]
            && [terminated.len(), ended.len()] == [rows; 2]
            && rows as u64 == (*pushed).min(*capacity as u64);
        if whole {
            return Ok(());
        }
        Err(SnapshotError::invalid(name, "columns of equal length that fit its capacity"))
    }
}

fn column_of<T: Element>(
    entries: &mut Entries<'_>,
    key: &str,
    width: usize,
    values: &mut Vec<T>,
    grows: bool,
) -> Result<(), SnapshotError> {
    if grows {
        entries.growing_table(key, width, values)
    } else {
        entries.vector(key, &[width], values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Snapshot;

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
            assert_eq!(replay.sequence_of(replay.row_of(i as u64)), i as u64);
        }
    }

    #[test]
    fn resizing_and_columns_keep_the_contents() {
        let mut replay = Replay::new(2, 1, 5);
        (0..12).for_each(|i| push(&mut replay, i));
        replay.end_episode();
        for storage in [RowStorage::Whole, RowStorage::Growing] {
            let mut snapshot = Snapshot::new();
            replay.visit("real", &mut Entries::Save(&mut snapshot), storage).unwrap();
            let mut copy = Replay::new(2, 1, 5);
            copy.visit("real", &mut Entries::Restore(&mut snapshot.clone()), storage).unwrap();
            assert_eq!(copy, replay);
            snapshot.tensors.remove("real-rewards");
            snapshot.put("real-rewards", &[4, 1], vec![0.0_f32; 4]);
            assert!(copy.visit("real", &mut Entries::Restore(&mut snapshot), storage).is_err());
        }
        replay.resize(8);
        (12..14).for_each(|i| push(&mut replay, i));
        let rewards: Vec<f32> =
            (0..replay.pushed()).map(|s| replay.get(replay.row_of(s)).reward).collect();
        assert_eq!(rewards, [7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0]);
        replay.resize(2);
        assert_eq!(replay.get(replay.row_of(1)).reward, 13.0);
    }
}
