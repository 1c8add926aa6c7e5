//! A row-major matrix whose rows are padded with zeros to whole panels, so that no inner loop has a remainder.

use std::ops::Range;

use super::lanes::padded;
use crate::machine::{LANES, Real};

/// `[rows, columns]`, row by row, each row followed by zeros up to [`Matrix::stride`].
#[derive(Clone, Debug, Default)]
pub struct Matrix<T> {
    data: Vec<T>,
    columns: usize,
    stride: usize,
}

impl<T: Real> Matrix<T> {
    /// A matrix of zeros.
    pub fn zeros(rows: usize, columns: usize) -> Self {
        // Rows at multiples of 256 bytes would share few sets of the nearest cache: a column would not fit.
        let stride = padded(columns) + if padded(columns).is_multiple_of(64) { LANES } else { 0 };
        Self { data: vec![T::ZERO; rows * stride], columns, stride }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.data.len() / self.stride.max(1)
    }

    /// Number of columns, padding not counted.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Distance from one row to the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Row `i`, without its padding.
    #[inline]
    pub fn row(&self, i: usize) -> &[T] {
        &self.data[i * self.stride..][..self.columns]
    }

    /// Row `i`, without its padding, which must stay zero.
    #[inline]
    pub fn row_mut(&mut self, i: usize) -> &mut [T] {
        &mut self.data[i * self.stride..][..self.columns]
    }

    /// The rows of a range with their padding.
    pub(crate) fn view(&self, rows: Range<usize>) -> Rows<'_, T> {
        let data = &self.data[rows.start * self.stride..rows.end * self.stride];
        Rows { data, columns: self.columns, stride: self.stride }
    }

    /// The rows of a range with their padding, to be written.
    pub(crate) fn view_mut(&mut self, rows: Range<usize>) -> RowsMut<'_, T> {
        let data = &mut self.data[rows.start * self.stride..rows.end * self.stride];
        RowsMut { data, columns: self.columns, stride: self.stride }
    }
}

/// Some rows of a [`Matrix`].
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a, T> {
    /// Row by row, padding included.
    pub data: &'a [T],
    /// Padding not counted.
    pub columns: usize,
    /// Distance from one row to the next.
    pub stride: usize,
}

impl<T> Rows<'_, T> {
    /// How many.
    pub fn len(&self) -> usize {
        self.data.len() / self.stride
    }
}

/// Some rows of a [`Matrix`], to be written.
pub(crate) struct RowsMut<'a, T> {
    /// Row by row, padding included.
    pub data: &'a mut [T],
    /// Padding not counted.
    pub columns: usize,
    /// Distance from one row to the next.
    pub stride: usize,
}
