//! Products whose left-hand matrix is zero in many places: what a ReLU leaves of a layer, and what its derivative lets
//! through of an adjoint. In a new network half of these numbers are zero, in a trained one some three fifths; a product by zero
//! changes no sum, so it is left out.
//!
//! The register tile of `tile.rs` cannot leave anything out, since its rows are zero in different places. Here a row has the
//! sums of four panels in registers, and a bit mask says which terms to add. Each factor then comes from memory, not from a
//! register: [`BLOCK`] rows of the four panels, which stay in the nearest cache, serve all rows of A in turn.
//!
//! Sums are in the same order as in `gemm.rs` and have the same bits, a zero's sign excepted. So a look at the numbers may
//! decide between the two ways, however rows are shared out among threads.

use std::ops::Range;

use super::epilogue::{Epilogue, Plain};
use super::gemm;
use super::gemm::Start;
use super::lanes::{lanes, lanes_mut};
use super::matrix::{Rows, RowsMut};
use super::pack;
use super::tile::Target;
use crate::machine::isa::{Isa, dispatched};
use crate::machine::{LANES, Real};

/// Terms that a mask has bits for. So many rows of four panels take half of a nearest cache of 32 kB.
const BLOCK: usize = 64;
/// Panels taken at a time.
const PANELS: usize = 4;
/// Columns of these.
const COLUMNS: usize = PANELS * LANES;
/// Masks in scratch: for 256 rows of 256 numbers.
const MASKS: usize = 1024;
/// Rows of Aᵀ in scratch.
const TRANSPOSED: usize = 256;

/// [`BLOCK`] rows of four panels.
type Factors<'a, T> = [&'a [[T; LANES]; BLOCK]; PANELS];
/// A row's sums.
type Sums<T> = [[T; LANES]; PANELS];

/// Scratch that begins at a cache line: vectors that lie across two are read at half the speed.
#[repr(align(64))]
struct Lined<T>(T);

/// Does something for each of the [`PANELS`], written out: sums that a loop counts through are not kept in registers.
macro_rules! each_panel {
    ($p:ident => $do:expr) => {
        each_panel!(@ $p, $do, 0 1 2 3)
    };
    (@ $p:ident, $do:expr, $($number:literal)*) => {
        $({
            const $p: usize = $number;
            $do;
        })*
    };
}

impl<T: Real> Target<'_, T> {
    /// The sums of a row so far, or `start`. One load for both: as two, one of the panels was loaded number by number.
    #[inline(always)]
    fn read(&self, row: usize, start: Option<&Sums<T>>) -> Sums<T> {
        let (data, at, panel) = match start {
            Some(start) => (start.as_flattened(), 0, LANES),
            None => (&*self.data, row * self.row, self.panel),
        };
        let mut sums = [[T::ZERO; LANES]; PANELS];
        each_panel!(P => sums[P] = *lanes(data, at + P * panel));
        sums
    }

    #[inline(always)]
    fn write(&mut self, row: usize, sums: &Sums<T>) {
        each_panel!(P => *lanes_mut(self.data, row * self.row + P * self.panel) = sums[P]);
    }
}

/// What is left to add to a row's sums: for each k in the mask, number k of the row times row k of the factors.
struct Terms<'a, T> {
    row: &'a [T; BLOCK],
    mask: u64,
}

impl<'a, T: Real> Terms<'a, T> {
    /// Of row `i` of `a`, which begins at a block's first column.
    #[inline(always)]
    fn new(a: Rows<'a, T>, i: usize, mask: u64) -> Self {
        Self { row: lanes(a.data, i * a.stride), mask }
    }

    /// Adds the next.
    #[inline(always)]
    fn add<I: Isa>(&mut self, factors: Factors<'_, T>, sums: &mut Sums<T>) {
        let k = self.mask.trailing_zeros() as usize % BLOCK;
        self.mask &= self.mask.wrapping_sub(1);
        let x = self.row[k];
        each_panel!(P => for (s, &y) in sums[P].iter_mut().zip(&factors[P][k]) {
            *s = I::fma(x, y, *s);
        });
    }
}

