//! Weight gradients: products Aᵀ·D of a layer's input and its adjoint, summed over the rows of a minibatch in order and added
//! to what is there.

use super::lanes::{HALF, lanes, lanes_mut};
use super::matrix::Rows;
use super::tile::{Left, Target, by_size, tile, tile_rows, tiles};
use super::wide;
use crate::machine::isa::{Isa, dispatched};
use crate::machine::{LANES, Real};

/// Rows of an outer product summed at a time: a column of tiles of A and a panel of D, a cache line a row each, take half
/// of a nearest cache of 32 kB.
const OUTER_ROWS: usize = 128;

/// Adds to the first `W` columns of the first `R` rows of a panel.
#[inline(always)]
fn outer_tile<T: Real, I: Isa, const R: usize, const W: usize>(
    a: Left<'_, T>,
    origin: usize,
    panel: &[T],
    out: &mut [[T; LANES]],
) {
    let out: &mut [[T; LANES]; R] = out.first_chunk_mut().expect("a panel holds all rows");
    let mut start = [[T::ZERO; W]; R];
    for (row, out) in start.iter_mut().zip(&*out) {
        *row = *lanes::<T, W>(out, 0);
    }
    let sum = tile::<T, I, R, W, false>(a, origin, panel, &[], start);
    for (row, out) in sum.iter().zip(out) {
        *lanes_mut::<T, W>(out, 0) = *row;
    }
}

/// A panel of D, rows next to each other: scratch of [`add_outer_panel`].
type Gathered<T> = [T; OUTER_ROWS * LANES];

/// Copies rows of a panel of D, from row `top` and column `column` on, next to each other, and adds them to `sum`.
#[inline(always)]
fn gather_lanes<T: Real>(
    d: Rows<'_, T>,
    top: usize,
    column: usize,
    panel: &mut [T],
    sum: &mut [T; LANES],
) {
    for (row, p) in panel.chunks_exact_mut(LANES).enumerate() {
        let d = lanes::<T, LANES>(d.data, (top + row) * d.stride + column);
        p.copy_from_slice(d);
        for (s, &x) in sum.iter_mut().zip(d) {
            *s += x;
        }
    }
}

dispatched! {
    /// [`gather_lanes`] by itself.
    pub(crate) fn gather<T, I>(
        d: Rows<'_, T>,
        top: usize,
        column: usize,
        panel: &mut [T],
        sum: &mut [T; LANES],
    ) {
        let mut total = *sum;
        gather_lanes(d, top, column, panel, &mut total);
        *sum = total;
    }
}

dispatched! {
    /// Adds to `out` `[inputs, LANES]` the panel of Aᵀ·D that begins at D's column `column`, A `[rows, inputs]` and D `[rows, columns]`; and to
    /// `sums` the sums of its columns.
    fn add_outer_panel<T, I>(
        a: Rows<'_, T>,
        d: Rows<'_, T>,
        column: usize,
        gathered: &mut Gathered<T>,
        out: &mut [T],
        sums: &mut [T; LANES],
    ) {
        let (rows, inputs, columns) = (a.len(), a.columns, d.columns - column);
        let left = Left { data: a.data, row: 1, depth: a.stride };
        let out = out.as_chunks_mut::<LANES>().0;
        let mut sum = *sums;
        for top in (0..rows).step_by(OUTER_ROWS) {
            let panel = &mut gathered[..OUTER_ROWS.min(rows - top) * LANES];
            gather_lanes(d, top, column, panel, &mut sum);
            for (first, height) in tiles(inputs, tile_rows::<I>(columns)) {
                let (origin, out) = (top * a.stride + first, &mut out[first..]);
                by_size!(height, columns, R, W => outer_tile::<T, I, R, W>(left, origin, panel, out));
            }
        }
        *sums = sum;
    }
}

/// Inputs that [`add_outer_column`] takes at a time, in multiples of [`LANES`].
const INPUTS: usize = 4;

dispatched! {
    /// [`add_outer_panel`] for a D whose last column stands alone in its panel, as a critic's does: lanes are inputs instead of columns, or
    /// all but one would be idle.
    fn add_outer_column<T, I>(
        a: Rows<'_, T>,
        d: Rows<'_, T>,
        column: usize,
        out: &mut [T],
        sums: &mut [T; LANES],
    ) {
        let out = out.as_chunks_mut::<LANES>().0;
        for row in 0..d.len() {
            sums[0] += d.data[row * d.stride + column];
        }
        for (t, out) in out.chunks_mut(INPUTS * LANES).enumerate() {
            let mut sum = [[T::ZERO; LANES]; INPUTS];
            read_column(out, sum.as_flattened_mut());
            for row in 0..a.len() {
                let y = d.data[row * d.stride + column];
                let x = &a.data[row * a.stride + t * INPUTS * LANES..][..out.len()];
                // Constant bounds where they can be, so that sums stay in registers.
                if let Some(x) = x.first_chunk::<{ INPUTS * LANES }>() {
                    for (s, &x) in sum.as_flattened_mut().iter_mut().zip(x) {
                        *s = I::fma(x, y, *s);
                    }
                } else {
                    for (s, &x) in sum.as_flattened_mut().iter_mut().zip(x) {
                        *s = I::fma(x, y, *s);
                    }
                }
            }
            write_column(sum.as_flattened(), out);
        }
    }
}

