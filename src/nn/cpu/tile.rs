//! The register tile, of which all matrix products are made: some rows by one panel, accumulators in registers from the
//! first to the last step of the sum.

use super::lanes::HALF;
use crate::machine::isa::{Isa, prefetch, prefetch_far};
use crate::machine::{LANES, Real};

/// Rows of a register tile half a panel wide: 12 accumulators, 1 register for the panel, 1 for the broadcast, of AVX2's 16. (A whole
/// panel takes 2 registers there, so its tile has [`Isa::TILE_ROWS`] = 6 rows.)
const HALF_TILE_ROWS: usize = 12;

/// A left-hand matrix read in place: element (i, p) is `data[i·row + p·depth]`.
#[derive(Clone, Copy)]
pub(crate) struct Left<'a, T> {
    pub data: &'a [T],
    pub row: usize,
    pub depth: usize,
}

/// Where sums lie.
pub(crate) struct Target<'a, T> {
    pub data: &'a mut [T],
    /// From one row to the next.
    pub row: usize,
    /// From one panel to the next.
    pub panel: usize,
}

/// One register tile: `R` rows by the first `W` columns of a panel, summed over the panel's depth, with `a` starting
/// at `origin`. Lines of `ahead` are asked for on the way, one a step: into the second cache where they are `FAR` ahead, else
/// into the nearest.
#[inline(always)]
pub(crate) fn tile<T: Real, I: Isa, const R: usize, const W: usize, const FAR: bool>(
    a: Left<'_, T>,
    origin: usize,
    panel: &[T],
    ahead: &[T],
    start: [[T; W]; R],
) -> [[T; W]; R] {
    let depth = panel.len() / LANES;
    assert!(depth > 0 && origin + (R - 1) * a.row + (depth - 1) * a.depth < a.data.len());
    let mut sum = start;
    let mut at = origin;
    // Two loops, not one with a condition: it is the innermost of all.
    let lines = ahead.len().min(panel.len()) / LANES;
    for (b, line) in panel.chunks_exact(LANES).zip(ahead.chunks_exact(LANES)) {
        if FAR {
            prefetch_far(line)
        } else {
            prefetch(line)
        }
        rank_one::<T, I, R, W>(a, at, b, &mut sum);
        at += a.depth;
    }
    for b in panel[lines * LANES..].chunks_exact(LANES) {
        rank_one::<T, I, R, W>(a, at, b, &mut sum);
        at += a.depth;
    }
    sum
}

/// One step of [`tile`]: a column of A, starting at `at`, times a row of the panel. Its rows are written out, not looped over: where
/// a column of A is contiguous, a loop of eight rows and more was vectorised down the column, which gathers and scatters
/// the sums.
#[inline(always)]
fn rank_one<T: Real, I: Isa, const R: usize, const W: usize>(
    a: Left<'_, T>,
    at: usize,
    b: &[T],
    sum: &mut [[T; W]; R],
) {
    const { assert!(R <= HALF_TILE_ROWS) };
    macro_rules! rows {
        ($($i:literal)*) => {$(
            if $i < R {
                // SAFETY: `tile` has checked the largest index, of its last row at the last depth.
                let x = unsafe { *a.data.get_unchecked(at + $i * a.row) };
                for (s, &y) in sum[$i].iter_mut().zip(&b[..W]) {
                    *s = I::fma(x, y, *s);
                }
            }
        )*};
    }
    rows!(0 1 2 3 4 5 6 7 8 9 10 11);
}

/// Splits `n` rows into tiles of as equal a height as possible, up to `highest`: a tile of few accumulators would run at the
/// latency, not at the throughput, of the multiply-add. Yields (first row, height).
#[inline(always)]
pub(crate) fn tiles(n: usize, highest: usize) -> impl ExactSizeIterator<Item = (usize, usize)> {
    let tiles = n.div_ceil(highest).max(1);
    (0..tiles).map(move |t| {
        let first = t * n / tiles;
        (first, (t + 1) * n / tiles - first)
    })
}

/// Rows of the highest tile of a panel of which `columns` columns are wanted.
#[inline(always)]
pub(crate) fn tile_rows<I: Isa>(columns: usize) -> usize {
    if columns <= HALF { HALF_TILE_ROWS } else { I::TILE_ROWS }
}

/// Calls with the height, and with the width that `columns` columns from the panel on need, as constants.
macro_rules! by_size {
    ($height:expr, $columns:expr, $R:ident, $W:ident => $call:expr) => {
        if $columns <= HALF {
            by_size!(@ $height, HALF, $R, $W, $call, 1 2 3 4 5 6 7 8 9 10 11 12)
        } else {
            by_size!(@ $height, LANES, $R, $W, $call, 1 2 3 4 5 6 7 8)
        }
    };
    (@ $height:expr, $width:expr, $R:ident, $W:ident, $call:expr, $($rows:literal)*) => {
        match $height {
            // Taller tiles than the instruction set's are not compiled.
            $($rows => {
                const $R: usize = $rows;
                const $W: usize = $width;
                if const { $rows <= I::TILE_ROWS || $width == HALF } {
                    $call
                }
            })*
            _ => {}
        }
    };
}
pub(crate) use by_size;
