//! Matrix products for small, tall matrices (K of 14 to 256, N of 24 to 256, tens to hundreds of rows).
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

/// Rows of an outer product summed at a time: a column of tiles of A and a panel of D, a cache line a row each, take half
/// of a nearest cache of 32 kB.
const OUTER_ROWS: usize = 128;

/// What a product starts from.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a, T> {
    /// C = A·B.
    Zero,
    /// C = A·B + bias in every row, `[padded(n)]`.
    Bias(&'a [T]),
}

impl<T: Real> Start<'_, T> {
    /// Of `P` panels from number `j` on.
    pub(crate) fn row<const P: usize>(self, j: usize) -> [[T; LANES]; P] {
        let mut row = [[T::ZERO; LANES]; P];
        if let Start::Bias(bias) = self {
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
    start: Start<'_, T>,
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
    start: Start<'_, T>,
    mut c: RowsMut<'_, T>,
    epilogue: &mut E,
) {
    let (columns, depth) = (c.columns, a.columns);
    let (count, size) = (columns.div_ceil(LANES), panel_depth * LANES);
    assert!(depth <= panel_depth && panels.len() >= count * size, "B is smaller than the product");
    let mut j = first;
    while j < count {
        let taken = if wide::is_used::<T>() {
            match j + 1 < count {
                true => wide_product::<T, 2>(j, a, panels, size, start, &mut c),
                false => wide_product::<T, 1>(j, a, panels, size, start, &mut c),
            }
        } else {
            narrow_product(j, a, panels, size, start, &mut c)
        };
        for column in (j..j + taken).map(|j| j * LANES).filter(|_| !E::IDLE) {
            finish_panel(0..a.len(), column, &mut c.data[column..], c.stride, epilogue);
        }
        j += taken;
    }
}

/// Panel `j` of a product. Returns 1.
fn narrow_product<T: Real>(
    j: usize,
    a: Rows<'_, T>,
    panels: &[T],
    size: usize,
    start: Start<'_, T>,
    c: &mut RowsMut<'_, T>,
) -> usize {
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
    1
}

/// `P` panels of a product from number `j` on, by the tile for AVX-512. Returns `P`.
fn wide_product<T: Real, const P: usize>(
    j: usize,
    a: Rows<'_, T>,
    panels: &[T],
    size: usize,
    start: Start<'_, T>,
    c: &mut RowsMut<'_, T>,
) -> usize {
    let own = &panels[j * size..];
    let taken = std::array::from_fn(|p| &own[p * size..][..a.columns * LANES]);
    let left = Left { data: a.data, row: a.stride, depth: 1 };
    let target = Target { data: &mut c.data[j * LANES..], row: c.stride, panel: LANES };
    wide::multiply::<T, P>(a.len(), left, taken, &own[P * size..], Some(&start.row(j)), target);
    P
}

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
    let column = |j: usize| (first + j) * LANES;
    let mut gathered = [[T::ZERO; OUTER_ROWS * LANES]; 2];
    if !wide::is_used::<T>() {
        for (j, (out, sum)) in out.chunks_exact_mut(size).zip(sums).enumerate() {
            add_outer_panel(a, d, column(j), &mut gathered[0], out, sum);
        }
        return;
    }
    for (i, (out, sums)) in out.chunks_mut(2 * size).zip(sums.chunks_mut(2)).enumerate() {
        match sums {
            [one] => add_outer_wide(
                a,
                d,
                column(2 * i),
                gathered.first_chunk_mut::<1>().expect("there are two"),
                out,
                std::array::from_mut(one),
            ),
            two => add_outer_wide(
                a,
                d,
                column(2 * i),
                &mut gathered,
                out,
                two.first_chunk_mut::<2>().expect("there are two"),
            ),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::cpu::epilogue::Plain;
    use crate::nn::cpu::lanes::padded;
    use crate::nn::cpu::pack::{pack, unpack};
    use crate::rng::Rng;

    fn random(n: usize, rng: &mut Rng) -> Vec<f64> {
        let mut x = vec![0.0; n];
        rng.fill_normal(&mut x);
        x
    }

    #[test]
    fn products_match_the_definition_at_every_remainder() {
        let mut rng = Rng::new(0, "gemm");
        for (rows, depth, columns) in
            [(1, 1, 1), (7, 3, 16), (13, 14, 24), (26, 33, 200), (6, 200, 17)]
        {
            let a = random(rows * depth, &mut rng);
            let b = random(depth * columns, &mut rng);
            let bias = random(padded(columns), &mut rng);
            let mut panels = vec![0.0; depth * padded(columns)];
            pack(&b, columns, &mut panels);
            let stride = padded(columns);
            let mut c = vec![0.0; rows * stride];
            product(
                Rows { data: &a, columns: depth, stride: depth },
                &panels,
                depth,
                Start::Bias(&bias),
                RowsMut { data: &mut c, columns, stride },
                &mut Plain,
            );
            for i in 0..rows {
                for j in 0..columns {
                    let exact: f64 = bias[j]
                        + (0..depth).map(|p| a[i * depth + p] * b[p * columns + j]).sum::<f64>();
                    assert!((c[i * stride + j] - exact).abs() < 1e-12 * depth as f64, "{i} {j}");
                }
            }
            // Aᵀ·C and the sums of C's columns, added to what is there.
            let mut out = vec![1.0; depth * padded(columns)];
            let mut sums = vec![1.0; padded(columns)];
            add_outer_product(
                Rows { data: &a, columns: depth, stride: depth },
                Rows { data: &c, columns, stride },
                &mut out,
                &mut sums,
            );
            for (j, sum) in sums.iter().enumerate().take(columns) {
                let exact = 1.0 + (0..rows).map(|i| c[i * stride + j]).sum::<f64>();
                assert!((sum - exact).abs() < 1e-10, "{j}");
            }
            let mut plain = vec![0.0; depth * columns];
            unpack(&out, columns, &mut plain);
            for p in 0..depth {
                for j in 0..columns {
                    let exact: f64 =
                        1.0 + (0..rows).map(|i| a[i * depth + p] * c[i * stride + j]).sum::<f64>();
                    assert!((plain[p * columns + j] - exact).abs() < 1e-10, "{p} {j}");
                }
            }
        }
    }
}
