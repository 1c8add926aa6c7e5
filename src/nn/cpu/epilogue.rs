//! What follows a product while its numbers are in the nearest cache.

use crate::machine::isa::Isa;
use crate::machine::{LANES, Real};

/// What follows a product: applied to every [`LANES`] numbers of a row of one panel.
pub(crate) trait Epilogue<T> {
    /// Whether it does nothing.
    const IDLE: bool = false;

    /// `z` is the product's row `row` from column `column` on.
    fn finish<I: Isa>(&mut self, row: usize, column: usize, z: &mut [T; LANES]);
}

/// The product as it is.
pub(crate) struct Plain;

impl<T: Real> Epilogue<T> for Plain {
    const IDLE: bool = true;

    #[inline(always)]
    fn finish<I: Isa>(&mut self, _: usize, _: usize, _: &mut [T; LANES]) {}
}
