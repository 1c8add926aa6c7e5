//! Layer normalisation of what a hidden layer hands on (Ba et al. 2016, eq. 3, without gain and bias): n = (h − mean h)·r with
//! r = 1/√(var h + ε), over the units of one row.
//!
//! Its Jacobian r·(I − (1·1ᵀ + n·nᵀ)/d) is symmetric: tangents go forward by the same map by which adjoints go back.
#![allow(clippy::needless_range_loop)] // As in `activation.rs`.

use super::cpu::lanes::{lanes, lanes_mut, padded};
use super::cpu::matrix::{Rows, RowsMut};
use super::cpu::panels::PanelRows;
use crate::machine::isa::{Isa, dispatched};
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

dispatched! {
    /// Normalises rows, whose r go into `scales`. Padding stays zero.
    pub(crate) fn normalise<T, I>(rows: RowsMut<'_, T>, epsilon: T, scales: &mut [T]) {
        let RowsMut { data, columns, stride } = rows;
        let share = T::ONE / T::from_f64(columns as f64);
        for (row, scale) in data.chunks_exact_mut(stride).zip(scales) {
            // Loops over whole chunks have a fixed number of lanes, so that they become registers; the rest is a chunk that padding fills up.
            let (chunks, rest) = row[..columns].as_chunks_mut::<LANES>();
            let mut sums = [T::ZERO; LANES];
            for chunk in &*chunks {
                for lane in 0..LANES {
                    sums[lane] += chunk[lane];
                }
            }
            for lane in 0..rest.len() {
                sums[lane] += rest[lane];
            }
            let mean = total(sums) * share;
            let mut squares = [T::ZERO; LANES];
            for chunk in &mut *chunks {
                for lane in 0..LANES {
                    let off = chunk[lane] - mean;
                    squares[lane] = I::fma(off, off, squares[lane]);
                    chunk[lane] = off;
                }
            }
            for lane in 0..rest.len() {
                rest[lane] -= mean;
                squares[lane] = I::fma(rest[lane], rest[lane], squares[lane]);
            }
            *scale = T::ONE / I::fma(total(squares), share, epsilon).sqrt();
            for chunk in chunks {
                for lane in 0..LANES {
                    chunk[lane] *= *scale;
                }
            }
            for x in rest {
                *x *= *scale;
            }
        }
    }
}

/// mean v and mean(n·v) of a row.
#[inline(always)]
fn means<T: Real, I: Isa>(row: &[T], normal: &[T], share: T) -> (T, T) {
    let (mut sums, mut products) = ([T::ZERO; LANES], [T::ZERO; LANES]);
    let (chunks, normals) = (row.as_chunks::<LANES>().0, normal.as_chunks::<LANES>().0);
    for (chunk, normal) in chunks.iter().zip(normals) {
        for lane in 0..LANES {
            sums[lane] += chunk[lane];
            products[lane] = I::fma(chunk[lane], normal[lane], products[lane]);
        }
    }
    (total(sums) * share, total(products) * share)
}

dispatched! {
    /// The Jacobian's product with each row: v ← r·(v − mean v − n·mean(n·v)). Row t belongs to row ⌊t / directions⌋ of `normal`, what
    /// [`normalise`] left, and of `scales`.
    pub(crate) fn project<T, I>(rows: RowsMut<'_, T>, normal: Rows<'_, T>, scales: &[T], directions: usize) {
        let RowsMut { data, columns, stride } = rows;
        let (share, padded) = (T::ONE / T::from_f64(columns as f64), padded(columns));
        let owned = data.chunks_exact_mut(stride * directions);
        for ((own, normal), &scale) in owned.zip(normal.data.chunks_exact(normal.stride)).zip(scales) {
            for row in own.chunks_exact_mut(stride) {
                let (mean, along) = means::<T, I>(&row[..padded], &normal[..padded], share);
                for (x, &n) in row[..columns].iter_mut().zip(normal) {
                    *x = scale * (*x - mean - n * along);
                }
            }
        }
    }
}

/// Rows that are taken through a panel together: with what belongs to them they stay in the nearest cache.
const GROUP: usize = 8;

dispatched! {
    /// [`project`], one direction a row, and back through the nonlinearity: then each number times its slope.
    pub(crate) fn project_back<T, I>(rows: RowsMut<'_, T>, normal: Rows<'_, T>, scales: &[T], slope: PanelRows<'_, T>) {
        let RowsMut { data, columns, stride } = rows;
        let (share, padded) = (T::ONE / T::from_f64(columns as f64), padded(columns));
        let groups = data.chunks_mut(stride * GROUP).zip(normal.data.chunks(normal.stride * GROUP));
        for (g, ((own, normals), scales)) in groups.zip(scales.chunks(GROUP)).enumerate() {
            let mut of = [(T::ZERO, T::ZERO); GROUP];
            let pairs = own.chunks_exact(stride).zip(normals.chunks_exact(normal.stride));
            for ((row, normal), of) in pairs.zip(&mut of) {
                *of = means::<T, I>(&row[..padded], &normal[..padded], share);
            }
            // Panel by panel, as slopes lie.
            for column in (0..padded).step_by(LANES) {
                for (i, &scale) in scales.iter().enumerate() {
                    let (mean, along) = of[i];
                    let normal: &[T; LANES] = lanes(normals, i * normal.stride + column);
                    let slope = slope.at(g * GROUP + i, column);
                    let x: &mut [T; LANES] = lanes_mut(own, i * stride + column);
                    for lane in 0..LANES {
                        x[lane] = scale * slope[lane] * (x[lane] - mean - normal[lane] * along);
                    }
                }
            }
            if columns < padded {
                own.chunks_exact_mut(stride).for_each(|row| row[columns..padded].fill(T::ZERO));
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
