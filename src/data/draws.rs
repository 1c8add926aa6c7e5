//! How the actions of a replay's transitions were drawn: a row for each of the replay's rows, under the same sequence numbers.

use super::replay::Replay;
use crate::run::{Entries, SnapshotError};

/// A ring of (u, Σ ln N(u; μ, σ)) beside a [`Replay`] of the same capacity: the action before its squashing tanh, and its
/// log density when it was drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Draws {
    action_dim: usize,
    capacity: usize,
    /// Rows ever pushed.
    pushed: u64,
    pre_squash: Vec<f32>,
    log_densities: Vec<f32>,
}

impl Draws {
    /// An empty ring. Memory grows with what is pushed, up to `capacity` rows.
    pub fn new(action_dim: usize, capacity: usize) -> Self {
        let (pre_squash, log_densities) = (Vec::new(), Vec::new());
        Self { action_dim, capacity, pushed: 0, pre_squash, log_densities }
    }

    /// Adds the draw of the action that was pushed to the replay as number [`Draws::pushed`]; u is `[action_dim]`.
    pub fn push(&mut self, pre_squash: &[f32], log_density: f32) {
        assert_eq!(pre_squash.len(), self.action_dim);
        if self.log_densities.len() < self.capacity {
            self.pre_squash.extend_from_slice(pre_squash);
            self.log_densities.push(log_density);
        } else {
            let row = (self.pushed % self.capacity as u64) as usize;
            self.pre_squash[row * self.action_dim..][..self.action_dim].copy_from_slice(pre_squash);
            self.log_densities[row] = log_density;
        }
        self.pushed += 1;
    }

    /// Rows ever pushed.
    pub fn pushed(&self) -> u64 {
        self.pushed
    }

    /// u of a row, `[action_dim]`, and Σ ln N(u; μ, σ).
    pub fn get(&self, row: usize) -> (&[f32], f32) {
        let pre_squash = &self.pre_squash[row * self.action_dim..][..self.action_dim];
        (pre_squash, self.log_densities[row])
    }

    /// Saves or restores everything under `name`; `replay`, beside which it stands, has been visited before.
    ///
    /// # Errors
    /// When an entry is missing, or the rows are not those of the replay.
    pub fn visit(
        &mut self,
        name: &str,
        replay: &Replay,
        entries: &mut Entries<'_>,
    ) -> Result<(), SnapshotError> {
        let Self { action_dim, capacity, pushed, pre_squash, log_densities } = self;
        *pushed = replay.pushed();
        let columns =
            [("pre_squash", *action_dim, pre_squash), ("log_densities", 1, log_densities)];
        for (column, width, values) in columns {
            // Tables name files, so their keys have no slash.
            let key = format!("{name}-{column}");
            if *pushed <= *capacity as u64 {
                entries.growing_table(&key, width, values)?;
            } else {
                entries.vector(&key, &[width], values)?;
            }
            if values.len() != replay.len() * width {
                return Err(SnapshotError::invalid(&key, "as many rows as the replay has"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{RowStorage, Transition};
    use super::*;
    use crate::run::Snapshot;

    #[test]
    fn draws_stand_beside_their_transitions_also_when_the_ring_has_wrapped_and_was_restored() {
        for steps in [3, 5, 12] {
            let (mut replay, mut draws) = (Replay::new(1, 2, 5), Draws::new(2, 5));
            for i in 0..steps {
                let x = i as f32;
                replay.push(Transition {
                    observation: &[x],
                    action: &[x, -x],
                    reward: x,
                    next_observation: &[x],
                    terminated: false,
                });
                draws.push(&[x, -x], 0.5 * x);
            }
            for row in 0..replay.len() {
                let x = replay.get(row).reward;
                assert_eq!(draws.get(row), (&[x, -x][..], 0.5 * x));
            }
            let mut snapshot = Snapshot::new();
            let save = &mut Entries::Save(&mut snapshot);
            replay.visit("real", save, RowStorage::Growing).unwrap();
            draws.visit("draws", &replay, save).unwrap();
            let mut copy = Draws::new(2, 5);
            copy.visit("draws", &replay, &mut Entries::Restore(&mut snapshot.clone())).unwrap();
            assert_eq!(copy, draws);
            replay.clear();
            assert!(copy.visit("draws", &replay, &mut Entries::Restore(&mut snapshot)).is_err());
        }
    }
}
