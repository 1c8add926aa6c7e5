//! The float types networks run in: `f32` in production, `f64` where derivatives are checked; and how an instruction set
//! rounds their products.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

use super::LANES;

/// What the instruction set that a hot loop is compiled for decides.
pub trait Isa {
    /// Rows of a register tile one panel wide.
    const TILE_ROWS: usize = 6;
    /// Whether the registers hold two rows of four panels' sums.
    const PAIRS: bool = false;

    /// `a·b + c`, rounded once or twice.
    fn fma<T: Real>(a: T, b: T, c: T) -> T;
}

/// Without a fused instruction: `mul_add` would call a slow library routine.
pub struct Separate;
impl Isa for Separate {
    #[inline(always)]
    fn fma<T: Real>(a: T, b: T, c: T) -> T {
        a * b + c
    }
}

/// A float type that networks can run in.
pub trait Real:
    Copy
    + Default
    + PartialOrd
    + Send
    + Sync
    + std::fmt::Debug
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + Sum
    + 'static
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// Rounds to this type.
    fn from_f64(value: f64) -> Self;
    /// Rounds to this type.
    fn from_f32(value: f32) -> Self;
    /// Widens.
    fn to_f64(self) -> f64;
    /// Rounds to `f32`.
    fn to_f32(self) -> f32;
    /// `self·b + c`, rounded once. Slow where the processor has no such instruction; see [`Isa::fma`].
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// e^self, in straight-line code that vectorises, rounding as `I` does. `f32`: relative error below 2.5e-7, inputs
    /// outside [−87, 88] are clamped there.
    fn exp_by<I: Isa>(self) -> Self;
    /// e^self, the same bits on every machine.
    fn exp(self) -> Self {
        self.exp_by::<Separate>()
    }
    /// Natural logarithm. `f32`: of normal positive numbers, in straight-line code, absolute error below 2e-7·(1 + |ln x|).
    fn ln(self) -> Self;
    /// ln(1 + self).
    fn ln_1p(self) -> Self;
    /// Hyperbolic tangent. `f32`: in straight-line code, relative error below 4e-7.
    fn tanh(self) -> Self;
    /// tanh x and its slope 1 − tanh²x, which does not come from the first: near ±1 that would cancel. `f32`: the same bits as
    /// [`Real::tanh`], and a slope of relative error below 1e-6 up to |x| = 43.
    fn tanh_with_slope(self) -> (Self, Self);
    /// Square root.
    fn sqrt(self) -> Self;
    /// The larger; NaN where either is NaN (the standard library's returns the other number), so that a clamp or the least
    /// of several critics passes on what has gone wrong. Of two zeros the second, whatever their signs.
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        if self > other || self.is_nan() { self } else { other }
    }
    /// The smaller, with the same rules as [`Real::max`].
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        if self < other || self.is_nan() { self } else { other }
    }
    /// Not a number.
    #[inline(always)]
    #[allow(clippy::eq_op)] // Only NaN differs from itself.
    fn is_nan(self) -> bool {
        self != self
    }
    /// The number itself where `value`, which is not negative, is above 0; else 0. By integer operations on the bits: a
    /// comparison becomes branches or masked stores, both slow.
    fn gated_by(self, value: Self) -> Self;
    /// Which of these numbers are not zero, the first in the lowest bit. NaN is not zero.
    fn nonzero(numbers: &[Self; LANES]) -> u16;
    /// Neither infinite nor NaN.
    fn is_finite(self) -> bool;
}

/// e^x as 2^k·(1 + r + p·r²), where k = round(x/ln 2), |r| ≤ ½ ln 2 and p is the Taylor polynomial of degree 5.
struct ReducedExp {
    /// k in the low bits: moved to the exponent field they multiply by 2^k.
    k: u32,
    r: f32,
    p: f32,
}

impl ReducedExp {
    #[inline(always)]
    fn new<I: Isa>(x: f32) -> Self {
        /// 1.5·2²³: adding it leaves the nearest integer in the low mantissa bits.
        const ROUND: f32 = 12_582_912.0;
        // ln 2 in two parts, the first with few mantissa bits, so that k·ln 2 loses nothing.
        const LN_2_HIGH: f32 = 0.693_359_4;
        const LN_2_LOW: f32 = -2.121_944_4e-4;
        let shifted = I::fma(x, std::f32::consts::LOG2_E, ROUND);
        let k = shifted - ROUND;
        let r = I::fma(k, -LN_2_LOW, I::fma(k, -LN_2_HIGH, x));
        let p = 1.0 / 5040.0;
        let p = I::fma(p, r, 1.0 / 720.0);
        let p = I::fma(p, r, 1.0 / 120.0);
        let p = I::fma(p, r, 1.0 / 24.0);
        let p = I::fma(p, r, 1.0 / 6.0);
        let p = I::fma(p, r, 0.5);
        Self { k: shifted.to_bits(), r, p }
    }
}

