//! Passes over whole parameter and gradient vectors.

use rayon::prelude::*;

use crate::machine::Real;
use crate::machine::isa::dispatched;

/// Numbers that are worth a thread: a pass over them takes a microsecond or two.
pub const GRAIN: usize = 4096;

dispatched! {
    /// sum += other.
    pub fn add_assign<T, I>(sum: &mut [T], other: &[T]) {
        for (s, &x) in sum.iter_mut().zip(other) {
            *s += x;
        }
    }
}

/// sum += other. Threads share them.
pub fn add_assign_shared<T: Real>(sum: &mut [T], other: &[T]) {
    let pairs = sum.par_chunks_mut(GRAIN).zip(other.par_chunks(GRAIN));
    pairs.for_each(|(sum, other)| add_assign(sum, other));
}

dispatched! {
    fn blend_one<T, I>(target: &mut [T], source: &[T], rate: T) {
        for (t, &s) in target.iter_mut().zip(source) {
            *t = I::fma(rate, s - *t, *t);
        }
    }
}

/// target ← target + rate·(source − target) (Polyak). Threads share them.
pub fn blend<T: Real>(target: &mut [T], source: &[T], rate: T) {
    let pairs = target.par_chunks_mut(GRAIN).zip(source.par_chunks(GRAIN));
    pairs.for_each(|(target, source)| blend_one(target, source, rate));
}

/// Whether no number is NaN or infinite. Threads share them.
pub fn all_finite<T: Real>(values: &[T]) -> bool {
    values.par_chunks(GRAIN).all(is_finite)
}

/// 0·x is 0 exactly for finite x; several sums keep the loop wide.
fn is_finite<T: Real>(values: &[T]) -> bool {
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
    use super::*;

    #[test]
    fn one_bad_number_anywhere_is_found() {
        for len in [1, 31, 32, 100, GRAIN + 3] {
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
