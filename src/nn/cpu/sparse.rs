//! Products whose left-hand matrix is zero in many places: what a ReLU leaves of a layer, and what its derivative lets
//! through of an adjoint. In a new network half of these numbers are zero, in a trained one some three fifths; a product by zero
//! changes no sum, so it is left out.
//!
//! The register tile of `tile.rs` cannot leave anything out, since its rows are zero in different places: `terms.rs` has
//! the sums that can, of four panels at a time, or of eight with AVX-512 (`wide_terms.rs`).
//!
//! Sums are in the same order as in `gemm.rs` and have the same bits, a zero's sign excepted. So a look at the numbers may
//! decide between the two ways, however rows are shared out among threads.

use std::ops::Range;

use super::epilogue::{Epilogue, Plain};
use super::gemm;
use super::gemm::ProductStart;
use super::lanes::lanes;
use super::matrix::{Rows, RowsMut};
use super::outer;
use super::pack;
use super::terms;
use super::terms::{BLOCK, Factors, PANELS};
use super::tile::Target;
use super::{wide, wide_terms};
use crate::machine::{LANES, Real};

/// Panels taken at a time with AVX-512: so many rows of so many panels as a block has take two thirds of a nearest cache of 48 kB.
const WIDE_PANELS: usize = 8;
/// Masks in scratch: for 256 rows of 256 numbers.
const MASKS: usize = 1024;
/// Rows of Aᵀ in scratch.
const TRANSPOSED: usize = 256;

/// Scratch that begins at a cache line: vectors that lie across two are read at half the speed.
#[repr(align(64))]
struct Lined<T>(T);

/// Which of a block's numbers are not zero, the first in the lowest bit.
fn mask<T: Real>(row: &[T; BLOCK]) -> u64 {
    let mut mask = 0;
    for (i, numbers) in row.as_chunks().0.iter().enumerate() {
        mask |= u64::from(T::nonzero(numbers)) << (i * LANES);
    }
    mask
}

/// Whether enough terms can be left out that this way is the faster one: a third of them, or with AVX-512 a quarter.
fn is_sparse<T: Real>(masks: &[u64]) -> bool {
    let terms: u32 = masks.iter().map(|mask| mask.count_ones()).sum();
    let (terms, all) = (terms as usize, BLOCK * masks.len());
    if wide::is_used::<T>() { 4 * terms <= 3 * all } else { 3 * terms <= 2 * all }
}

/// Calls, for panels `0..count`, with the number of the first and with how many are taken together as a constant: eight where that is a
/// gain, else four. `count` is a multiple of four.
macro_rules! strips {
    ($T:ident, $count:expr, $first:ident, $P:ident => $call:expr) => {{
        let count = $count;
        let mut $first = 0;
        while wide::is_used::<$T>() && $first + WIDE_PANELS <= count {
            const $P: usize = WIDE_PANELS;
            $call;
            $first += $P;
        }
        while $first < count {
            const $P: usize = PANELS;
            $call;
            $first += $P;
        }
    }};
}

/// [`gemm::product`] for an A with many zeros; that itself where the first rows have few, and for what does not fill blocks.
pub(crate) fn product<T: Real, E: Epilogue<T>>(
    a: Rows<'_, T>,
    panels: &[T],
    panel_depth: usize,
    start: ProductStart<'_, T>,
    c: RowsMut<'_, T>,
    epilogue: &mut E,
) {
    let RowsMut { data, columns, stride } = c;
    let fours = columns.div_ceil(LANES) / PANELS * PANELS;
    let mut done = 0;
    if fours > 0 && a.columns.is_multiple_of(BLOCK) && a.columns <= MASKS * BLOCK {
        let c = RowsMut { data: &mut *data, columns: fours * LANES, stride };
        if sparse_product(a, panels, panel_depth, start, c, epilogue) {
            done = fours;
        }
    }
    let c = RowsMut { data, columns, stride };
    gemm::product_from(done, a, panels, panel_depth, start, c, epilogue);
}

