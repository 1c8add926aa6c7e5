//! Matrix products for small, tall matrices (K of 14 to 256, N of 1 to 256, tens to hundreds of rows). See
//! `docs/kernels.md`.
//!
//! The right-hand matrix is always in *panels*: groups of [`LANES`] columns, each stored `[depth, LANES]` and the last
//! one padded with zeros. Weights live in that form for good, so a product packs nothing; the left-hand matrix is read
//! in place. Every sum runs over the depth in order, whatever the instruction set's width and the thread count.

use std::ops::Range;

use super::epilogue::Epilogue;
use super::lanes::{HALF, lanes, lanes_mut};
use super::matrix::{Rows, RowsMut};
use super::tile::{Left, Target, by_size, tile, tile_rows, tiles};
use super::wide;
use crate::machine::isa::{Isa, dispatched};
use crate::machine::{LANES, Real};

/// What a product starts from.
#[derive(Clone, Copy)]
pub(crate) enum ProductStart<'a, T> {
    /// C = A·B.
    Zero,
    /// C = A·B + bias in every row, `[padded(n)]`.
    Bias(&'a [T]),
}

impl<T: Real> ProductStart<'_, T> {
    /// Of `P` panels from number `j` on.
    pub(crate) fn row<const P: usize>(self, j: usize) -> [[T; LANES]; P] {
        let mut row = [[T::ZERO; LANES]; P];
        if let ProductStart::Bias(bias) = self {
            row.as_flattened_mut().copy_from_slice(&bias[j * LANES..(j + P) * LANES]);
        }
        row
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn product_tile<T: Real, I: Isa, const R: usize, const W: usize, const FAR: bool>(
    a: Left<'_, T>,
    origin: usize,
    panel: &[T],
    ahead: &[T],
    start: &[T; LANES],
    c: &mut [T],
    c_stride: usize,
) {
    let start = *lanes::<T, W>(start, 0);
    let sum = tile::<T, I, R, W, FAR>(a, origin, panel, ahead, [start; R]);
    for (i, &row) in sum.iter().enumerate() {
        *lanes_mut::<T, W>(c, i * c_stride) = row;
    }
}

dispatched! {
    /// One panel of C: A `[rows, depth]` times the first `columns` columns of the first of three panels. On the way the second cache is asked for the
    /// panel after the next, a share in every tile but the last, and in the last one the nearest cache for the next.
    fn product_panel<T, I>(
        rows: usize,
        columns: usize,
        a: &[T],
        a_stride: usize,
        panels: [&[T]; 3],
        start: &[T; LANES],
        c: &mut [T],
        c_stride: usize,
    ) {
        let [panel, next, mut later] = panels;
        let left = Left { data: a, row: a_stride, depth: 1 };
        let tiles = tiles(rows, tile_rows::<I>(columns));
        let share = (later.len() / LANES).div_ceil(tiles.len().max(2) - 1) * LANES;
        for (first, height) in tiles {
            let (origin, c) = (first * a_stride, &mut c[first * c_stride..]);
            if first + height == rows {
                by_size!(height, columns, R, W =>
                    product_tile::<T, I, R, W, false>(left, origin, panel, next, start, c, c_stride));
            } else {
                let ahead;
                (ahead, later) = later.split_at(share.min(later.len()));
                by_size!(height, columns, R, W =>
                    product_tile::<T, I, R, W, true>(left, origin, panel, ahead, start, c, c_stride));
            }
        }
    }
}

dispatched! {
    /// The epilogue over rows of one panel of C, which `c` begins with. A function of its own: in one with the product, its constants take registers
    /// that the accumulators need.
    pub(crate) fn finish_panel<T, I, E: Epilogue<T>>(
        rows: Range<usize>,
        column: usize,
        c: &mut [T],
        c_stride: usize,
        epilogue: &mut E,
    ) {
        for row in rows {
            let z: &mut [T; LANES] = lanes_mut(c, row * c_stride);
            // On a copy: of numbers that lie in memory, the compiler would load and store one at a time, lest what it loads
            // between be the same memory.
            let mut own = *z;
            epilogue.finish::<I>(row, column, &mut own);
            *z = own;
        }
    }
}

/// C `[rows, columns]` = A `[rows, depth]` · B + start, each panel of C given to the epilogue while it is in the nearest
/// cache. B is the first `columns` columns and `depth` rows of the panels that `panels` begins with, each `[panel_depth, LANES]`;
/// what lies behind them is fetched, not read. The padding of C is left as it is.
pub(crate) fn product<T: Real, E: Epilogue<T>>(
    a: Rows<'_, T>,
    panels: &[T],
    panel_depth: usize,
    start: ProductStart<'_, T>,
    c: RowsMut<'_, T>,
    epilogue: &mut E,
) {
    product_from(0, a, panels, panel_depth, start, c, epilogue);
}

/// [`product`] from panel `first` on.
pub(crate) fn product_from<T: Real, E: Epilogue<T>>(
    first: usize,
    a: Rows<'_, T>,
    panels: &[T],
    panel_depth: usize,
    start: ProductStart<'_, T>,
    mut c: RowsMut<'_, T>,
    epilogue: &mut E,
) {
    let (columns, depth) = (c.columns, a.columns);
    let (count, size) = (columns.div_ceil(LANES), panel_depth * LANES);
    assert!(depth <= panel_depth && panels.len() >= count * size, "B is smaller than the product");
    if a.len() == 0 {
        return;
    }
    let mut j = first;
    while j < count {
        let taken = if wide::is_used::<T>() { (count - j).min(2) } else { 1 };
        match taken {
            2 => wide_product::<T, 2>(j, a, panels, size, start, &mut c),
            _ if wide::is_used::<T>() => wide_product::<T, 1>(j, a, panels, size, start, &mut c),
            _ => narrow_product(j, a, panels, size, start, &mut c),
        }
        for column in (j..j + taken).map(|j| j * LANES).filter(|_| !E::IDLE) {
            finish_panel(0..a.len(), column, &mut c.data[column..], c.stride, epilogue);
        }
        j += taken;
    }
}

/// Panel `j` of a product.
fn narrow_product<T: Real>(
    j: usize,
    a: Rows<'_, T>,
    panels: &[T],
    size: usize,
    start: ProductStart<'_, T>,
    c: &mut RowsMut<'_, T>,
) {
    let panel = |j: usize| {
        let rest = panels.get(j * size..).unwrap_or_default();
        &rest[..rest.len().min(a.columns * LANES)]
    };
    let column = j * LANES;
    let three = [panel(j), panel(j + 1), panel(j + 2)];
    let [first_row] = start.row(j);
    let (columns, c_stride) = (c.columns - column, c.stride);
    product_panel(
        a.len(),
        columns,
        a.data,
        a.stride,
        three,
        &first_row,
        &mut c.data[column..],
        c_stride,
    );
}

/// `P` panels of a product from number `j` on, by the tile for AVX-512.
fn wide_product<T: Real, const P: usize>(
    j: usize,
    a: Rows<'_, T>,
    panels: &[T],
    size: usize,
    start: ProductStart<'_, T>,
    c: &mut RowsMut<'_, T>,
) {
    let own = &panels[j * size..];
    let taken = std::array::from_fn(|p| &own[p * size..][..a.columns * LANES]);
    let left = Left { data: a.data, row: a.stride, depth: 1 };
    let target = Target { data: &mut c.data[j * LANES..], row: c.stride, panel: LANES };
    wide::multiply::<T, P>(a.len(), left, taken, &own[P * size..], Some(&start.row(j)), target);
}
