//! Normal draws by the transform of Box and Muller, many at a time. Logarithm, sine and cosine are polynomials in
//! straight-line code without fused operations: vectorised, and the same bits on every machine, which no system library
//! promises.

use crate::machine::isa::dispatched;

/// Pairs of draws made at a time.
pub(crate) const PAIRS: usize = 32;

/// A uniform number in [0, 1) from the upper 52 bits of a word, without a conversion of integers.
#[inline(always)]
pub(crate) fn unit(word: u64) -> f64 {
    f64::from_bits((word >> 12) | 0x3FF0_0000_0000_0000) - 1.0
}

/// ln x for 0 < x ≤ 1: with x = m·2ᵉ and m in [√½, √2), ln m = 2·artanh s at s = (m − 1)/(m + 1), |s| < 0.172.
#[inline(always)]
fn ln(x: f64) -> f64 {
    /// The bits of √½: subtracted, they make the exponent's step fall there.
    const ROOT_HALF: u64 = 0x3FE6_A09E_667F_3BCD;
    /// 2⁵²: as the upper part of a float it turns the integer below into a number.
    const INTEGER: u64 = 0x4330_0000_0000_0000;
    let shifted = x.to_bits().wrapping_sub(ROOT_HALF).wrapping_add(64 << 52);
    let exponent = shifted >> 52;
    let m = f64::from_bits(x.to_bits().wrapping_sub(exponent << 52).wrapping_add(64 << 52));
    let e = f64::from_bits(INTEGER | exponent) - (4_503_599_627_370_496.0 + 64.0);
    let s = (m - 1.0) / (m + 1.0);
    let q = s * s;
    let p = 1.0 / 15.0;
    let p = p * q + 1.0 / 13.0;
    let p = p * q + 1.0 / 11.0;
    let p = p * q + 1.0 / 9.0;
    let p = p * q + 1.0 / 7.0;
    let p = p * q + 1.0 / 5.0;
    let p = p * q + 1.0 / 3.0;
    e * std::f64::consts::LN_2 + (s + s) * (p * q + 1.0)
}

/// (sin, cos) of a turn's part `u` in [0, 1): the nearest quarter, and Taylor polynomials within ±π/4 of it.
#[inline(always)]
fn sin_cos_turn(u: f64) -> (f64, f64) {
    /// 1.5·2⁵²: adding it leaves the nearest integer in the low mantissa bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let shifted = 4.0 * u + ROUND;
    let quarter = shifted.to_bits();
    let x = (4.0 * u - (shifted - ROUND)) * std::f64::consts::FRAC_PI_2;
    let q = x * x;
    let s = 1.0 / 6_227_020_800.0;
    let s = s * q - 1.0 / 39_916_800.0;
    let s = s * q + 1.0 / 362_880.0;
    let s = s * q - 1.0 / 5040.0;
    let s = s * q + 1.0 / 120.0;
    let s = s * q - 1.0 / 6.0;
    let sin = x + x * q * s;
    let c = 1.0 / 479_001_600.0;
    let c = c * q - 1.0 / 3_628_800.0;
    let c = c * q + 1.0 / 40_320.0;
    let c = c * q - 1.0 / 720.0;
    let c = c * q + 1.0 / 24.0;
    let c = c * q - 0.5;
    let cos = 1.0 + q * c;
    // Quarters 1 and 3 exchange sine and cosine; the signs follow from the quarter's two bits.
    let swap = (quarter & 1).wrapping_neg();
    let (a, b) = (sin.to_bits(), cos.to_bits());
    let sin = (b & swap) | (a & !swap);
    let cos = (a & swap) | (b & !swap);
    let sin_sign = (quarter & 2) << 62;
    let cos_sign = (quarter.wrapping_add(1) & 2) << 62;
    (f64::from_bits(sin ^ sin_sign), f64::from_bits(cos ^ cos_sign))
}

dispatched! {
    /// Uniform numbers in [0, 1) in, independent standard normal draws out.
    fn transform<T, I>(first: &mut [f64], second: &mut [f64]) {
        for (u, v) in first.iter_mut().zip(second) {
            let radius = (-2.0 * ln(1.0 - *u)).sqrt();
            let (sin, cos) = sin_cos_turn(*v);
            (*u, *v) = (radius * cos, radius * sin);
        }
    }
}

/// Uniform numbers in [0, 1) in, independent standard normal draws out.
pub(crate) fn box_muller(first: &mut [f64], second: &mut [f64]) {
    transform::<f64>(first, second);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_accurate() {
        for i in 1..=200_000 {
            let x = f64::from(i) / 200_000.0;
            for x in [x, x * 2.0_f64.powi(-40)] {
                assert!((ln(x) - x.ln()).abs() <= 1e-12 * x.ln().abs().max(1e-3), "ln {x}");
            }
            let turn = (x - 1e-9).max(0.0);
            let (sin, cos) = sin_cos_turn(turn);
            let angle = turn * std::f64::consts::TAU;
            assert!(
                (sin - angle.sin()).abs() < 1e-11 && (cos - angle.cos()).abs() < 1e-11,
                "{turn}"
            );
        }
        assert_eq!((ln(1.0), unit(0)), (0.0, 0.0));
        assert!(unit(u64::MAX) < 1.0);
    }
}
