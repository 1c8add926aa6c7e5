//! A matrix in panels: all rows of the first [`LANES`] columns, then all rows of the next. What belongs to a layer's
//! nonlinearity alone lies so, since that is the order in which epilogues meet it: a panel is contiguous memory, not a
//! cache line in each row of a matrix.

use std::ops::Range;

use super::lanes::padded;
use crate::machine::{LANES, Real};

/// `[rows, columns]`, stored `[padded(columns)/LANES, rows, LANES]`.
#[derive(Clone, Debug)]
pub(crate) struct Panels<T> {
    data: Vec<[T; LANES]>,
    rows: usize,
}

impl<T: Real> Panels<T> {
    /// Zeros.
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Self { data: vec![[T::ZERO; LANES]; rows * padded(columns) / LANES], rows }
    }

    /// The rows of a range; row 0 of the view is the range's first.
    pub fn view(&self, rows: Range<usize>) -> PanelRows<'_, T> {
        assert!(rows.end <= self.rows);
        PanelRows { data: &self.data[rows.start..], rows: self.rows }
    }

    /// The rows of a range, to be written.
    pub fn view_mut(&mut self, rows: Range<usize>) -> PanelRowsMut<'_, T> {
        assert!(rows.end <= self.rows);
        PanelRowsMut { data: &mut self.data[rows.start..], rows: self.rows }
    }
}

/// Some rows of [`Panels`].
#[derive(Clone, Copy)]
pub(crate) struct PanelRows<'a, T> {
    data: &'a [[T; LANES]],
    rows: usize,
}

impl<T> PanelRows<'_, T> {
    /// Row `row` from column `column` on, which begins a panel.
    #[inline(always)]
    pub fn at(&self, row: usize, column: usize) -> &[T; LANES] {
        &self.data[column / LANES * self.rows + row]
    }
}

/// Some rows of [`Panels`], to be written.
pub(crate) struct PanelRowsMut<'a, T> {
    data: &'a mut [[T; LANES]],
    rows: usize,
}

impl<T> PanelRowsMut<'_, T> {
    /// Row `row` from column `column` on, which begins a panel.
    #[inline(always)]
    pub fn at(&mut self, row: usize, column: usize) -> &mut [T; LANES] {
        &mut self.data[column / LANES * self.rows + row]
    }
}
