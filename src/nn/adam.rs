//! Adam (Kingma & Ba, 2015), with PyTorch's defaults β₁ = 0.9, β₂ = 0.999, ε = 1e-8, and RAdam (Liu et al., 2020), which holds
//! Adam's first steps back.

use rayon::prelude::*;

use super::cpu::vector::GRAIN;
use crate::machine::Real;
use crate::machine::isa::dispatched;

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Moments of one parameter vector.
#[derive(Clone, Debug)]
pub struct Adam<T> {
    /// First moment.
    pub first: Vec<T>,
    /// Second moment.
    pub second: Vec<T>,
    /// Updates done.
    pub updates: u64,
    pub(super) learning_rate: f64,
    /// Whether steps are RAdam's.
    pub(super) rectified: bool,
}

/// What is constant during one update.
#[derive(Clone, Copy)]
struct Factors<T> {
    rate: T,
    second_scale: T,
    decay: T,
    clip: T,
    beta_1: T,
    beta_2: T,
    epsilon: T,
}

dispatched! {
    /// One Adam step on parameters that share a weight penalty.
    fn step<T, I>(
        parameters: &mut [T],
        gradient: &[T],
        first: &mut [T],
        second: &mut [T],
        f: Factors<T>,
    ) {
        let moments = first.iter_mut().zip(second);
        for ((p, &g), (m, v)) in parameters.iter_mut().zip(gradient).zip(moments) {
            let g = I::fma(f.decay, *p, g);
            let g = if g > f.clip { f.clip } else { g };
            let g = if g < -f.clip { -f.clip } else { g };
            *m = I::fma(f.beta_1, *m - g, g);
            *v = I::fma(f.beta_2, *v - g * g, g * g);
            *p -= f.rate * *m / ((*v).sqrt() * f.second_scale + f.epsilon);
        }
    }
}

impl<T: Real> Adam<T> {
    /// Moments at zero for `len` parameters.
    pub fn new(len: usize, learning_rate: f64) -> Self {
        let moments = || vec![T::ZERO; len];
        let (first, second) = (moments(), moments());
        Self { first, second, updates: 0, learning_rate, rectified: false }
    }

    /// [`Adam::new`], with RAdam's steps: how far the second moment can be trusted after so few gradients is a factor of the rate, and
    /// while it cannot at all, in the first five updates, steps are those of momentum alone.
    pub fn rectified(len: usize, learning_rate: f64) -> Self {
        Self { rectified: true, ..Self::new(len, learning_rate) }
    }

    /// Forgets the moments, as if no update had been.
    pub fn restart(&mut self) {
        self.first.fill(T::ZERO);
        self.second.fill(T::ZERO);
        self.updates = 0;
    }

    /// Whether steps are RAdam's.
    pub fn is_rectified(&self) -> bool {
        self.rectified
    }

    /// The factors of plain Adam's update number `update`, from 1: rate/(1 − β₁ⁿ) and √(1/(1 − β₂ⁿ)).
    pub fn factors_of(&self, update: u64) -> [f64; 2] {
        let n = update as i32;
        [self.learning_rate / (1.0 - BETA_1.powi(n)), (1.0 / (1.0 - BETA_2.powi(n))).sqrt()]
    }

    /// Opens an update: call [`AdamStep::apply`] on every part of the parameters once.
    pub fn begin(&mut self) -> AdamStep<'_, T> {
        self.updates += 1;
        AdamStep { clip: f64::INFINITY, adam: self }
    }

    /// One update of all parameters, gradient entries clipped to ±`clip` first. Threads share them.
    pub fn update_clipped(&mut self, parameters: &mut [T], gradient: &[T], clip: f64) {
        let mut opened = self.begin();
        opened.clip = clip;
        let factors = opened.factors(0.0);
        let moments = self.first.par_chunks_mut(GRAIN).zip(self.second.par_chunks_mut(GRAIN));
        let parameters = parameters.par_chunks_mut(GRAIN).zip(gradient.par_chunks(GRAIN));
        parameters.zip(moments).for_each(|((p, g), (m, v))| step(p, g, m, v, factors));
    }
}

/// One update in progress.
pub struct AdamStep<'a, T> {
    adam: &'a mut Adam<T>,
    clip: f64,
}

