//! Products and outer products against their definitions.

use super::epilogue::Plain;
use super::gemm::{ProductStart, product};
use super::lanes::padded;
use super::matrix::{Rows, RowsMut};
use super::outer::add_outer_product;
use super::pack::{pack, unpack};
use crate::rng::Rng;

fn random(n: usize, rng: &mut Rng) -> Vec<f64> {
    let mut x = vec![0.0; n];
    rng.fill_normal(&mut x);
    x
}

#[test]
fn products_match_the_definition_at_every_remainder() {
    let mut rng = Rng::new(0, "gemm");
    for (rows, depth, columns) in [
        (1, 1, 1),
        (7, 3, 16),
        (13, 14, 24),
        (26, 33, 200),
        (6, 200, 17),
        (150, 70, 1),
        (20, 9, 33),
    ] {
        let a = random(rows * depth, &mut rng);
        let b = random(depth * columns, &mut rng);
        let bias = random(padded(columns), &mut rng);
        let mut panels = vec![0.0; depth * padded(columns)];
        pack(&b, columns, &mut panels);
        let stride = padded(columns);
        let mut c = vec![0.0; rows * stride];
        product(
            Rows { data: &a, columns: depth, stride: depth },
            &panels,
            depth,
            ProductStart::Bias(&bias),
            RowsMut { data: &mut c, columns, stride },
            &mut Plain,
        );
        for i in 0..rows {
            for j in 0..columns {
                let exact: f64 = bias[j]
                    + (0..depth).map(|p| a[i * depth + p] * b[p * columns + j]).sum::<f64>();
                assert!((c[i * stride + j] - exact).abs() < 1e-12 * depth as f64, "{i} {j}");
            }
        }
        // Aᵀ·C and the sums of C's columns, added to what is there.
        let mut out = vec![1.0; depth * padded(columns)];
        let mut sums = vec![1.0; padded(columns)];
        add_outer_product(
            Rows { data: &a, columns: depth, stride: depth },
            Rows { data: &c, columns, stride },
            &mut out,
            &mut sums,
        );
        for (j, sum) in sums.iter().enumerate().take(columns) {
            let exact = 1.0 + (0..rows).map(|i| c[i * stride + j]).sum::<f64>();
            assert!((sum - exact).abs() < 1e-10, "{j}");
        }
        let mut plain = vec![0.0; depth * columns];
        unpack(&out, columns, &mut plain);
        for p in 0..depth {
            for j in 0..columns {
                let exact: f64 =
                    1.0 + (0..rows).map(|i| a[i * depth + p] * c[i * stride + j]).sum::<f64>();
                assert!((plain[p * columns + j] - exact).abs() < 1e-10, "{p} {j}");
            }
        }
    }
}