/// [`product`] for a multiple of four panels and whole blocks; says whether A has enough zeros: if not, nothing is done.
fn sparse_product<T: Real, E: Epilogue<T>>(
    a: Rows<'_, T>,
    panels: &[T],
    panel_depth: usize,
    start: ProductStart<'_, T>,
    mut c: RowsMut<'_, T>,
    epilogue: &mut E,
) -> bool {
    let (rows, blocks) = (a.len(), a.columns / BLOCK);
    let mut scratch = [0; MASKS];
    for first in (0..rows).step_by(MASKS / blocks) {
        let height = (MASKS / blocks).min(rows - first);
        let a = Rows { data: &a.data[first * a.stride..(first + height) * a.stride], ..a };
        // All of the first block, then all of the next.
        let masks = &mut scratch[..height * blocks];
        for (t, masks) in masks.chunks_exact_mut(height).enumerate() {
            for (row, m) in masks.iter_mut().enumerate() {
                *m = mask(lanes(a.data, row * a.stride + t * BLOCK));
            }
        }
        if first == 0 && !is_sparse::<T>(masks) {
            return false;
        }
        let right = Right { panels, panel_depth, start };
        strips!(T, c.columns / LANES, j, P =>
            strip::<T, E, P>(j, a, masks, right, first, &mut c, epilogue));
    }
    true
}

/// The right-hand matrix, in panels, and what a product starts from.
#[derive(Clone, Copy)]
struct Right<'a, T> {
    panels: &'a [T],
    panel_depth: usize,
    start: ProductStart<'a, T>,
}

/// `P` panels from number `j` on of [`sparse_product`], its rows from number `first` on, whose masks are given.
fn strip<T: Real, E: Epilogue<T>, const P: usize>(
    j: usize,
    a: Rows<'_, T>,
    masks: &[u64],
    right: Right<'_, T>,
    first: usize,
    c: &mut RowsMut<'_, T>,
    epilogue: &mut E,
) {
    let column = j * LANES;
    let sums = right.start.row::<P>(j);
    let blocks = a.columns / BLOCK;
    let mut target = Target { data: &mut c.data[column..], row: c.stride, panel: LANES };
    for (t, masks) in masks.chunks_exact(a.len()).enumerate() {
        let factors: Factors<'_, T, P> = std::array::from_fn(|p| {
            let line = ((j + p) * right.panel_depth + t * BLOCK) * LANES;
            right.panels[line..].as_chunks().0.first_chunk().expect("a block is whole")
        });
        let a = Rows { data: &a.data[t * BLOCK..], ..a };
        let start = (t == 0).then_some(&sums);
        let last = (t + 1 == blocks && !E::IDLE).then_some((column, &mut *epilogue));
        add_block(a, masks, factors, start, &mut target, first, last);
    }
}

/// [`terms::add_block`] for four panels or for eight.
fn add_block<T: Real, E: Epilogue<T>, const P: usize>(
    a: Rows<'_, T>,
    masks: &[u64],
    factors: Factors<'_, T, P>,
    start: Option<&[[T; LANES]; P]>,
    target: &mut Target<'_, T>,
    first: usize,
    epilogue: Option<(usize, &mut E)>,
) {
    if wide::is_used::<T>() {
        wide_terms::add_block(a, masks, factors, start, target, first);
        let Some((column, epilogue)) = epilogue else { return };
        for p in 0..P {
            let data = &mut target.data[p * target.panel..];
            gemm::finish_panel(
                first..first + masks.len(),
                column + p * LANES,
                data,
                target.row,
                epilogue,
            );
        }
    } else {
        let factors = factors.first_chunk::<PANELS>().expect("four panels are taken");
        let start = start.map(|start| start.first_chunk().expect("four panels are taken"));
        terms::add_block(a, masks, *factors, start, target, first, epilogue);
    }
}

