//! The nonlinearities of the hidden layers, and their derivatives on the way back: each is an [`Epilogue`] of a matrix
//! product, applied while the numbers are in the nearest cache. A pass over a whole layer afterwards
//! would cost a trip to memory.
//!
//! SiLU is f(z) = z·σ(z), with f' = σ·(1 + z·(1 − σ)) and f'' = σ·(1 − σ)·(2 + z·(1 − 2σ)). All are zero-preserving on
//! the padding as far as products need (values and adjoints stay zero there).
//!
//! Plain loops over lanes, on copies: a closure given to `map` or `from_fn` may be compiled as a function of its own, which has
//! no vector instructions and calls the C library's `fmaf`; and after a store through one reference the compiler may not load through another.
#![allow(clippy::needless_range_loop)]

use super::cpu::epilogue::Epilogue;
use super::cpu::lanes::{lanes, lanes_mut};
use super::cpu::matrix::{Rows, RowsMut};
use super::cpu::panels::{PanelRows, PanelRowsMut};
use crate::machine::isa::Isa;
use crate::machine::{LANES, Real};

/// The nonlinearity of all hidden layers of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// max(z, 0).
    Relu,
    /// z·σ(z), "swish".
    Silu,
}

/// z → max(z, 0). NaN stays NaN, so that it is noticed.
pub(crate) struct Relu;

/// z → f(z).
pub(crate) struct Silu;

/// z → f(z), and f'(z) into `slope`.
pub(crate) struct SiluSlope<'a, T> {
    pub slope: PanelRowsMut<'a, T>,
}

/// z → f(z), with f'(z) into `slope` and f''(z) into `curve`.
pub(crate) struct SiluCurve<'a, T> {
    pub slope: PanelRowsMut<'a, T>,
    pub curve: PanelRowsMut<'a, T>,
}

/// adjoint → adjoint where the ReLU's value is positive, else 0.
pub(crate) struct Gate<'a, T> {
    pub value: Rows<'a, T>,
}

/// adjoint → adjoint·slope.
pub(crate) struct Scale<'a, T> {
    pub slope: PanelRows<'a, T>,
}

/// Which row of a minibatch a row of tangents belongs to: ⌊t / directions⌋. A product instead of a division, which would
/// cost as much as the arithmetic of [`LANES`] numbers; exact as long as t·directions < 2³².
#[derive(Clone, Copy)]
pub(crate) struct Owner {
    reciprocal: u64,
}

impl Owner {
    pub(crate) fn new(directions: usize) -> Self {
        Self { reciprocal: (1 << 32) / directions as u64 + 1 }
    }

    #[inline(always)]
    fn of(self, tangent: usize) -> usize {
        ((tangent as u64 * self.reciprocal) >> 32) as usize
    }
}

/// A tangent ż through the nonlinearity: ż is kept in `pre`, then ż → slope·ż. The slopes are those of its owner.
pub(crate) struct TangentForward<'a, T> {
    pub slope: PanelRows<'a, T>,
    pub pre: PanelRowsMut<'a, T>,
    pub owner: Owner,
}

/// A tangent, or a tangent's adjoint, through a ReLU: it stays where its owner's value is positive, else 0. ReLU has no
/// curvature, so nothing else is kept.
pub(crate) struct TangentGate<'a, T> {
    pub value: Rows<'a, T>,
    pub owner: Owner,
}

/// A tangent's adjoint back through the nonlinearity: value += curve·ż·adjoint, then adjoint → slope·adjoint.
pub(crate) struct TangentBackward<'a, T> {
    pub slope: PanelRows<'a, T>,
    pub curve: PanelRows<'a, T>,
    pub pre: PanelRows<'a, T>,
    pub value: RowsMut<'a, T>,
    pub owner: Owner,
}

#[inline(always)]
fn sigmoid<T: Real, I: Isa>(z: T) -> T {
    T::ONE / (T::ONE + (-z).exp_by::<I>())
}

impl<T: Real> Epilogue<T> for Relu {
    #[inline(always)]
    fn finish<I: Isa>(&mut self, _: usize, _: usize, z: &mut [T; LANES]) {
        for z in z {
            // In this order: a maximum whose second operand is NaN is NaN. The sum keeps the compiler from leaving
            // positive numbers unwritten by a masked store, which some processors do very slowly.
            *z = T::ZERO.max(*z) + T::ZERO;
        }
    }
}

