//! Passes over whole parameter and gradient vectors.

use super::isa::dispatched;
use super::real::Real;

dispatched! {
    /// sum += other.
    pub fn add_assign<T, I>(sum: &mut [T], other: &[T]) {
        for (s, &x) in sum.iter_mut().zip(other) {
            *s += x;
        }
    }
}

dispatched! {
    /// target ← target + rate·(source − target) (Polyak).
    pub fn blend<T, I>(target: &mut [T], source: &[T], rate: T) {
        for (t, &s) in target.iter_mut().zip(source) {
            *t = I::fma(rate, s - *t, *t);
        }
    }
}

/// Whether no number is NaN or infinite. 0·x is 0 exactly for finite x; several sums keep the loop wide.
pub fn all_finite<T: Real>(values: &[T]) -> bool {
    let mut sums = [T::ZERO; 32];
    let mut chunks = values.chunks_exact(sums.len());
    for chunk in &mut chunks {
        for (s, &x) in sums.iter_mut().zip(chunk) {
            *s += T::ZERO * x;
        }
    }
    sums.iter().all(|&s| s == T::ZERO) && chunks.remainder().iter().all(|x| x.is_finite())
}

#[cfg(test)]
mod tests {
    use super::all_finite;

    #[test]
    fn one_bad_number_anywhere_is_found() {
        for len in [1, 31, 32, 100] {
            let good = vec![-1e38_f32; len];
            assert!(all_finite(&good));
            for (at, bad) in
                (0..len).zip([f32::NAN, f32::INFINITY, f32::NEG_INFINITY].iter().cycle())
            {
                let mut values = good.clone();
                values[at] = *bad;
                assert!(!all_finite(&values), "{bad} at {at} of {len}");
            }
        }
    }
}
