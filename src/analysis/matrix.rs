//! Matrices of a few numbers, their sizes known to the compiler: what the theorems' checks are computed with.

/// A matrix, row by row.
pub type Matrix<const R: usize, const C: usize> = [[f64; C]; R];
/// a·b.
pub fn product<const R: usize, const M: usize, const C: usize>(
    a: &Matrix<R, M>,
    b: &Matrix<M, C>,
) -> Matrix<R, C> {
    std::array::from_fn(|i| std::array::from_fn(|j| (0..M).map(|k| a[i][k] * b[k][j]).sum()))
}

/// aᵀ.
pub fn transposed<const R: usize, const C: usize>(a: &Matrix<R, C>) -> Matrix<C, R> {
    std::array::from_fn(|i| std::array::from_fn(|j| a[j][i]))
}

/// a + b.
pub fn sum<const R: usize, const C: usize>(a: &Matrix<R, C>, b: &Matrix<R, C>) -> Matrix<R, C> {
    std::array::from_fn(|i| std::array::from_fn(|j| a[i][j] + b[i][j]))
}

/// a·x.
pub fn apply<const R: usize, const C: usize>(a: &Matrix<R, C>, x: &[f64; C]) -> [f64; R] {
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

/// The spectral norm, by the power method on aᵀ·a.
pub fn spectral_norm<const R: usize, const C: usize>(a: &Matrix<R, C>) -> f64 {
    let square = product(&transposed(a), a);
    // No entry is 0, so that no eigenvector of these matrices is missed.
    let mut x: [f64; C] = std::array::from_fn(|i| 1.0 + 0.1 * i as f64);
    for _ in 0..2000 {
        let y = apply(&square, &x);
        let length = norm(&y);
        if length == 0.0 {
            return 0.0;
        }
        x = y.map(|y| y / length);
    }
    norm(&apply(a, &x))
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
}