impl<T: Real> Epilogue<T> for Silu {
    #[inline(always)]
    fn finish<I: Isa>(&mut self, _: usize, _: usize, z: &mut [T; LANES]) {
        for z in z {
            *z *= sigmoid::<T, I>(*z);
        }
    }
}

impl<T: Real> Epilogue<T> for SiluSlope<'_, T> {
    #[inline(always)]
    fn finish<I: Isa>(&mut self, row: usize, column: usize, z: &mut [T; LANES]) {
        let (mut value, mut slope) = ([T::ZERO; LANES], [T::ZERO; LANES]);
        for lane in 0..LANES {
            let sigma = sigmoid::<T, I>(z[lane]);
            value[lane] = z[lane] * sigma;
            slope[lane] = I::fma(value[lane], T::ONE - sigma, sigma);
        }
        *self.slope.at(row, column) = slope;
        *z = value;
    }
}

impl<T: Real> Epilogue<T> for SiluCurve<'_, T> {
    #[inline(always)]
    fn finish<I: Isa>(&mut self, row: usize, column: usize, z: &mut [T; LANES]) {
        let mut value = [T::ZERO; LANES];
        let (mut slope, mut curve) = (value, value);
        for lane in 0..LANES {
            let sigma = sigmoid::<T, I>(z[lane]);
            let rest = T::ONE - sigma;
            value[lane] = z[lane] * sigma;
            slope[lane] = I::fma(value[lane], rest, sigma);
            curve[lane] = sigma * rest * I::fma(z[lane], rest - sigma, T::ONE + T::ONE);
        }
        *self.slope.at(row, column) = slope;
        *self.curve.at(row, column) = curve;
        *z = value;
    }
}

/// z where `value` is positive, else 0.
#[inline(always)]
fn gate<T: Real>(z: &mut [T; LANES], value: &[T; LANES]) {
    for (z, &value) in z.iter_mut().zip(value) {
        // The sum for the same reason as in `Relu`.
        *z = z.gated_by(value) + T::ZERO;
    }
}

impl<T: Real> Epilogue<T> for Gate<'_, T> {
    #[inline(always)]
    fn finish<I: Isa>(&mut self, row: usize, column: usize, z: &mut [T; LANES]) {
        gate(z, lanes(self.value.data, row * self.value.stride + column));
    }
}

impl<T: Real> Epilogue<T> for TangentGate<'_, T> {
    #[inline(always)]
    fn finish<I: Isa>(&mut self, row: usize, column: usize, z: &mut [T; LANES]) {
        let own = self.owner.of(row);
        gate(z, lanes(self.value.data, own * self.value.stride + column));
    }
}

impl<T: Real> Epilogue<T> for Scale<'_, T> {
    #[inline(always)]
    fn finish<I: Isa>(&mut self, row: usize, column: usize, z: &mut [T; LANES]) {
        for (a, &s) in z.iter_mut().zip(self.slope.at(row, column)) {
            *a *= s;
        }
    }
}

impl<T: Real> Epilogue<T> for TangentForward<'_, T> {
    #[inline(always)]
    fn finish<I: Isa>(&mut self, row: usize, column: usize, z: &mut [T; LANES]) {
        *self.pre.at(row, column) = *z;
        for (z, &slope) in z.iter_mut().zip(self.slope.at(self.owner.of(row), column)) {
            *z *= slope;
        }
    }
}

impl<T: Real> Epilogue<T> for TangentBackward<'_, T> {
    #[inline(always)]
    fn finish<I: Isa>(&mut self, row: usize, column: usize, z: &mut [T; LANES]) {
        let own = self.owner.of(row);
        let (slope, curve) = (self.slope.at(own, column), self.curve.at(own, column));
        let pre = self.pre.at(row, column);
        let at = own * self.value.stride + column;
        let mut value: [T; LANES] = *lanes(self.value.data, at);
        let mut adjoint = *z;
        for lane in 0..LANES {
            value[lane] = I::fma(curve[lane] * pre[lane], adjoint[lane], value[lane]);
            adjoint[lane] *= slope[lane];
        }
        *lanes_mut(self.value.data, at) = value;
        *z = adjoint;
    }
}

#[cfg(test)]
mod tests {
    use crate::nn::activation::Owner;

    #[test]
    fn owners_are_quotients() {
        for directions in [1, 2, 3, 5, 7, 10, 25, 100, 1000] {
            let owner = Owner::new(directions);
            for t in (0..3000).chain(1_000_000..1_003_000) {
                assert_eq!(owner.of(t), t / directions, "{t} of {directions}");
            }
        }
    }
}
