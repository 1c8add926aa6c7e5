//! The register tile for AVX-512, by intrinsics: up to 14 rows by one panel or two of `f32`. Two panels share each number's
//! broadcast, so that loads keep up with two multiply-adds a cycle. From plain Rust, as in `tile.rs`, the compiler leaves some
//! of so many sums in memory; a function a height, which has nothing else to keep in registers, it gets right.
//!
//! Sums run as in `tile.rs`, and have the same bits.

use std::any::TypeId;

use super::tile::{Left, Target, tiles};
use crate::machine::{LANES, Real, isa};

/// Rows of the highest tile: 28 sums, a row of two panels and one broadcast, of 32 registers.
const ROWS: usize = 14;

/// Whether products of `T` take this way: `f32`, on a processor that gains by it.
#[inline]
pub(crate) fn is_used<T: Real>() -> bool {
    TypeId::of::<T>() == TypeId::of::<f32>() && isa::has_wide_tiles()
}

/// The first `rows` rows of A times `P` panels, each `[depth, LANES]`, added to `start`, one row of sums for all, or to what
/// `target` holds where there is none. On the way the second cache is asked for as much of `ahead` as the panels are long.
///
/// Only where [`is_used`].
pub(crate) fn multiply<T: Real, const P: usize>(
    rows: usize,
    a: Left<'_, T>,
    panels: [&[T]; P],
    ahead: &[T],
    start: Option<&[[T; LANES]; P]>,
    target: Target<'_, T>,
) {
    assert!(is_used::<T>(), "this processor has no tile of two panels");
    if rows == 0 {
        return;
    }
    let depth = panels[0].len() / LANES;
    assert!(depth > 0 && panels.iter().all(|panel| panel.len() == depth * LANES));
    assert!((rows - 1) * a.row + (depth - 1) * a.depth < a.data.len());
    assert!((rows - 1) * target.row + (P - 1) * target.panel + LANES <= target.data.len());
    let (sums, sums_row, sums_panel) = match start {
        Some(start) => (start.as_ptr().cast(), 0, LANES),
        None => (target.data.as_ptr().cast(), target.row, target.panel),
    };
    let mut work = Work {
        a: a.data.as_ptr().cast(),
        a_row: a.row,
        a_depth: a.depth,
        panels: panels.map(|panel| panel.as_ptr().cast()),
        depth,
        ahead: ahead.as_ptr().cast(),
        sums,
        sums_row,
        sums_panel,
        target: target.data.as_mut_ptr().cast(),
        target_row: target.row,
        target_panel: target.panel,
    };
    if start.is_none() {
        work.sums = work.target;
    }
    for (first, height) in tiles(rows, ROWS) {
        // SAFETY: `T` is `f32` and the processor has AVX-512 with FMA, as `is_used` saw. Rows `first..first + height` are among
        // the `rows` for which A and the target were checked above, and the panels have `depth` rows each. What sums start from
        // is an array of P·LANES numbers that all rows share, or the target itself.
        unsafe {
            let work = work.at_row(first);
            match first == 0 && !ahead.is_empty() {
                true => call::<P, true>(height, &work),
                false => call::<P, false>(height, &work),
            }
        }
    }
}

/// Where a tile's numbers lie: element (i, k) of A at `a + i·a_row + k·a_depth`, row k of a panel at its pointer + k·LANES, and so on.
#[derive(Clone, Copy)]
struct Work<const P: usize> {
    a: *const f32,
    a_row: usize,
    a_depth: usize,
    panels: [*const f32; P],
    depth: usize,
    ahead: *const f32,
    sums: *const f32,
    sums_row: usize,
    sums_panel: usize,
    target: *mut f32,
    target_row: usize,
    target_panel: usize,
}

impl<const P: usize> Work<P> {
    /// The same from row `first` of A on.
    ///
    /// # Safety
    ///
    /// A, sums and target have that row.
    unsafe fn at_row(mut self, first: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            self.a = self.a.add(first * self.a_row);
            self.sums = self.sums.add(first * self.sums_row);
            self.target = self.target.add(first * self.target_row);
        }
        self
    }
}

/// The tile of this height.
///
/// # Safety
///
/// As for [`tile`].
#[cfg(target_arch = "x86_64")]
unsafe fn call<const P: usize, const AHEAD: bool>(height: usize, work: &Work<P>) {
    macro_rules! heights {
        ($($rows:literal)*) => {
            match height {
                // SAFETY: the caller's promise.
                $($rows => unsafe { tile::<$rows, P, AHEAD>(work) },)*
                _ => unreachable!("a tile has 1 to {ROWS} rows"),
            }
        };
    }
    heights!(1 2 3 4 5 6 7 8 9 10 11 12 13 14)
}

#[cfg(not(target_arch = "x86_64"))]
unsafe fn call<const P: usize, const AHEAD: bool>(_: usize, _: &Work<P>) {
    unreachable!("no other architecture has these tiles")
}

/// `R` rows by `P` panels. Where `AHEAD`, `P` lines a step are asked for.
///
/// # Safety
///
/// The processor has AVX-512F and FMA; all numbers of A, of the panels, of the sums and of the target that `work` describes for `R`
/// rows are there, and those of the target are nowhere else written.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
#[inline(never)]
unsafe fn tile<const R: usize, const P: usize, const AHEAD: bool>(work: &Work<P>) {
    use std::arch::x86_64::*;
    let Work { a_row, a_depth, panels, depth, .. } = *work;
    let mut ahead = work.ahead;
    // Four pointers, and two multiples of the distance: one pointer moved on from row to row, as the compiler would have it,
    // is a chain of additions as long as the step's arithmetic.
    let mut fours = [0, 4, 8, 12].map(|i| work.a.wrapping_add(i * a_row));
    let triple = std::hint::black_box(3 * a_row);
    let mut sums = [[_mm512_setzero_ps(); P]; R];
    // SAFETY: the caller's promise; a prefetch of any address is harmless.
    unsafe {
        for (i, row) in sums.iter_mut().enumerate() {
            for (p, sum) in row.iter_mut().enumerate() {
                *sum = _mm512_loadu_ps(work.sums.add(i * work.sums_row + p * work.sums_panel));
            }
        }
        for k in 0..depth {
            if AHEAD {
                for p in 0..P {
                    _mm_prefetch::<_MM_HINT_T1>(ahead.wrapping_add(p * LANES).cast());
                }
                ahead = ahead.wrapping_add(P * LANES);
            }
            let mut b = [_mm512_setzero_ps(); P];
            for (b, panel) in b.iter_mut().zip(panels) {
                *b = _mm512_loadu_ps(panel.add(k * LANES));
            }
            for (i, row) in sums.iter_mut().enumerate() {
                let apart = [0, a_row, 2 * a_row, triple][i % 4];
                let x = _mm512_set1_ps(*fours[i / 4].wrapping_add(apart));
                for (sum, &b) in row.iter_mut().zip(&b) {
                    *sum = _mm512_fmadd_ps(x, b, *sum);
                }
            }
            for four in &mut fours {
                *four = four.wrapping_add(a_depth);
            }
        }
        for (i, row) in sums.iter().enumerate() {
            for (p, &sum) in row.iter().enumerate() {
                let at = i * work.target_row + p * work.target_panel;
                _mm512_storeu_ps(work.target.add(at), sum);
            }
        }
    }
}
