//! A ring of states from which imagined paths start.

use crate::run::{Entries, SnapshotError};

/// The newest `capacity` states, raw.
#[derive(Clone, Debug, PartialEq)]
pub struct StateRing {
    dim: usize,
    capacity: usize,
    /// States ever pushed.
    pushed: u64,
    /// `[len, dim]`.
    states: Vec<f32>,
}

impl StateRing {
    /// An empty ring for states of `dim` numbers. Its memory is asked for at once.
    pub fn new(dim: usize, capacity: usize) -> Self {
        Self { dim, capacity, pushed: 0, states: Vec::with_capacity(dim * capacity) }
    }

    /// States held.
    pub fn len(&self) -> usize {
        self.states.len() / self.dim
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// State number `i`, `[dim]`.
    #[inline]
    pub fn get(&self, i: usize) -> &[f32] {
        &self.states[i * self.dim..][..self.dim]
    }

    /// Adds a state, in the place of the oldest where the ring is full.
    pub fn push(&mut self, state: &[f32]) {
        assert_eq!(state.len(), self.dim);
        if self.len() < self.capacity {
            self.states.extend_from_slice(state);
        } else {
            let at = (self.pushed % self.capacity as u64) as usize * self.dim;
            self.states[at..at + self.dim].copy_from_slice(state);
        }
        self.pushed += 1;
    }

    /// Saves or restores the states, under `name`.
    ///
    /// # Errors
    /// When an entry is missing or does not fit.
    pub fn visit(&mut self, name: &str, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        let Self { dim, capacity, pushed, states } = self;
        entries.value(&format!("{name}/pushed"), pushed)?;
        let key = format!("{name}/states");
        entries.vector(&key, &[*dim], states)?;
        if states.len() as u64 != (*pushed).min(*capacity as u64) * *dim as u64 {
            return Err(SnapshotError::invalid(&key, "as many states as the ring holds"));
        }
        states.reserve_exact(*dim * *capacity - states.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_gives_way() {
        let mut ring = StateRing::new(2, 3);
        for k in 0..5 {
            ring.push(&[k as f32, 0.5]);
        }
        let held: Vec<f32> = (0..ring.len()).map(|i| ring.get(i)[0]).collect();
        assert_eq!(held, [3.0, 4.0, 2.0]);
    }
}
