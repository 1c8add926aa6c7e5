//! The width that loops are written for: [`LANES`] numbers next to each other, moved and worked on together.

use crate::machine::LANES;

/// Half a panel, for matrices whose last panel is at most half full.
pub(crate) const HALF: usize = LANES / 2;

/// `n` rounded up to whole panels.
pub const fn padded(n: usize) -> usize {
    n.div_ceil(LANES) * LANES
}

/// `W` numbers from `at` on. As an array, they are moved by registers; a copy of slices would be a call.
#[inline(always)]
pub(crate) fn lanes<T, const W: usize>(data: &[T], at: usize) -> &[T; W] {
    data[at..].first_chunk().expect("rows are padded to whole panels")
}

/// [`lanes`], to be written.
#[inline(always)]
pub(crate) fn lanes_mut<T, const W: usize>(data: &mut [T], at: usize) -> &mut [T; W] {
    data[at..].first_chunk_mut().expect("rows are padded to whole panels")
}
