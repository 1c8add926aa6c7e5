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

/// The sum of lanes, in an order that no instruction set changes. A call of its own: within the loops over rows the compiler would gather the
/// lanes of several rows.
#[inline(never)]
fn total<T: Real>(lanes: &[T; LANES]) -> T {
    let mut lanes = *lanes;
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// Rows that are taken together: they stay in the nearest cache. Their lanes lie in memory before they are summed up: a sum right behind its
/// loop would have the compiler keep lanes two by two.
const GROUP: usize = 8;

/// A number of each lane, of each row of a group.
type GroupLanes<T> = [[T; LANES]; GROUP];

/// Adds x to the lanes, column by column.
#[inline(always)]
fn add<T: Real>(lanes: &mut [T; LANES], x: &[T]) {
    for (lane, &x) in lanes.iter_mut().zip(x) {
        *lane += x;
    }
}

/// Adds x·y to the lanes.
#[inline(always)]
fn add_product<T: Real, I: Isa>(lanes: &mut [T; LANES], x: &[T], y: &[T]) {
    for ((lane, &x), &y) in lanes.iter_mut().zip(x).zip(y) {
        *lane = I::fma(x, y, *lane);
    }
}

/// Lanes of Σ x over a row.
#[inline(always)]
fn sum_row<T: Real>(row: &[T], lanes: &mut [T; LANES]) {
    let mut sums = [T::ZERO; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder();
    chunks.for_each(|chunk| add(&mut sums, &chunk[..LANES]));
    add(&mut sums, rest);
    *lanes = sums;
}

/// Lanes of Σ x·y over two rows.
#[inline(always)]
fn multiply_rows<T: Real, I: Isa>(x: &[T], y: &[T], lanes: &mut [T; LANES]) {
    let mut sums = [T::ZERO; LANES];
    let (x, y) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let rest = (x.remainder(), y.remainder());
    x.zip(y).for_each(|(x, y)| add_product::<T, I>(&mut sums, &x[..LANES], &y[..LANES]));
    add_product::<T, I>(&mut sums, rest.0, rest.1);
    *lanes = sums;
}

dispatched! {
    /// Normalises rows, whose r go into `scales`. Padding stays zero.
    pub(crate) fn normalise<T, I>(rows: RowsMut<'_, T>, epsilon: T, scales: &mut [T]) {
        let RowsMut { data, columns, stride } = rows;
        let share = T::ONE / T::from_f64(columns as f64);
        let mut lanes: GroupLanes<T> = [[T::ZERO; LANES]; GROUP];
        for (own, scales) in data.chunks_mut(stride * GROUP).zip(scales.chunks_mut(GROUP)) {
            for (row, lanes) in own.chunks_exact(stride).zip(&mut lanes) {
                sum_row(&row[..columns], lanes);
            }
            for (row, lanes) in own.chunks_exact_mut(stride).zip(&lanes) {
                let mean = total(lanes) * share;
                row[..columns].iter_mut().for_each(|x| *x -= mean);
            }
            for (row, lanes) in own.chunks_exact(stride).zip(&mut lanes) {
                multiply_rows::<T, I>(&row[..columns], &row[..columns], lanes);
            }
            for (scale, lanes) in scales.iter_mut().zip(&lanes) {
                *scale = T::ONE / I::fma(total(lanes), share, epsilon).sqrt();
            }
            for (row, &scale) in own.chunks_exact_mut(stride).zip(&*scales) {
                row[..columns].iter_mut().for_each(|x| *x *= scale);
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
        let mut lanes: GroupLanes<T> = [[T::ZERO; LANES]; GROUP];
        let owned = data.chunks_exact_mut(stride * directions);
        for ((own, normal), &scale) in owned.zip(normal.data.chunks_exact(normal.stride)).zip(scales) {
            for row in own.chunks_exact_mut(stride) {
                let (row, normal) = (&mut row[..columns], &normal[..columns]);
                sum_row(row, &mut lanes[0]);
                multiply_rows::<T, I>(row, normal, &mut lanes[1]);
                let (mean, along) = (total(&lanes[0]) * share, total(&lanes[1]) * share);
                for (x, &n) in row.iter_mut().zip(normal) {
                    *x = scale * (*x - mean - n * along);
                }
            }
        }
    }
}

dispatched! {
    /// [`project`], one direction a row, and back through the nonlinearity: then each number times its slope.
    pub(crate) fn project_back<T, I>(rows: RowsMut<'_, T>, normal: Rows<'_, T>, scales: &[T], slope: PanelRows<'_, T>) {
        let RowsMut { data, columns, stride } = rows;
        let (share, padded) = (T::ONE / T::from_f64(columns as f64), padded(columns));
        let mut sums: GroupLanes<T> = [[T::ZERO; LANES]; GROUP];
        let mut products = sums;
        let groups = data.chunks_mut(stride * GROUP).zip(normal.data.chunks(normal.stride * GROUP));
        for (g, ((own, normals), scales)) in groups.zip(scales.chunks(GROUP)).enumerate() {
            let pairs = own.chunks_exact(stride).zip(normals.chunks_exact(normal.stride));
            for (((row, normal), sums), products) in pairs.zip(&mut sums).zip(&mut products) {
                sum_row(&row[..columns], sums);
                multiply_rows::<T, I>(&row[..columns], &normal[..columns], products);
            }
            let mut means = [(T::ZERO, T::ZERO); GROUP];
            for ((means, sums), products) in means.iter_mut().zip(&sums).zip(&products) {
                *means = (total(sums) * share, total(products) * share);
            }
            // Panel by panel, as slopes lie.
            for column in (0..padded).step_by(LANES) {
                for (i, (&scale, &(mean, along))) in scales.iter().zip(&means).enumerate() {
                    let normal: [T; LANES] = *lanes(normals, i * normal.stride + column);
                    let slope = *slope.at(g * GROUP + i, column);
                    let at: &mut [T; LANES] = lanes_mut(own, i * stride + column);
                    let mut x = *at;
                    for lane in 0..LANES {
                        x[lane] = scale * slope[lane] * (x[lane] - mean - normal[lane] * along);
                    }
                    *at = x;
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
