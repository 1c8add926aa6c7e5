//! A Bernoulli head: a network's one output is the logit x of an event, whose probability is 1/(1 + e^−x).

use crate::nn::Real;

/// Probability of the event.
pub fn probability<T: Real>(logit: T) -> T {
    // The power has no positive exponent, so nothing overflows. NaN comes through.
    if logit > T::ZERO {
        T::ONE / (T::ONE + (-logit).exp())
    } else {
        let odds = logit.exp();
        odds / (T::ONE + odds)
    }
}

/// −ln of the probability that the head gives to what happened: ln(1 + e^x) − d·x, and its derivative by x,
/// [`probability`] − d.
pub fn cross_entropy<T: Real>(logit: T, happened: bool) -> (T, T) {
    let size = if logit < T::ZERO { logit } else { -logit };
    let softplus = logit.max(T::ZERO) + size.exp().ln_1p();
    let d = if happened { T::ONE } else { T::ZERO };
    (softplus - d * logit, probability(logit) - d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_is_the_negative_logarithm_and_its_slope_a_central_difference() {
        for logit in [-30.0, -3.0, -0.2, 0.0, 0.7, 4.0, 25.0] {
            let p: f64 = probability(logit);
            assert!((p - 1.0 / (1.0 + (-logit).exp())).abs() < 1e-15);
            for (happened, q) in [(true, p), (false, probability(-logit))] {
                let (loss, slope) = cross_entropy(logit, happened);
                assert!((loss + q.ln()).abs() < 1e-12 * (1.0 + loss), "{logit}: {loss}");
                let at = |h: f64| cross_entropy(logit + h, happened).0;
                assert!(((at(1e-5) - at(-1e-5)) / 2e-5 - slope).abs() < 1e-9, "{logit}");
            }
        }
    }

    #[test]
    fn large_logits_do_not_overflow_and_nan_comes_through() {
        for x in [-1e30_f32, -200.0, 200.0, 1e30] {
            let happened = x < 0.0;
            let (loss, slope) = cross_entropy(x, happened);
            assert!((loss - x.abs()).abs() <= 1e-6 * x.abs() && (slope.abs() - 1.0).abs() < 1e-6);
            assert!(cross_entropy(x, !happened).0 < 1e-6);
        }
        let (loss, slope) = cross_entropy(f32::NAN, true);
        assert!(loss.is_nan() && slope.is_nan() && probability(f32::NAN).is_nan());
    }
}