dispatched! {
    /// Adds a block's terms, a mask of `masks` a row, to the rows of `target` from number `first` on, or to `start` where that is given.
    /// `a` begins at the first of its rows and at the block's first column. The epilogue comes with the column of the first panel.
    fn add_block<T, I, E: Epilogue<T>>(
        a: Rows<'_, T>,
        masks: &[u64],
        factors: Factors<'_, T>,
        start: Option<&Sums<T>>,
        target: &mut Target<'_, T>,
        first: usize,
        epilogue: Option<(usize, &mut E)>,
    ) {
        let mut epilogue = epilogue;
        let mut i = 0;
        while i < masks.len() {
            // Two rows at a time, where there are registers for it: their sums need not wait for each other.
            let pair = I::PAIRS && i + 1 < masks.len();
            let mut terms = Terms::new(a, i, masks[i]);
            let mut sums = target.read(first + i, start);
            if pair {
                let mut others = Terms::new(a, i + 1, masks[i + 1]);
                let mut other_sums = target.read(first + i + 1, start);
                while (terms.mask != 0) & (others.mask != 0) {
                    terms.add::<I>(factors, &mut sums);
                    others.add::<I>(factors, &mut other_sums);
                }
                while others.mask != 0 {
                    others.add::<I>(factors, &mut other_sums);
                }
                finish::<T, I, E>(&mut epilogue, first + i + 1, &mut other_sums);
                target.write(first + i + 1, &other_sums);
            }
            while terms.mask != 0 {
                terms.add::<I>(factors, &mut sums);
            }
            finish::<T, I, E>(&mut epilogue, first + i, &mut sums);
            target.write(first + i, &sums);
            i += if pair { 2 } else { 1 };
        }
    }
}

#[inline(always)]
fn finish<T: Real, I: Isa, E: Epilogue<T>>(
    epilogue: &mut Option<(usize, &mut E)>,
    row: usize,
    sums: &mut Sums<T>,
) {
    if let Some((column, epilogue)) = epilogue {
        each_panel!(P => epilogue.finish::<I>(row, *column + P * LANES, &mut sums[P]));
    }
}

/// Which of a block's numbers are not zero, the first in the lowest bit.
fn mask<T: Real>(row: &[T; BLOCK]) -> u64 {
    let mut mask = 0;
    for (i, numbers) in row.as_chunks().0.iter().enumerate() {
        mask |= u64::from(T::nonzero(numbers)) << (i * LANES);
    }
    mask
}

/// Whether enough terms can be left out: this way is faster as long as three tenths are, and it is taken from a third on (decision 047).
fn is_sparse(masks: &[u64]) -> bool {
    let terms: u32 = masks.iter().map(|mask| mask.count_ones()).sum();
    3 * terms as usize <= 2 * BLOCK * masks.len()
}

/// [`gemm::product`] for an A with many zeros; that itself where the first rows have few, and for what does not fill blocks.
pub(crate) fn product<T: Real, E: Epilogue<T>>(
    a: Rows<'_, T>,
    panels: &[T],
    panel_depth: usize,
    start: Start<'_, T>,
    c: RowsMut<'_, T>,
    epilogue: &mut E,
) {
    let RowsMut { data, columns, stride } = c;
    let quads = columns.div_ceil(LANES) / PANELS;
    let mut done = 0;
    if quads > 0 && a.columns.is_multiple_of(BLOCK) && a.columns <= MASKS * BLOCK {
        let c = RowsMut { data: &mut *data, columns: quads * COLUMNS, stride };
        if product_of_quads(a, panels, panel_depth, start, c, epilogue) {
            done = quads * PANELS;
        }
    }
    let c = RowsMut { data, columns, stride };
    gemm::product_from(done, a, panels, panel_depth, start, c, epilogue);
}

