//! Matrix products for small, tall matrices (K of 14 to 256, N of 24 to 256, tens to hundreds of rows).
//!
//! The right-hand matrix is always in *panels*: groups of [`LANES`] columns, each stored `[depth, LANES]` and the last
//! one padded with zeros. Weights live in that form for good, so a product packs nothing; the left-hand matrix is read
//! in place. Every sum runs over the depth in order, whatever the instruction set's width and the thread count.

use super::isa::{Isa, dispatched};
use super::real::Real;

/// Columns of a panel: two AVX2 registers of `f32`.
pub const LANES: usize = 16;
/// Rows of a register tile: 6 × 2 accumulators, 2 for the panel, 1 for the broadcast, of AVX2's 16 registers.
const TILE_ROWS: usize = 6;

/// `n` rounded up to whole panels.
pub const fn padded(n: usize) -> usize {
    n.div_ceil(LANES) * LANES
}

/// What a product starts from.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a, T> {
    /// C = A·B.
    Zero,
    /// C = A·B + bias in every row, `[padded(n)]`.
    Bias(&'a [T]),
}

/// A left-hand matrix read in place: element (i, p) is `data[i·row + p·depth]`.
#[derive(Clone, Copy)]
struct Left<'a, T> {
    data: &'a [T],
    row: usize,
    depth: usize,
}

/// One register tile: `R` rows by one panel, summed over `depth`, with `a` starting at `origin`.
#[inline(always)]
fn tile<T: Real, I: Isa, const R: usize>(
    a: Left<'_, T>,
    origin: usize,
    panel: &[T],
    start: [[T; LANES]; R],
) -> [[T; LANES]; R] {
    let depth = panel.len() / LANES;
    assert!(depth > 0 && origin + (R - 1) * a.row + (depth - 1) * a.depth < a.data.len());
    let mut sum = start;
    let mut at = origin;
    for b in panel.chunks_exact(LANES) {
        for (i, row) in sum.iter_mut().enumerate() {
            // SAFETY: the largest index, of the last row at the last depth, was checked above.
            let x = unsafe { *a.data.get_unchecked(at + i * a.row) };
            for (s, &y) in row.iter_mut().zip(b) {
                *s = I::fma(x, y, *s);
            }
        }
        at += a.depth;
    }
    sum
}

/// Splits `n` rows into tiles of as equal a height as possible, at most [`TILE_ROWS`]: a tile of one row would run
/// at the latency, not at the throughput, of the multiply-add. Yields (first row, height).
#[inline(always)]
fn tiles(n: usize) -> impl Iterator<Item = (usize, usize)> {
    let tiles = n.div_ceil(TILE_ROWS).max(1);
    (0..tiles).map(move |t| {
        let first = t * n / tiles;
        (first, (t + 1) * n / tiles - first)
    })
}

macro_rules! by_height {
    ($height:expr, $R:ident => $call:expr) => {
        match $height {
            0 => {}
            1 => {
                const $R: usize = 1;
                $call
            }
            2 => {
                const $R: usize = 2;
                $call
            }
            3 => {
                const $R: usize = 3;
                $call
            }
            4 => {
                const $R: usize = 4;
                $call
            }
            5 => {
                const $R: usize = 5;
                $call
            }
            _ => {
                const $R: usize = 6;
                $call
            }
        }
    };
}

#[inline(always)]
fn product_tile<T: Real, I: Isa, const R: usize>(
    a: Left<'_, T>,
    origin: usize,
    panel: &[T],
    start: [T; LANES],
    c: &mut [T],
    c_stride: usize,
) {
    let sum = tile::<T, I, R>(a, origin, panel, [start; R]);
    for (i, row) in sum.iter().enumerate() {
        c[i * c_stride..i * c_stride + LANES].copy_from_slice(row);
    }
}

dispatched! {
    /// C `[rows, ≥ panels·LANES]` = A `[rows, depth]` · B (`panels`) + start. `a_stride` and `c_stride` are the distances of
    /// rows.
    pub(crate) fn product<T, I>(
        rows: usize,
        depth: usize,
        a: &[T],
        a_stride: usize,
        panels: &[T],
        start: Start<'_, T>,
        c: &mut [T],
        c_stride: usize,
    ) {
        let left = Left { data: a, row: a_stride, depth: 1 };
        for (j, panel) in panels.chunks_exact(depth * LANES).enumerate() {
            let mut first_row = [T::ZERO; LANES];
            if let Start::Bias(bias) = start {
                first_row.copy_from_slice(&bias[j * LANES..(j + 1) * LANES]);
            }
            for (first, height) in tiles(rows) {
                let c = &mut c[first * c_stride + j * LANES..];
                by_height!(height, R => product_tile::<T, I, R>(
                    left, first * a_stride, panel, first_row, c, c_stride));
            }
        }
    }
}

#[inline(always)]
fn outer_tile<T: Real, I: Isa, const R: usize>(
    a: Left<'_, T>,
    origin: usize,
    panel: &[T],
    out: &mut [T],
) {
    let mut start = [[T::ZERO; LANES]; R];
    for (row, o) in start.iter_mut().zip(out.chunks_exact(LANES)) {
        row.copy_from_slice(o);
    }
    let sum = tile::<T, I, R>(a, origin, panel, start);
    for (row, o) in sum.iter().zip(out.chunks_exact_mut(LANES)) {
        o.copy_from_slice(row);
    }
}