/// [`outer::add_outer_panels`] for an A with many zeros; that itself where the first rows have few.
pub(crate) fn add_outer_panels<T: Real>(
    a: Rows<'_, T>,
    d: Rows<'_, T>,
    first: usize,
    out: &mut [T],
    sums: &mut [[T; LANES]],
) {
    let mut done = sums.len() / PANELS * PANELS;
    if done > 0 && !add_outer_sparse(a, d, first, out, &mut sums[..done]) {
        done = 0;
    }
    let out = &mut out[done * a.columns * LANES..];
    outer::add_outer_panels(a, d, first + done, out, &mut sums[done..]);
}

/// [`outer::add_outer_product`] for an A with many zeros, without the sums of D's columns.
pub(crate) fn add_outer_product<T: Real>(a: Rows<'_, T>, d: Rows<'_, T>, out: &mut [T]) {
    /// Panels whose sums, wanted by nobody, lie in scratch.
    const TAKEN: usize = 4 * PANELS;
    let panels = d.columns.div_ceil(LANES);
    for first in (0..panels).step_by(TAKEN) {
        let last = panels.min(first + TAKEN);
        let out = &mut out[first * a.columns * LANES..last * a.columns * LANES];
        let mut nowhere = [[T::ZERO; LANES]; TAKEN];
        add_outer_panels(a, d, first, out, &mut nowhere[..last - first]);
    }
}

/// [`add_outer_panels`] for a multiple of four panels; says whether A has enough zeros: if not, nothing is done.
fn add_outer_sparse<T: Real>(
    a: Rows<'_, T>,
    d: Rows<'_, T>,
    first: usize,
    out: &mut [T],
    sums: &mut [[T; LANES]],
) -> bool {
    let (rows, inputs) = (a.len(), a.columns);
    let Lined(transposed) = &mut Lined([[T::ZERO; BLOCK]; TRANSPOSED]);
    let mut scratch = Lined([[[T::ZERO; LANES]; BLOCK]; WIDE_PANELS]);
    let mut masks = [0; TRANSPOSED];
    for input in (0..inputs).step_by(TRANSPOSED) {
        for top in (0..rows).step_by(BLOCK) {
            let transposed = &mut transposed[..TRANSPOSED.min(inputs - input)];
            let masks = &mut masks[..transposed.len()];
            let height = BLOCK.min(rows - top);
            transpose(a, top..top + height, input, transposed);
            for (m, row) in masks.iter_mut().zip(&*transposed) {
                *m = mask(row);
            }
            if (input, top) == (0, 0) && !is_sparse::<T>(masks) {
                return false;
            }
            let left = Rows { data: transposed.as_flattened(), columns: BLOCK, stride: BLOCK };
            strips!(T, sums.len(), j, P => {
                let gathered = scratch.0.first_chunk_mut::<P>().expect("there are enough");
                for (p, (panel, total)) in gathered.iter_mut().zip(&mut sums[j..]).enumerate() {
                    let column = (first + j + p) * LANES;
                    let mut sum = *total;
                    outer::gather(d, top, column, panel[..height].as_flattened_mut(), &mut sum);
                    // Once, not for every part of the inputs.
                    if input == 0 {
                        *total = sum;
                    }
                }
                let data = &mut out[j * inputs * LANES..];
                let mut target = Target { data, row: LANES, panel: inputs * LANES };
                let factors = gathered.each_ref();
                add_block::<T, Plain, P>(left, masks, factors, None, &mut target, input, None);
            });
        }
    }
    true
}

/// The transpose of up to [`BLOCK`] rows of `a`, from column `first` on, rest of the target's rows zero.
fn transpose<T: Real>(a: Rows<'_, T>, rows: Range<usize>, first: usize, target: &mut [[T; BLOCK]]) {
    let width = target.len();
    let target = target.as_flattened_mut();
    for r in (0..BLOCK).step_by(LANES) {
        let source = a.data.get((rows.start + r) * a.stride..).unwrap_or_default();
        for c in (0..width).step_by(LANES) {
            let size = (rows.len().saturating_sub(r).min(LANES), LANES.min(width - c));
            let source = source.get(first + c..).unwrap_or_default();
            pack::transpose(source, a.stride, size, &mut target[c * BLOCK + r..], BLOCK);
        }
    }
}

#[cfg(test)]
#[path = "sparse_tests.rs"]
mod tests;
