//! Orthogonal initial weights (Saxe et al., 2014).

use super::mlp::Mlp;
use super::shape::Shape;
use crate::machine::Real;
use crate::rng::Rng;

impl<T: Real> Mlp<T> {
    /// Weights whose columns, or rows where these are fewer, are orthonormal: normal draws, made orthogonal one after the other. Biases
    /// are 0.
    pub fn orthogonal(shape: Shape, rng: &mut Rng) -> Self {
        let matrices: Vec<f64> =
            shape.layers.iter().flat_map(|l| matrix(l.inputs, l.outputs, rng)).collect();
        let mut numbers = matrices.into_iter();
        Self::new(shape, |_| numbers.next().expect("a number for each weight"))
    }
}

/// A row-major matrix with orthonormal columns or rows.
fn matrix(rows: usize, columns: usize, rng: &mut Rng) -> Vec<f64> {
    let (count, length) = (rows.min(columns), rows.max(columns));
    let mut vectors: Vec<Vec<f64>> = Vec::with_capacity(count);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    while vectors.len() < count {
        let mut vector = vec![0.0; length];
        rng.fill_normal(&mut vector);
        // Twice: what the first pass leaves by rounding, the second takes away.
        for _ in 0..2 {
            for other in &vectors {
                let along = dot(&vector, other);
                vector.iter_mut().zip(other).for_each(|(x, &o)| *x -= along * o);
            }
            let norm = dot(&vector, &vector).sqrt();
            vector.iter_mut().for_each(|x| *x /= norm);
        }
        vectors.push(vector);
    }
    let at = |i: usize, o: usize| if rows >= columns { vectors[o][i] } else { vectors[i][o] };
    (0..rows).flat_map(|i| (0..columns).map(move |o| (i, o))).map(|(i, o)| at(i, o)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_or_rows_are_orthonormal() {
        for (rows, columns) in [(7, 3), (3, 7), (5, 5)] {
            let w = matrix(rows, columns, &mut Rng::new(0, "orthogonal"));
            let tall = rows >= columns;
            let (count, length) = (rows.min(columns), rows.max(columns));
            let at =
                |v: usize, k: usize| if tall { w[k * columns + v] } else { w[v * columns + k] };
            for a in 0..count {
                for b in 0..count {
                    let product: f64 = (0..length).map(|k| at(a, k) * at(b, k)).sum();
                    let expected = f64::from(u8::from(a == b));
                    assert!((product - expected).abs() < 1e-12, "{rows}x{columns}: {a}, {b}");
                }
            }
        }
    }
}