dispatched! {
    /// Panels `out` of Aᵀ·D are added to: A `[rows, inputs]`, D `[rows, ≥ panels·LANES]`. `scratch` holds `rows·LANES`
    /// numbers: one panel of D, gathered.
    pub(crate) fn add_outer_product<T, I>(
        rows: usize,
        inputs: usize,
        a: &[T],
        a_stride: usize,
        d: &[T],
        d_stride: usize,
        scratch: &mut [T],
        out: &mut [T],
    ) {
        let left = Left { data: a, row: 1, depth: a_stride };
        let panel = &mut scratch[..rows * LANES];
        for (j, out) in out.chunks_exact_mut(inputs * LANES).enumerate() {
            for (row, p) in panel.chunks_exact_mut(LANES).enumerate() {
                p.copy_from_slice(&d[row * d_stride + j * LANES..][..LANES]);
            }
            for (first, height) in tiles(inputs) {
                let out = &mut out[first * LANES..];
                by_height!(height, R => outer_tile::<T, I, R>(left, first, panel, out));
            }
        }
    }
}

/// Packs a row-major matrix `[rows, columns]` into zero-padded panels, `[padded(columns)/LANES, rows, LANES]`.
pub(crate) fn pack<T: Real>(matrix: &[T], columns: usize, panels: &mut [T]) {
    let rows = matrix.len() / columns;
    for (j, panel) in panels.chunks_exact_mut(rows * LANES).enumerate() {
        let width = LANES.min(columns - j * LANES);
        for (source, row) in matrix.chunks_exact(columns).zip(panel.chunks_exact_mut(LANES)) {
            row[..width].copy_from_slice(&source[j * LANES..j * LANES + width]);
            row[width..].fill(T::ZERO);
        }
    }
}

/// The row-major matrix `[rows, columns]` of [`pack`]ed panels.
pub(crate) fn unpack<T: Real>(panels: &[T], columns: usize, matrix: &mut [T]) {
    let rows = matrix.len() / columns;
    for (j, panel) in panels.chunks_exact(rows * LANES).enumerate() {
        let width = LANES.min(columns - j * LANES);
        for (target, row) in matrix.chunks_exact_mut(columns).zip(panel.chunks_exact(LANES)) {
            target[j * LANES..j * LANES + width].copy_from_slice(&row[..width]);
        }
    }
}

/// Panels of the transpose: from panels of W `[rows, columns]` to panels of Wᵀ `[columns, rows]`.
pub(crate) fn transpose_panels<T: Real>(panels: &[T], rows: usize, columns: usize, out: &mut [T]) {
    for (i, target) in out.chunks_exact_mut(columns * LANES).enumerate() {
        let height = LANES.min(rows - i * LANES);
        for (j, source) in panels.chunks_exact(rows * LANES).enumerate() {
            let width = LANES.min(columns - j * LANES);
            // A full block first, with constant bounds, so that the compiler can keep it in registers.
            if height == LANES && width == LANES {
                let source = &source[i * LANES * LANES..(i + 1) * LANES * LANES];
                let target = &mut target[j * LANES * LANES..(j + 1) * LANES * LANES];
                for c in 0..LANES {
                    for r in 0..LANES {
                        target[c * LANES + r] = source[r * LANES + c];
                    }
                }
                continue;
            }
            for c in 0..width {
                let row = &mut target[(j * LANES + c) * LANES..][..LANES];
                for (r, value) in row.iter_mut().enumerate() {
                    *value = if r < height { source[(i * LANES + r) * LANES + c] } else { T::ZERO };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
            product(rows, depth, &a, depth, &panels, Start::Bias(&bias), &mut c, stride);
            for i in 0..rows {
                for j in 0..columns {
                    let exact: f64 = bias[j]
                        + (0..depth).map(|p| a[i * depth + p] * b[p * columns + j]).sum::<f64>();
                    assert!((c[i * stride + j] - exact).abs() < 1e-12 * depth as f64, "{i} {j}");
                }
            }
            // Aᵀ·C, added to what is there.
            let mut out = vec![1.0; depth * padded(columns)];
            add_outer_product(
                rows,
                depth,
                &a,
                depth,
                &c,
                stride,
                &mut vec![0.0; rows * LANES],
                &mut out,
            );
            let mut plain = vec![0.0; depth * columns];
            unpack(&out, columns, &mut plain);
            for p in 0..depth {
                for j in 0..columns {
                    let exact: f64 =
                        1.0 + (0..rows).map(|i| a[i * depth + p] * c[i * stride + j]).sum::<f64>();
                    assert!((plain[p * columns + j] - exact).abs() < 1e-10, "{p} {j}");
                }
            }
            let mut transposed = vec![f64::NAN; columns * padded(depth)];
            transpose_panels(&panels, depth, columns, &mut transposed);
            let mut plain = vec![0.0; columns * depth];
            unpack(&transposed, depth, &mut plain);
            for p in 0..depth {
                for j in 0..columns {
                    assert_eq!(plain[j * depth + p], b[p * columns + j]);
                }
            }
        }
    }
}
