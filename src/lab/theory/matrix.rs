//! Matrices of a few numbers, their sizes known to the compiler: what the theorems' checks are computed with.

/// A matrix, row by row.
pub type SmallMatrix<const R: usize, const C: usize> = [[f64; C]; R];
/// a·b.
pub fn product<const R: usize, const M: usize, const C: usize>(
    a: &SmallMatrix<R, M>,
    b: &SmallMatrix<M, C>,
) -> SmallMatrix<R, C> {
    std::array::from_fn(|i| std::array::from_fn(|j| (0..M).map(|k| a[i][k] * b[k][j]).sum()))
}

/// aᵀ.
pub fn transposed<const R: usize, const C: usize>(a: &SmallMatrix<R, C>) -> SmallMatrix<C, R> {
    std::array::from_fn(|i| std::array::from_fn(|j| a[j][i]))
}

/// a + b.
pub fn sum<const R: usize, const C: usize>(
    a: &SmallMatrix<R, C>,
    b: &SmallMatrix<R, C>,
) -> SmallMatrix<R, C> {
    std::array::from_fn(|i| std::array::from_fn(|j| a[i][j] + b[i][j]))
}

/// a·x.
pub fn apply<const R: usize, const C: usize>(a: &SmallMatrix<R, C>, x: &[f64; C]) -> [f64; R] {
    std::array::from_fn(|i| a[i].iter().zip(x).map(|(a, x)| a * x).sum())
}

/// a + b.
pub fn plus<const N: usize>(a: [f64; N], b: [f64; N]) -> [f64; N] {
    std::array::from_fn(|i| a[i] + b[i])
}

/// The Euclidean norm.
pub fn norm<const N: usize>(x: &[f64; N]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// The spectral norm.
pub fn spectral_norm<const R: usize, const C: usize>(a: &SmallMatrix<R, C>) -> f64 {
    largest_singular_value(a.as_flattened(), C)
}

/// Cosine between two columns under which they count as orthogonal.
const ORTHOGONAL: f64 = 1e-15;
/// Sweeps over all pairs of columns; convergence is quadratic, and ten are plenty.
const SWEEPS: usize = 40;

/// The spectral norm of a matrix of any size, stored row after row; NaN if an entry is not finite.
///
/// Rotates pairs of columns until all are orthogonal (one-sided Jacobi, Hestenes 1958): their lengths are the singular
/// values then.
pub fn largest_singular_value(values: &[f64], columns: usize) -> f64 {
    if !values.iter().all(|x| x.is_finite()) {
        return f64::NAN;
    }
    let mut all: Vec<Vec<f64>> = (0..columns)
        .map(|column| values.iter().skip(column).step_by(columns).copied().collect())
        .collect();
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    for _ in 0..SWEEPS {
        let mut rotated = false;
        for q in 1..columns {
            let (before, rest) = all.split_at_mut(q);
            let y = &mut rest[0];
            for x in before {
                let (xx, yy, xy) = (dot(x, x), dot(y, y), dot(x, y));
                if xy.abs() <= ORTHOGONAL * (xx * yy).sqrt() {
                    continue;
                }
                rotated = true;
                let zeta = (yy - xx) / (2.0 * xy);
                let tangent = zeta.signum() / (zeta.abs() + zeta.hypot(1.0));
                let cosine = 1.0 / tangent.hypot(1.0);
                let sine = cosine * tangent;
                for (x, y) in x.iter_mut().zip(y.iter_mut()) {
                    (*x, *y) = (cosine * *x - sine * *y, sine * *x + cosine * *y);
                }
            }
        }
        if !rotated {
            break;
        }
    }
    all.iter().map(|column| dot(column, column).sqrt()).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spectral_norm_is_the_largest_singular_value() {
        // [[3, 0], [4, 5]] has singular values 3√5 and √5.
        let found = spectral_norm(&[[3.0, 0.0], [4.0, 5.0]]);
        assert!((found - 3.0 * 5.0_f64.sqrt()).abs() < 1e-12, "{found}");
        assert_eq!(spectral_norm(&[[0.0; 3]; 2]), 0.0);
        let one = [[1.0, 2.0, 2.0]];
        assert!((spectral_norm(&one) - 3.0).abs() < 1e-12);
        assert_eq!(product(&one, &transposed(&one)), [[9.0]]);
    }

    #[test]
    fn any_size_has_a_largest_singular_value() {
        // U·diag(3, 2, …)·Vᵀ with U and V products of reflections I − 2·u·uᵀ/‖u‖².
        let mut rng = crate::rng::Rng::new(0, "matrix test");
        for (rows, columns) in [(1, 1), (5, 2), (2, 5), (17, 17), (45, 62)] {
            let mut a = vec![0.0; rows * columns];
            (0..rows.min(columns)).for_each(|i| a[i * columns + i] = 3.0 / (1.0 + i as f64));
            let mut reflect = |a: &mut [f64],
                               length: usize,
                               along: &dyn Fn(usize, usize) -> usize,
                               other: usize| {
                let mut u = vec![0.0; length];
                rng.fill_normal(&mut u);
                let square = u.iter().map(|x| x * x).sum::<f64>();
                for j in 0..other {
                    let product: f64 = (0..length).map(|i| u[i] * a[along(i, j)]).sum();
                    (0..length).for_each(|i| a[along(i, j)] -= 2.0 * u[i] * product / square);
                }
            };
            for _ in 0..3 {
                reflect(&mut a, rows, &|i, j| i * columns + j, columns);
                reflect(&mut a, columns, &|i, j| j * columns + i, rows);
            }
            let found = largest_singular_value(&a, columns);
            assert!((found - 3.0).abs() < 1e-12, "{rows} by {columns}: {found}");
        }
        assert!(largest_singular_value(&[1.0, f64::NAN], 1).is_nan());
        assert_eq!(largest_singular_value(&[], 3), 0.0);
    }
}
