//! Elementwise passes of the hidden layers, over whole padded blocks. SiLU is f(z) = z·σ(z), with
//! f' = σ·(1 + z·(1 − σ)) and f'' = σ·(1 − σ)·(2 + z·(1 − 2σ)); all are zero-preserving on the padding as far as
//! products need (values and adjoints stay zero there).

use super::isa::dispatched;
use super::real::Real;

/// The nonlinearity of all hidden layers of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// max(z, 0).
    Relu,
    /// z·σ(z), "swish".
    Silu,
}

#[inline(always)]
fn sigmoid<T: Real>(z: T) -> T {
    T::ONE / (T::ONE + (-z).exp())
}

dispatched! {
    /// z → max(z, 0). NaN stays NaN, so that it is noticed.
    pub(crate) fn relu<T, I>(z: &mut [T]) {
        for z in z {
            *z = if *z < T::ZERO { T::ZERO } else { *z };
        }
    }
}

dispatched! {
    /// z → f(z).
    pub(crate) fn silu<T, I>(z: &mut [T]) {
        for z in z {
            *z = *z * sigmoid(*z);
        }
    }
}

dispatched! {
    /// z → f(z), and f'(z) beside it.
    pub(crate) fn silu_slope<T, I>(z: &mut [T], slope: &mut [T]) {
        for (z, d) in z.iter_mut().zip(slope) {
            let s = sigmoid(*z);
            let value = *z * s;
            *d = s + value * (T::ONE - s);
            *z = value;
        }
    }
}

dispatched! {
    /// z → f(z), with f'(z) and f''(z) beside it.
    pub(crate) fn silu_curve<T, I>(z: &mut [T], slope: &mut [T], curve: &mut [T]) {
        for ((z, d), c) in z.iter_mut().zip(slope).zip(curve) {
            let s = sigmoid(*z);
            let value = *z * s;
            let rest = T::ONE - s;
            *d = s + value * rest;
            *c = s * rest * (T::ONE + T::ONE + *z * (rest - s));
            *z = value;
        }
    }
}

dispatched! {
    /// adjoint ← adjoint·slope.
    pub(crate) fn scale<T, I>(adjoint: &mut [T], slope: &[T]) {
        for (a, &s) in adjoint.iter_mut().zip(slope) {
            *a *= s;
        }
    }
}

dispatched! {
    /// adjoint ← adjoint where the ReLU's value is positive, else 0.
    pub(crate) fn gate<T, I>(adjoint: &mut [T], value: &[T]) {
        for (a, &v) in adjoint.iter_mut().zip(value) {
            *a = if v > T::ZERO { *a } else { T::ZERO };
        }
    }
}

dispatched! {
    /// out ← slope·pre: one tangent row through the nonlinearity.
    pub(crate) fn tangent_row<T, I>(slope: &[T], pre: &[T], out: &mut [T]) {
        for ((o, &s), &z) in out.iter_mut().zip(slope).zip(pre) {
            *o = s * z;
        }
    }
}

dispatched! {
    /// One tangent row backwards: value_adjoint += curve·pre·adjoint, then adjoint ← slope·adjoint.
    pub(crate) fn tangent_row_backward<T, I>(
        slope: &[T],
        curve: &[T],
        pre: &[T],
        adjoint: &mut [T],
        value_adjoint: &mut [T],
    ) {
        let value = value_adjoint.iter_mut().zip(curve.iter().zip(pre));
        for ((a, &s), (v, (&c, &z))) in adjoint.iter_mut().zip(slope).zip(value) {
            *v = I::fma(c * z, *a, *v);
            *a = s * *a;
        }
    }
}

dispatched! {
    /// sums += the sum of all rows of `matrix`.
    pub(crate) fn add_column_sums<T, I>(matrix: &[T], stride: usize, sums: &mut [T]) {
        for row in matrix.chunks_exact(stride) {
            for (s, &x) in sums.iter_mut().zip(row) {
                *s += x;
            }
        }
    }
}

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