/// [`Real::nonzero`] on any machine.
fn nonzero<T: Real>(numbers: &[T; LANES]) -> u16 {
    let mut mask = 0;
    for (i, &x) in numbers.iter().enumerate() {
        mask |= u16::from(x != T::ZERO) << i;
    }
    mask
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    fn from_f64(value: f64) -> Self {
        value as f32
    }
    fn from_f32(value: f32) -> Self {
        value
    }
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    fn to_f32(self) -> f32 {
        self
    }
    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        f32::mul_add(self, b, c)
    }
    #[inline(always)]
    fn exp_by<I: Isa>(self) -> Self {
        let ReducedExp { k, r, p } = ReducedExp::new::<I>(self.clamp(-87.0, 88.0));
        let e = I::fma(I::fma(p, r, 1.0), r, 1.0);
        f32::from_bits(e.to_bits().wrapping_add(k << 23))
    }
    /// With x = m·2ᵉ and m in [√½, √2), ln m = 2·artanh s at s = (m − 1)/(m + 1), |s| < 0.172.
    #[inline(always)]
    #[allow(clippy::eq_op)] // x − x tells whether x is a number.
    fn ln(self) -> Self {
        /// The bits of √½: subtracted, they make the exponent's step fall there.
        const ROOT_HALF: u32 = 0x3F35_04F3;
        let exponent = (self.to_bits().wrapping_sub(ROOT_HALF) as i32) >> 23;
        let m = f32::from_bits(self.to_bits().wrapping_sub((exponent as u32) << 23));
        let s = (m - 1.0) / (m + 1.0);
        let q = s * s;
        let p = 1.0 / 9.0;
        let p = p * q + 1.0 / 7.0;
        let p = p * q + 1.0 / 5.0;
        let p = p * q + 1.0 / 3.0;
        // The last term is 0, or NaN where x was no number.
        exponent as f32 * std::f32::consts::LN_2 + (s + s) * (p * q + 1.0) + (self - self)
    }
    fn ln_1p(self) -> Self {
        f32::ln_1p(self)
    }
    /// e/(e + 2) with e = e^{2x} − 1 = 2^k·(e^r − 1) + (2^k − 1), which loses nothing near 0.
    #[inline(always)]
    fn tanh(self) -> Self {
        // Beyond 10, tanh rounds to 1.
        let ReducedExp { k, r, p } = ReducedExp::new::<Separate>(2.0 * self.clamp(-10.0, 10.0));
        let p = p * r * r + r;
        let power = f32::from_bits(1.0_f32.to_bits().wrapping_add(k << 23));
        let e = power * p + (power - 1.0);
        e / (e + 2.0)
    }
    /// With E = e^{2x}, of which e is E − 1, the slope is 4·E/(E + 1)².
    #[inline(always)]
    fn tanh_with_slope(self) -> (Self, Self) {
        // Up to there 1/(E + 1) is a normal number.
        let ReducedExp { k, r, p } = ReducedExp::new::<Separate>(2.0 * self.clamp(-43.0, 43.0));
        let p = p * r * r + r;
        let power = f32::from_bits(1.0_f32.to_bits().wrapping_add(k << 23));
        let e = power * p + (power - 1.0);
        let share = 1.0 / (e + 2.0);
        (e / (e + 2.0), 4.0 * ((power * p + power) * share) * share)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        f32::sqrt(self)
    }
    #[inline(always)]
    fn gated_by(self, value: Self) -> Self {
        let mask = (value.to_bits().wrapping_neg() as i32) >> 31;
        Self::from_bits(self.to_bits() & mask as u32)
    }
    #[inline(always)]
    fn nonzero(numbers: &[Self; LANES]) -> u16 {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: SSE2 is part of every x86-64, and four numbers from 0, 4, 8 and 12 on are within 16.
        unsafe {
            use std::arch::x86_64::*;
            // Comparisons are all ones or all zeros, and stay so when they are packed to half the width.
            let zero = _mm_setzero_ps();
            let mut parts = [_mm_setzero_si128(); 4];
            for (i, part) in parts.iter_mut().enumerate() {
                let four = _mm_loadu_ps(numbers.as_ptr().add(4 * i));
                *part = _mm_castps_si128(_mm_cmpneq_ps(four, zero));
            }
            let first = _mm_packs_epi32(parts[0], parts[1]);
            let second = _mm_packs_epi32(parts[2], parts[3]);
            _mm_movemask_epi8(_mm_packs_epi16(first, second)) as u16
        }
        #[cfg(not(target_arch = "x86_64"))]
        nonzero(numbers)
    }
    fn is_finite(self) -> bool {
        f32::is_finite(self)
    }
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    fn from_f64(value: f64) -> Self {
        value
    }
    fn from_f32(value: f32) -> Self {
        f64::from(value)
    }
    fn to_f64(self) -> f64 {
        self
    }
    fn to_f32(self) -> f32 {
        self as f32
    }
    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        f64::mul_add(self, b, c)
    }
    fn exp_by<I: Isa>(self) -> Self {
        f64::exp(self)
    }
    fn ln(self) -> Self {
        f64::ln(self)
    }
    fn ln_1p(self) -> Self {
        f64::ln_1p(self)
    }
    fn tanh(self) -> Self {
        f64::tanh(self)
    }
    fn tanh_with_slope(self) -> (Self, Self) {
        let q = f64::exp(-2.0 * f64::abs(self));
        (f64::tanh(self), 4.0 * q / ((1.0 + q) * (1.0 + q)))
    }
    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }
    #[inline(always)]
    fn gated_by(self, value: Self) -> Self {
        let mask = (value.to_bits().wrapping_neg() as i64) >> 63;
        Self::from_bits(self.to_bits() & mask as u64)
    }
    fn nonzero(numbers: &[Self; LANES]) -> u16 {
        nonzero(numbers)
    }
    fn is_finite(self) -> bool {
        f64::is_finite(self)
    }
}

#[cfg(test)]
#[path = "real_tests.rs"]
mod tests;
