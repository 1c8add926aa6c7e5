//! Extremes, and the errors of the functions in single precision.

use crate::machine::Real;
use crate::machine::isa::{Fused, dispatched};

dispatched! {
    /// The larger and the smaller of two vectors' numbers, as a kernel would compute them.
    fn extremes<T, I>(a: &[T], b: &[T], largest: &mut [T], smallest: &mut [T]) {
        let results = largest.iter_mut().zip(smallest);
        for ((&a, &b), (largest, smallest)) in a.iter().zip(b).zip(results) {
            *largest = a.max(b);
            *smallest = a.min(b);
        }
    }
}

fn nan_stays_in_extremes<T: Real>() {
    let nan = T::from_f64(f64::NAN);
    let numbers = [1.5, -2.0, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0].map(T::from_f64);
    let all = [&numbers[..], &[nan, -nan]].concat();
    let pairs: Vec<(T, T)> = all.iter().flat_map(|&a| all.iter().map(move |&b| (a, b))).collect();
    let (a, b): (Vec<T>, Vec<T>) = pairs.iter().copied().unzip();
    let (mut largest, mut smallest) = (a.clone(), a.clone());
    extremes(&a, &b, &mut largest, &mut smallest);
    let bits = |x: T| x.to_f64().to_bits();
    for (i, &(a, b)) in pairs.iter().enumerate() {
        for (kernel, alone, first) in
            [(largest[i], a.max(b), a > b), (smallest[i], a.min(b), a < b)]
        {
            if a.is_nan() || b.is_nan() {
                assert!(kernel.is_nan() && alone.is_nan(), "{a:?}, {b:?}: {kernel:?}, {alone:?}");
            } else {
                // Bit for bit, a zero's sign included.
                let expected = bits(if first { a } else { b });
                assert_eq!([bits(kernel), bits(alone)], [expected; 2], "{a:?}, {b:?}");
            }
        }
    }
    // A clamp, as of a policy's log σ.
    assert!(nan.max(T::ZERO).min(T::ONE).is_nan());
}

#[test]
fn the_larger_and_the_smaller_of_two_numbers_pass_nan_on() {
    nan_stays_in_extremes::<f32>();
    nan_stays_in_extremes::<f64>();
}

#[test]
fn exp_f32_stays_within_its_error_bound() {
    let mut worst = 0.0_f64;
    for i in -87_000..88_000 {
        let x = (i as f32 * 1e-3).max(-87.0);
        let exact = f64::from(x).exp();
        for y in [Real::exp(x), x.exp_by::<Fused>()] {
            worst = worst.max((f64::from(y) - exact).abs() / exact);
        }
    }
    assert!(worst < 2.5e-7, "relative error {worst:e}");
    assert!(Real::exp(-1000.0_f32) < 1e-37 && Real::exp(1000.0_f32).is_finite());
}

#[test]
fn the_slope_of_tanh_is_right_where_tanh_has_come_near_1() {
    for i in -43_000..=43_000 {
        for x in [(i as f32 * 1e-3).clamp(-43.0, 43.0), i as f32 * 1e-8] {
            let (t, slope) = x.tanh_with_slope();
            assert_eq!(t.to_bits(), Real::tanh(x).to_bits(), "tanh {x}");
            let q = (-2.0 * f64::from(x).abs()).exp();
            let exact = 4.0 * q / (1.0 + q).powi(2);
            let error = (f64::from(slope) - exact).abs();
            assert!(error <= 1e-6 * exact, "slope at {x}: {error:e} of {exact:e}");
            let (_, wide) = f64::from(x).tanh_with_slope();
            assert!((wide - exact).abs() <= 1e-15 * exact, "slope at {x}");
        }
    }
    let (t, slope) = f32::NAN.tanh_with_slope();
    assert!(t.is_nan() && slope.is_nan());
    for x in [1e30_f32, f32::INFINITY] {
        assert_eq!([x.tanh_with_slope().0, (-x).tanh_with_slope().0], [1.0, -1.0]);
        assert!(x.tanh_with_slope().1 < 1e-30 && (-x).tanh_with_slope().1 < 1e-30);
    }
}

#[test]
fn tanh_and_ln_f32_stay_within_their_error_bounds() {
    for i in -100_000..=100_000 {
        for x in [i as f32 * 2e-4, i as f32 * 1e-8] {
            let exact = f64::from(x).tanh();
            let error = (f64::from(Real::tanh(x)) - exact).abs();
            assert!(error <= 4e-7 * exact.abs(), "tanh {x}: {error:e}");
        }
        if i > 0 {
            for x in [i as f32 * 1e-4, i as f32 * 1e-12, i as f32 * 1e20] {
                let exact = f64::from(x).ln();
                let error = (f64::from(Real::ln(x)) - exact).abs();
                assert!(error <= 2e-7 * (1.0 + exact.abs()), "ln {x}: {error:e}");
            }
        }
    }
    assert!(Real::tanh(f32::NAN).is_nan() && Real::ln(f32::NAN).is_nan());
    assert_eq!((Real::tanh(1e30_f32), Real::tanh(-1e30_f32)), (1.0, -1.0));
}