/// [`product`] for whole blocks; says whether A has enough zeros: if not, nothing is done.
fn product_of_quads<T: Real, E: Epilogue<T>>(
    a: Rows<'_, T>,
    panels: &[T],
    panel_depth: usize,
    start: Start<'_, T>,
    c: RowsMut<'_, T>,
    epilogue: &mut E,
) -> bool {
    let (rows, blocks) = (a.len(), a.columns / BLOCK);
    let mut scratch = [0; MASKS];
    for first in (0..rows).step_by(MASKS / blocks) {
        let height = (MASKS / blocks).min(rows - first);
        let block = |t: usize| Rows { data: &a.data[first * a.stride + t * BLOCK..], ..a };
        // All of the first block, then all of the next.
        let masks = &mut scratch[..height * blocks];
        for (t, masks) in masks.chunks_exact_mut(height).enumerate() {
            for (row, m) in masks.iter_mut().enumerate() {
                *m = mask(lanes(block(t).data, row * a.stride));
            }
        }
        if first == 0 && !is_sparse(masks) {
            return false;
        }
        for column in (0..c.columns).step_by(COLUMNS) {
            let mut target = Target { data: &mut c.data[column..], row: c.stride, panel: LANES };
            let mut sums = [[T::ZERO; LANES]; PANELS];
            if let Start::Bias(bias) = start {
                sums.as_flattened_mut().copy_from_slice(&bias[column..column + COLUMNS]);
            }
            for (t, masks) in masks.chunks_exact(height).enumerate() {
                let factors = std::array::from_fn(|p| {
                    let line = column * panel_depth + (p * panel_depth + t * BLOCK) * LANES;
                    panels[line..].as_chunks().0.first_chunk().expect("a block is whole")
                });
                let start = (t == 0).then_some(&sums);
                let last = (t + 1 == blocks && !E::IDLE).then_some((column, &mut *epilogue));
                add_block(block(t), masks, factors, start, &mut target, first, last);
            }
        }
    }
    true
}

/// [`gemm::add_outer_panels`] for an A with many zeros; that itself where the first rows have few.
pub(crate) fn add_outer_panels<T: Real>(
    a: Rows<'_, T>,
    d: Rows<'_, T>,
    first: usize,
    out: &mut [T],
    sums: &mut [[T; LANES]],
) {
    let mut done = sums.len() / PANELS * PANELS;
    if done > 0 && !add_outer_quads(a, d, first, out, &mut sums[..done]) {
        done = 0;
    }
    let out = &mut out[done * a.columns * LANES..];
    gemm::add_outer_panels(a, d, first + done, out, &mut sums[done..]);
}

/// [`gemm::add_outer_product`] for an A with many zeros, without the sums of D's columns.
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

/// [`add_outer_panels`] for whole quads; says whether A has enough zeros: if not, nothing is done.
fn add_outer_quads<T: Real>(
    a: Rows<'_, T>,
    d: Rows<'_, T>,
    first: usize,
    out: &mut [T],
    sums: &mut [[T; LANES]],
) -> bool {
    let (rows, inputs) = (a.len(), a.columns);
    let Lined(transposed) = &mut Lined([[T::ZERO; BLOCK]; TRANSPOSED]);
    let Lined(gathered) = &mut Lined([[[T::ZERO; LANES]; BLOCK]; PANELS]);
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
            if (input, top) == (0, 0) && !is_sparse(masks) {
                return false;
            }
            let left = Rows { data: transposed.as_flattened(), columns: BLOCK, stride: BLOCK };
            for (quad, sums) in sums.chunks_exact_mut(PANELS).enumerate() {
                for (p, (panel, total)) in gathered.iter_mut().zip(sums).enumerate() {
                    let column = (first + quad * PANELS + p) * LANES;
                    let mut sum = *total;
                    for (i, line) in panel[..height].iter_mut().enumerate() {
                        *line = *lanes(d.data, (top + i) * d.stride + column);
                        for (s, &x) in sum.iter_mut().zip(&*line) {
                            *s += x;
                        }
                    }
                    // Once, not for every stretch of inputs.
                    if input == 0 {
                        *total = sum;
                    }
                }
                let data = &mut out[quad * PANELS * inputs * LANES..];
                let mut target = Target { data, row: LANES, panel: inputs * LANES };
                let factors = gathered.each_ref();
                add_block::<T, Plain>(left, masks, factors, None, &mut target, input, None);
            }
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
