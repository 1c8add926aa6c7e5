//! Layer normalisation of what a hidden layer hands on (Ba et al. 2016, eq. 3, without gain and bias): n = (h − mean h)·r with
//! r = 1/√(var h + ε), over the units of one row.
//!
//! Its Jacobian r·(I − (1·1ᵀ + n·nᵀ)/d) is symmetric: tangents go forward by the same map by which adjoints go back.
#![allow(clippy::needless_range_loop)] // As in `activation.rs`.

use super::cpu::lanes::padded;
use super::cpu::matrix::{Rows, RowsMut};
use super::cpu::panels::PanelRows;
use crate::machine::isa::dispatched;
use crate::machine::{LANES, Real};

/// The sum of lanes, in an order that no instruction set changes.
#[inline(always)]
fn total<T: Real>(mut lanes: [T; LANES]) -> T {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// How many of the lanes from column `column` on are columns, not padding.
#[inline(always)]
fn own_lanes(columns: usize, column: usize) -> usize {
    (columns - column).min(LANES)
}

dispatched! {
    /// Normalises rows, whose r go into `scales`. Padding stays zero.
    pub(crate) fn normalise<T, I>(rows: RowsMut<'_, T>, epsilon: T, scales: &mut [T]) {
        let RowsMut { data, columns, stride } = rows;
        let share = T::ONE / T::from_f64(columns as f64);
        for (row, scale) in data.chunks_exact_mut(stride).zip(scales) {
            let chunks = row[..padded(columns)].as_chunks_mut::<LANES>().0;
            let mut sums = [T::ZERO; LANES];
            for chunk in &*chunks {
                for lane in 0..LANES {
                    sums[lane] += chunk[lane];
                }
            }
            let mean = total(sums) * share;
            let mut squares = [T::ZERO; LANES];
            for (j, chunk) in chunks.iter_mut().enumerate() {
                for lane in 0..own_lanes(columns, j * LANES) {
                    chunk[lane] -= mean;
                    squares[lane] = I::fma(chunk[lane], chunk[lane], squares[lane]);
                }
            }
            *scale = T::ONE / I::fma(total(squares), share, epsilon).sqrt();
            for chunk in chunks {
                for lane in 0..LANES {
                    chunk[lane] *= *scale;
                }
            }
        }
    }
}

dispatched! {
    /// The Jacobian's product with each row: v ← r·(v − mean v − n·mean(n·v)). Row t belongs to row ⌊t / directions⌋ of `normal`, what
    /// [`normalise`] left, and of `scales`.
    pub(crate) fn project<T, I>(rows: RowsMut<'_, T>, normal: Rows<'_, T>, scales: &[T], directions: usize) {
        let RowsMut { data, columns, stride } = rows;
        let share = T::ONE / T::from_f64(columns as f64);
        let owned = data.chunks_exact_mut(stride * directions);
        for ((own, normal), &scale) in owned.zip(normal.data.chunks_exact(normal.stride)).zip(scales) {
            let normal = normal[..padded(columns)].as_chunks::<LANES>().0;
            for row in own.chunks_exact_mut(stride) {
                let chunks = row[..padded(columns)].as_chunks_mut::<LANES>().0;
                let (mut sums, mut products) = ([T::ZERO; LANES], [T::ZERO; LANES]);
                for (chunk, normal) in chunks.iter().zip(normal) {
                    for lane in 0..LANES {
                        sums[lane] += chunk[lane];
                        products[lane] = I::fma(chunk[lane], normal[lane], products[lane]);
                    }
                }
                let (mean, along) = (total(sums) * share, total(products) * share);
                for (j, (chunk, normal)) in chunks.iter_mut().zip(normal).enumerate() {
                    for lane in 0..own_lanes(columns, j * LANES) {
                        chunk[lane] = scale * (chunk[lane] - mean - normal[lane] * along);
                    }
                }
            }
        }
    }
}

dispatched! {
    /// Each number times its slope.
    pub(crate) fn scale<T, I>(rows: RowsMut<'_, T>, slope: PanelRows<'_, T>) {
        let RowsMut { data, columns, stride } = rows;
        for (i, row) in data.chunks_exact_mut(stride).enumerate() {
            for (j, chunk) in row[..padded(columns)].as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                let slope = slope.at(i, j * LANES);
                for lane in 0..LANES {
                    chunk[lane] *= slope[lane];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Matrix;
    use crate::rng::Rng;

    #[test]
    fn rows_have_mean_0_and_the_variance_that_epsilon_leaves() {
        for columns in [1, 5, 16, 19, 64, 256] {
            let rng = &mut Rng::new(0, "layer norm");
            let mut matrix = Matrix::<f64>::zeros(3, columns);
            let mut numbers = vec![0.0; columns];
            let mut variances = Vec::new();
            for row in 0..3 {
                rng.fill_normal(&mut numbers);
                numbers.iter_mut().for_each(|x| *x = 3.0 + *x * (row + 1) as f64);
                let mean = numbers.iter().sum::<f64>() / columns as f64;
                let squares = numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
                variances.push(squares / columns as f64);
                matrix.row_mut(row).copy_from_slice(&numbers);
            }
            let mut scales = [0.0; 3];
            normalise(matrix.view_mut(0..3), 0.1, &mut scales);
            for (row, variance) in variances.into_iter().enumerate() {
                let found = matrix.row(row);
                let mean = found.iter().sum::<f64>() / columns as f64;
                let square = found.iter().map(|x| x * x).sum::<f64>() / columns as f64;
                assert!(mean.abs() < 1e-12, "{columns}: {mean}");
                assert!((square - variance / (variance + 0.1)).abs() < 1e-12, "{columns}");
                assert!((scales[row] - 1.0 / (variance + 0.1).sqrt()).abs() < 1e-12, "{columns}");
                let padding = &matrix.view(row..row + 1).data[columns..];
                assert!(padding.iter().all(|&x| x == 0.0), "{columns}");
            }
        }
    }
}