impl<T: Real> AdamStep<'_, T> {
    /// Moves `parameters[range]` by `gradient[range]` plus the penalty gradient `decay`·parameter.
    pub fn apply(
        &mut self,
        parameters: &mut [T],
        gradient: &[T],
        range: std::ops::Range<usize>,
        decay: f64,
    ) {
        let factors = self.factors(decay);
        step(
            &mut parameters[range.clone()],
            &gradient[range.clone()],
            &mut self.adam.first[range.clone()],
            &mut self.adam.second[range],
            factors,
        );
    }

    /// [`AdamStep::apply`] with a penalty that does not go through the moments (AdamW; Loshchilov & Hutter, 2019): first,
    /// parameter ← (1 − rate·`decay`)·parameter.
    pub fn apply_decoupled(
        &mut self,
        parameters: &mut [T],
        gradient: &[T],
        range: std::ops::Range<usize>,
        decay: f64,
    ) {
        let kept = T::from_f64(1.0 - self.adam.learning_rate * decay);
        parameters[range.clone()].iter_mut().for_each(|p| *p *= kept);
        self.apply(parameters, gradient, range, 0.0);
    }

    fn factors(&self, decay: f64) -> Factors<T> {
        let n = self.adam.updates as i32;
        let [rate, second_scale] = self.adam.factors_of(self.adam.updates);
        let factors = Factors {
            rate: T::from_f64(rate),
            second_scale: T::from_f64(second_scale),
            decay: T::from_f64(decay),
            clip: T::from_f64(self.clip),
            beta_1: T::from_f64(BETA_1),
            beta_2: T::from_f64(BETA_2),
            epsilon: T::from_f64(EPSILON),
        };
        if !self.adam.rectified {
            return factors;
        }
        match rectification(self.adam.updates) {
            Some(rectification) => {
                let rate = self.adam.learning_rate * rectification / (1.0 - BETA_1.powi(n));
                Factors { rate: T::from_f64(rate), ..factors }
            }
            // A denominator of 1.
            None => Factors { second_scale: T::ZERO, epsilon: T::ONE, ..factors },
        }
    }
}

/// RAdam's factor of update number `k`, from 1; `None` where the variance of Adam's denominator is not bounded.
fn rectification(k: u64) -> Option<f64> {
    let longest = 2.0 / (1.0 - BETA_2) - 1.0;
    let remembered = BETA_2.powf(k as f64);
    let length = longest - 2.0 * k as f64 * remembered / (1.0 - remembered);
    let share = |length: f64| (length - 4.0) * (length - 2.0) / length;
    (length >= 5.0).then(|| (share(length) / share(longest)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_published_recursion() {
        let (mut p, mut m, mut v) = (0.5_f64, 0.0, 0.0);
        let mut parameters = vec![p];
        let mut adam = Adam::new(1, 0.1);
        for t in 1..=50 {
            let gradient = p.sin() * 3.0;
            let clipped = (gradient + 0.01 * p).clamp(-1.0, 1.0);
            m = 0.9 * m + 0.1 * clipped;
            v = 0.999 * v + 0.001 * clipped * clipped;
            p -= 0.1 * (m / (1.0 - 0.9_f64.powi(t)))
                / ((v / (1.0 - 0.999_f64.powi(t))).sqrt() + 1e-8);
            let mut step = adam.begin();
            step.clip = 1.0;
            step.apply(&mut parameters, &[gradient], 0..1, 0.01);
            assert!((parameters[0] - p).abs() < 1e-12, "update {t}");
        }
        assert!(p.abs() < 0.5);
    }

    #[test]
    fn rectified_steps_are_momentum_at_first_and_adam_in_the_end() {
        assert!((1..6).all(|k| rectification(k).is_none()));
        // docs/algorithm.md, "MAGE".
        for (k, expected) in [(6, 0.026), (1000, 0.65)] {
            let found = rectification(k).unwrap();
            assert!((found - expected).abs() < 0.01 * expected.max(0.1), "update {k}: {found}");
        }
        assert!((rectification(100_000).unwrap() - 1.0).abs() < 1e-12);
        let (mut p, mut m, mut v) = (0.5_f64, 0.0, 0.0);
        let mut parameters = vec![p];
        let mut adam = Adam::rectified(1, 0.01);
        for t in 1..=50 {
            let gradient = p.sin() * 3.0;
            let clipped = gradient.clamp(-1.0, 1.0);
            m = 0.9 * m + 0.1 * clipped;
            v = 0.999 * v + 0.001 * clipped * clipped;
            let mean = m / (1.0 - 0.9_f64.powi(t));
            let k = f64::from(t);
            let rho = 1999.0 - 2.0 * k * 0.999_f64.powi(t) / (1.0 - 0.999_f64.powi(t));
            p -= if t <= 5 {
                0.01 * mean
            } else {
                let factor: f64 = (rho - 4.0) * (rho - 2.0) * 1999.0 / (1995.0 * 1997.0 * rho);
                let deviation = (v / (1.0 - 0.999_f64.powi(t))).sqrt();
                0.01 * factor.sqrt() * mean / (deviation + 1e-8)
            };
            adam.update_clipped(&mut parameters, &[gradient], 1.0);
            assert!((parameters[0] - p).abs() < 1e-12, "update {t}");
        }
    }

    #[test]
    fn a_decoupled_penalty_does_not_reach_the_moments() {
        let (mut plain, mut decayed) = (vec![0.5_f64], vec![0.5]);
        let (mut one, mut other) = (Adam::new(1, 0.1), Adam::new(1, 0.1));
        for _ in 0..3 {
            let before = decayed[0];
            let start = plain[0];
            one.begin().apply(&mut plain, &[0.7], 0..1, 0.0);
            other.begin().apply_decoupled(&mut decayed, &[0.7], 0..1, 0.2);
            let step = plain[0] - start;
            assert!((decayed[0] - (0.98 * before + step)).abs() < 1e-15);
        }
        assert_eq!((one.first, one.second), (other.first.clone(), other.second.clone()));
        other.restart();
        assert_eq!((other.first, other.second, other.updates), (vec![0.0], vec![0.0], 0));
    }
}