/// The first number of each row of a panel. It and the next stand outside of what is compiled for AVX-512, which would gather and
/// scatter, slowly.
#[inline(never)]
fn read_column<T: Real>(panel: &[[T; LANES]], column: &mut [T]) {
    column.iter_mut().zip(panel).for_each(|(number, row)| *number = row[0]);
}

#[inline(never)]
fn write_column<T: Real>(column: &[T], panel: &mut [[T; LANES]]) {
    panel.iter_mut().zip(column).for_each(|(row, &number)| row[0] = number);
}

/// [`add_outer_panel`] for `P` panels, by the tile for AVX-512.
fn add_outer_wide<T: Real, const P: usize>(
    a: Rows<'_, T>,
    d: Rows<'_, T>,
    column: usize,
    gathered: &mut [Gathered<T>; P],
    out: &mut [T],
    sums: &mut [[T; LANES]; P],
) {
    for top in (0..a.len()).step_by(OUTER_ROWS) {
        let height = OUTER_ROWS.min(a.len() - top);
        for (p, (panel, sum)) in gathered.iter_mut().zip(&mut *sums).enumerate() {
            gather(d, top, column + p * LANES, &mut panel[..height * LANES], sum);
        }
        let panels = gathered.each_ref().map(|panel| &panel[..height * LANES]);
        let left = Left { data: &a.data[top * a.stride..], row: 1, depth: a.stride };
        let target = Target { data: &mut *out, row: LANES, panel: a.columns * LANES };
        wide::multiply(a.columns, left, panels, &[], None, target);
    }
}

/// Adds to the panels `out`, each `[inputs, LANES]`, those of Aᵀ·D from panel `first` on, A `[rows, inputs]` and D
/// `[rows, columns]`; and to `sums`, one a panel, the sums of their columns of D.
pub(crate) fn add_outer_panels<T: Real>(
    a: Rows<'_, T>,
    d: Rows<'_, T>,
    first: usize,
    out: &mut [T],
    sums: &mut [[T; LANES]],
) {
    let size = a.columns * LANES;
    let mut gathered = [[T::ZERO; OUTER_ROWS * LANES]; 2];
    let (mut out, mut sums, mut column) = (out, sums, first * LANES);
    while !sums.is_empty() {
        let taken = if wide::is_used::<T>() { sums.len().min(2) } else { 1 };
        let (own, rest) = out.split_at_mut(taken * size);
        let (own_sums, rest_sums) = sums.split_at_mut(taken);
        let [one, _] = &mut gathered;
        match own_sums {
            [sum] if d.columns - column == 1 => add_outer_column(a, d, column, own, sum),
            [sum] if !wide::is_used::<T>() => add_outer_panel(a, d, column, one, own, sum),
            [sum] => {
                let (one, sum) = (std::array::from_mut(one), std::array::from_mut(sum));
                add_outer_wide(a, d, column, one, own, sum);
            }
            two => {
                let two = two.first_chunk_mut().expect("two panels are taken");
                add_outer_wide::<T, 2>(a, d, column, &mut gathered, own, two);
            }
        }
        (out, sums, column) = (rest, rest_sums, column + taken * LANES);
    }
}

/// Adds Aᵀ·D to the panels `out`, A `[rows, inputs]`, D `[rows, columns]`; and the sums of D's columns to `sums`, where it is not
/// empty.
pub(crate) fn add_outer_product<T: Real>(
    a: Rows<'_, T>,
    d: Rows<'_, T>,
    out: &mut [T],
    sums: &mut [T],
) {
    /// Panels whose sums, wanted by nobody, lie in scratch.
    const TAKEN: usize = 16;
    let count = d.columns.div_ceil(LANES);
    if !sums.is_empty() {
        return add_outer_panels(a, d, 0, out, &mut sums.as_chunks_mut().0[..count]);
    }
    for first in (0..count).step_by(TAKEN) {
        let last = count.min(first + TAKEN);
        let out = &mut out[first * a.columns * LANES..last * a.columns * LANES];
        add_outer_panels(a, d, first, out, &mut [[T::ZERO; LANES]; TAKEN][..last - first]);
    }
}
