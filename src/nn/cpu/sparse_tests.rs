//! The sums that leave zeros out against those that do not.

use super::*;
use crate::nn::Matrix;
use crate::nn::activation::{Gate, Relu};
use crate::nn::cpu::lanes::padded;
use crate::rng::Rng;

/// Normal numbers, of which a share is zero.
fn matrix(rows: usize, columns: usize, zeros: f64, rng: &mut Rng) -> Matrix<f32> {
    let mut matrix = Matrix::zeros(rows, columns);
    for row in 0..rows {
        rng.fill_normal(matrix.row_mut(row));
        for x in matrix.row_mut(row) {
            if rng.uniform() < zeros {
                *x = 0.0;
            }
        }
    }
    matrix
}

fn numbers(matrix: &Matrix<f32>) -> Vec<f32> {
    (0..matrix.rows()).flat_map(|row| matrix.row(row)).copied().collect()
}

/// Both ways, the one with zeros left out first.
fn products<E: Epilogue<f32>>(
    a: &Matrix<f32>,
    panels: &[f32],
    start: ProductStart<'_, f32>,
    columns: usize,
    mut epilogue: impl FnMut() -> E,
) -> [Vec<f32>; 2] {
    let (rows, depth) = (a.rows(), a.columns());
    let (mut c, mut expected) = (Matrix::zeros(rows, columns), Matrix::zeros(rows, columns));
    let a = a.view(0..rows);
    product(a, panels, depth, start, c.view_mut(0..rows), &mut epilogue());
    gemm::product(a, panels, depth, start, expected.view_mut(0..rows), &mut epilogue());
    [numbers(&c), numbers(&expected)]
}

#[test]
fn products_have_the_same_bits_with_zeros_left_out() {
    let mut rng = Rng::new(0, "sparse");
    for (rows, depth, columns) in
        [(1, 64, 64), (7, 128, 100), (65, 256, 40), (300, 256, 200), (129, 320, 256), (9, 100, 128)]
    {
        for zeros in [0.0, 0.5, 0.9, 1.0] {
            let a = matrix(rows, depth, zeros, &mut rng);
            let value = matrix(rows, columns, 0.5, &mut rng);
            let mut panels = vec![0.0; depth * padded(columns)];
            rng.fill_normal(&mut panels);
            let mut bias = vec![0.0; padded(columns)];
            rng.fill_normal(&mut bias);
            let [c, expected] = products(&a, &panels, ProductStart::Bias(&bias), columns, || Relu);
            assert!(c == expected, "{rows} {depth} {columns}, {zeros} zero");
            assert!(zeros == 1.0 || c.iter().any(|&x| x > 0.1));
            // The gate asks for the same row and column of another matrix.
            let gate = || Gate { value: value.view(0..rows) };
            let [c, expected] = products(&a, &panels, ProductStart::Zero, columns, gate);
            assert!(c == expected, "{rows} {depth} {columns}, {zeros} zero");
        }
    }
}

#[test]
fn outer_products_have_the_same_bits_with_zeros_left_out() {
    let mut rng = Rng::new(1, "sparse");
    for (rows, inputs, columns) in
        [(1, 16, 64), (64, 23, 100), (100, 256, 330), (250, 300, 130), (129, 256, 40)]
    {
        for zeros in [0.0, 0.5, 1.0] {
            let a = matrix(rows, inputs, zeros, &mut rng);
            let d = matrix(rows, columns, 0.5, &mut rng);
            // From the second panel on.
            let panels = columns.div_ceil(LANES) - 1;
            let (mut out, mut sums) =
                (vec![1.0; panels * inputs * LANES], vec![[2.0; LANES]; panels]);
            let (mut expected, mut expected_sums) = (out.clone(), sums.clone());
            let (a, d) = (a.view(0..rows), d.view(0..rows));
            add_outer_panels(a, d, 1, &mut out, &mut sums);
            outer::add_outer_panels(a, d, 1, &mut expected, &mut expected_sums);
            assert!(out == expected && sums == expected_sums, "{rows} {inputs} {columns}, {zeros}");
            // All panels, without sums.
            let mut out = vec![1.0; (panels + 1) * inputs * LANES];
            let mut expected = out.clone();
            add_outer_product(a, d, &mut out);
            outer::add_outer_product(a, d, &mut expected, &mut []);
            assert!(out == expected, "{rows} {inputs} {columns}, {zeros} zero");
        }
    }
}

/// A factor that is no number would show in every sum that it is multiplied into, even by zero.
#[test]
fn zeros_are_left_out_where_there_are_many() {
    let mut rng = Rng::new(2, "sparse");
    for (zeros, left_out) in [(0.5, true), (0.2, false)] {
        let mut a = matrix(100, 128, zeros, &mut rng);
        for row in 0..100 {
            a.row_mut(row)[77] = 0.0;
        }
        let mut panels = vec![1.0; 128 * 64];
        for panel in panels.chunks_exact_mut(128 * LANES) {
            panel[77 * LANES..78 * LANES].fill(f32::NAN);
        }
        let [c, expected] = products(&a, &panels, ProductStart::Zero, 64, || Plain);
        assert_eq!(c.iter().all(|x| x.is_finite()), left_out);
        assert!(expected.iter().all(|x| x.is_nan()));

        let mut a = matrix(100, 128, zeros, &mut rng);
        a.row_mut(50).fill(0.0);
        let mut d = matrix(100, 64, 0.0, &mut rng);
        d.row_mut(50).fill(f32::NAN);
        let (mut out, mut sums) = (vec![0.0; 128 * 64], vec![[0.0; LANES]; 4]);
        add_outer_panels(a.view(0..100), d.view(0..100), 0, &mut out, &mut sums);
        assert_eq!(out.iter().all(|x| x.is_finite()), left_out);
    }
}

#[test]
fn numbers_that_are_not_zero_are_found() {
    let mut numbers = [0.0; LANES];
    assert_eq!(f32::nonzero(&numbers), 0);
    numbers[0] = 1.0;
    numbers[3] = -0.0;
    numbers[4] = f32::NAN;
    numbers[9] = 1e-44;
    numbers[15] = -f32::INFINITY;
    assert_eq!(f32::nonzero(&numbers), 1 | 1 << 4 | 1 << 9 | 1 << 15);
    let wide = numbers.map(f64::from);
    assert_eq!(f64::nonzero(&wide), f32::nonzero(&numbers));
}
