//! Matrices in panels, the form in which weights live: see `gemm.rs`.

use rayon::prelude::*;

use super::lanes::lanes_mut;
use super::vector::GRAIN;
use crate::machine::{LANES, Real};

/// Packs a row-major matrix `[rows, columns]` into zero-padded panels, `[padded(columns)/LANES, rows, LANES]`.
pub(crate) fn pack<T: Real>(matrix: &[T], columns: usize, panels: &mut [T]) {
    let rows = matrix.len() / columns;
    for (j, panel) in panels.chunks_exact_mut(rows * LANES).enumerate() {
        let width = LANES.min(columns - j * LANES);
        for (source, row) in matrix.chunks_exact(columns).zip(panel.chunks_exact_mut(LANES)) {
            row[..width].copy_from_slice(&source[j * LANES..j * LANES + width]);
            row[width..].fill(T::ZERO);
        }
    }
}

/// The row-major matrix `[rows, columns]` of [`pack`]ed panels.
pub(crate) fn unpack<T: Real>(panels: &[T], columns: usize, matrix: &mut [T]) {
    let rows = matrix.len() / columns;
    for (j, panel) in panels.chunks_exact(rows * LANES).enumerate() {
        let width = LANES.min(columns - j * LANES);
        for (target, row) in matrix.chunks_exact_mut(columns).zip(panel.chunks_exact(LANES)) {
            target[j * LANES..j * LANES + width].copy_from_slice(&row[..width]);
        }
    }
}

/// Panels of the transpose: from panels of W `[rows, columns]` to panels of Wᵀ `[columns, rows]`. Threads share them.
pub(crate) fn transpose_panels<T: Real>(panels: &[T], rows: usize, columns: usize, out: &mut [T]) {
    let size = columns * LANES;
    let targets = out.par_chunks_exact_mut(size).with_min_len(GRAIN.div_ceil(size));
    targets.enumerate().for_each(|(i, target)| transpose_into(panels, rows, columns, i, target));
}

/// Panel `i` of the transpose.
fn transpose_into<T: Real>(panels: &[T], rows: usize, columns: usize, i: usize, target: &mut [T]) {
    let height = LANES.min(rows - i * LANES);
    for (j, source) in panels.chunks_exact(rows * LANES).enumerate() {
        let width = LANES.min(columns - j * LANES);
        let source = &source[i * LANES * LANES..];
        let target = &mut target[j * LANES * LANES..];
        transpose(source, LANES, (height, width), target, LANES);
    }
}

/// The transpose of a block of up to [`LANES`] by [`LANES`] numbers, (rows, columns) of them: into as many rows of the target
/// as there are columns, each filled up with zeros.
#[inline(always)]
pub(crate) fn transpose<T: Real>(
    source: &[T],
    source_stride: usize,
    (rows, columns): (usize, usize),
    target: &mut [T],
    target_stride: usize,
) {
    if (rows, columns) == (LANES, LANES) {
        // Constant bounds, so that the compiler can work on whole vectors.
        for c in 0..LANES {
            let row: &mut [T; LANES] = lanes_mut(target, c * target_stride);
            for (r, x) in row.iter_mut().enumerate() {
                *x = source[r * source_stride + c];
            }
        }
    } else {
        for c in 0..columns {
            let row: &mut [T; LANES] = lanes_mut(target, c * target_stride);
            for (r, x) in row.iter_mut().enumerate() {
                *x = if r < rows { source[r * source_stride + c] } else { T::ZERO };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::cpu::lanes::padded;

    #[test]
    fn panels_hold_the_matrix_and_their_transposes_the_transpose() {
        for (rows, columns) in [(1, 1), (3, 16), (14, 24), (33, 200), (200, 17), (16, 32)] {
            let b: Vec<f64> = (1..=rows * columns).map(|i| i as f64).collect();
            let mut panels = vec![f64::NAN; rows * padded(columns)];
            pack(&b, columns, &mut panels);
            let mut plain = vec![0.0; rows * columns];
            unpack(&panels, columns, &mut plain);
            assert_eq!(plain, b);
            let mut transposed = vec![f64::NAN; columns * padded(rows)];
            transpose_panels(&panels, rows, columns, &mut transposed);
            unpack(&transposed, rows, &mut plain);
            for p in 0..rows {
                for j in 0..columns {
                    assert_eq!(plain[j * rows + p], b[p * columns + j]);
                }
            }
            // Padding is zero.
            let padding = panels.iter().chain(&transposed).filter(|x| **x == 0.0).count();
            assert_eq!(padding, panels.len() + transposed.len() - 2 * rows * columns);
        }
    }
}
