//! The entries of a saved state, visited one by one: a part says once what it is made of, and that serves saving and restoring alike.
//!
//! A part takes itself apart without `..` when it is visited, so that a field added later does not compile until it is visited, too.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::snapshot::{Element, Snapshot, SnapshotError};
use crate::rng::Rng;

/// What a visit does: write every entry into a snapshot, or take it back from one.
#[derive(Debug)]
pub enum Entries<'s> {
    /// Entries are copied into the snapshot.
    Save(&'s mut Snapshot),
    /// Entries are taken out of the snapshot.
    Restore(&'s mut Snapshot),
}

impl Entries<'_> {
    /// Whether the visited parts are being overwritten.
    pub fn restores(&self) -> bool {
        matches!(self, Self::Restore(_))
    }

    /// An array of fixed shape, row-major.
    ///
    /// # Errors
    /// When it is missing, or has another type or shape.
    pub fn array<T: Element>(
        &mut self,
        key: &str,
        shape: &[usize],
        values: &mut [T],
    ) -> Result<(), SnapshotError> {
        match self {
            Self::Save(snapshot) => snapshot.put(key, shape, values.to_vec()),
            Self::Restore(snapshot) => values.copy_from_slice(&snapshot.take::<T>(key, shape)?),
        }
        Ok(())
    }

    /// An array of any number of rows of shape `row`.
    ///
    /// # Errors
    /// As [`Entries::array`].
    pub fn vector<T: Element>(
        &mut self,
        key: &str,
        row: &[usize],
        values: &mut Vec<T>,
    ) -> Result<(), SnapshotError> {
        match self {
            Self::Save(snapshot) => {
                let rows = values.len() / row.iter().product::<usize>().max(1);
                let shape: Vec<usize> = std::iter::once(rows).chain(row.iter().copied()).collect();
                snapshot.put(key, &shape, values.clone());
            }
            Self::Restore(snapshot) => *values = snapshot.take_any(key, row)?,
        }
        Ok(())
    }

    /// A table with rows of shape `[width]` that only ever grows: a checkpoint stores what is new.
    ///
    /// # Errors
    /// As [`Entries::array`].
    pub fn growing_table<T: Element>(
        &mut self,
        key: &str,
        width: usize,
        values: &mut Vec<T>,
    ) -> Result<(), SnapshotError> {
        match self {
            Self::Save(snapshot) => snapshot.put_rows(key, width, values.clone()),
            Self::Restore(snapshot) => *values = snapshot.take_rows(key, width)?,
        }
        Ok(())
    }

    /// A counter, flag, name or plain structure. Floats belong into arrays: JSON has no NaN.
    ///
    /// # Errors
    /// When it is missing, or of another type.
    pub fn value<V: Serialize + DeserializeOwned>(
        &mut self,
        key: &str,
        value: &mut V,
    ) -> Result<(), SnapshotError> {
        match self {
            Self::Save(snapshot) => snapshot.put_structure(key, value),
            Self::Restore(snapshot) => *value = snapshot.take_value(key)?,
        }
        Ok(())
    }

    /// A generator's four words.
    ///
    /// # Errors
    /// When they are missing, or all zero.
    pub fn rng(&mut self, key: &str, rng: &mut Rng) -> Result<(), SnapshotError> {
        let mut words = rng.state();
        self.array(key, &[4], &mut words)?;
        *rng = Rng::from_state(words)
            .ok_or_else(|| SnapshotError::invalid(key, "four words that are not all zero"))?;
        Ok(())
    }
}
