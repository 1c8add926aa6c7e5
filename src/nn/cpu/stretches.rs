//! What belongs to a layer's nonlinearity alone, in the order in which epilogues meet it: all rows of the first [`LANES`]
//! columns, then all rows of the next. So a panel's part is one piece of memory, not a cache line in each row of a matrix.

use std::ops::Range;

use super::gemm::{LANES, padded};
use crate::machine::Real;

/// `[rows, columns]`, stored `[padded(columns)/LANES, rows, LANES]`.
#[derive(Clone, Debug)]
pub(crate) struct Stretches<T> {
    data: Vec<[T; LANES]>,
    rows: usize,
}

impl<T: Real> Stretches<T> {
    /// Zeros.
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Self { data: vec![[T::ZERO; LANES]; rows * padded(columns) / LANES], rows }
    }

    /// The rows of a range; row 0 of the view is the range's first.
    pub fn view(&self, rows: Range<usize>) -> View<'_, T> {
        assert!(rows.end <= self.rows);
        View { data: &self.data[rows.start..], rows: self.rows }
    }

    /// The rows of a range, to be written.
    pub fn view_mut(&mut self, rows: Range<usize>) -> ViewMut<'_, T> {
        assert!(rows.end <= self.rows);
        ViewMut { data: &mut self.data[rows.start..], rows: self.rows }
    }
}

/// Some rows of [`Stretches`].
#[derive(Clone, Copy)]
pub(crate) struct View<'a, T> {
    data: &'a [[T; LANES]],
    rows: usize,
}

impl<T> View<'_, T> {
    /// Row `row` from column `column` on, which begins a panel.
    #[inline(always)]
    pub fn at(&self, row: usize, column: usize) -> &[T; LANES] {
        &self.data[column / LANES * self.rows + row]
    }
}

/// Some rows of [`Stretches`], to be written.
pub(crate) struct ViewMut<'a, T> {
    data: &'a mut [[T; LANES]],
    rows: usize,
}

impl<T> ViewMut<'_, T> {
    /// Row `row` from column `column` on, which begins a panel.
    #[inline(always)]
    pub fn at(&mut self, row: usize, column: usize) -> &mut [T; LANES] {
        &mut self.data[column / LANES * self.rows + row]
    }
}
