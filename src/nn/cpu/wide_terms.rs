//! `terms.rs` for AVX-512, by intrinsics: two rows at a time, whose sums over eight panels or four stay in registers. Sums run
//! as there, and have the same bits.

use super::matrix::Rows;
use super::terms::{BLOCK, Factors};
use super::tile::Target;
use super::wide;
use crate::machine::{LANES, Real};

/// Adds a block's terms, a mask of `masks` a row, to the rows of `target` from number `first` on, or to `start` where that is
/// given. `a` begins at the first of its rows and at the block's first column.
///
/// Only where [`wide::is_used`].
pub(crate) fn add_block<T: Real, const P: usize>(
    a: Rows<'_, T>,
    masks: &[u64],
    factors: Factors<'_, T, P>,
    start: Option<&[[T; LANES]; P]>,
    target: &mut Target<'_, T>,
    first: usize,
) {
    assert!(wide::is_used::<T>(), "this processor has no wide kernels");
    let Some(last) = masks.len().checked_sub(1) else { return };
    assert!(last * a.stride + BLOCK <= a.data.len());
    assert!((first + last) * target.row + (P - 1) * target.panel + LANES <= target.data.len());
    let target_data: *mut f32 = target.data[first * target.row..].as_mut_ptr().cast();
    let (sums, sums_row, sums_panel) = match start {
        Some(start) => (start.as_ptr().cast(), 0, LANES),
        None => (target_data.cast_const(), target.row, target.panel),
    };
    let work = Work {
        a: a.data.as_ptr().cast(),
        a_row: a.stride,
        factors: factors.map(|panel| panel.as_ptr().cast()),
        sums,
        sums_row,
        sums_panel,
        target: target_data,
        target_row: target.row,
        target_panel: target.panel,
    };
    // SAFETY: `T` is `f32` and the processor has AVX-512 with FMA, as `is_used` saw. A has a block of numbers, and the target P
    // panels, for each row that has a mask, as checked above; what sums start from is an array of P·LANES numbers that all rows
    // share, or the target itself; and a mask's bits number rows of the factors, of which there are BLOCK.
    unsafe { add(&work, masks) }
}

/// Where numbers lie: a row's numbers from its pointer on, row k of a panel of factors at its pointer + k·LANES.
struct Work<const P: usize> {
    a: *const f32,
    a_row: usize,
    factors: [*const f32; P],
    sums: *const f32,
    sums_row: usize,
    sums_panel: usize,
    target: *mut f32,
    target_row: usize,
    target_panel: usize,
}

/// # Safety
///
/// The processor has AVX-512F and FMA; `work` describes [`BLOCK`] numbers of A, and `P` panels of sums and of the target, for each
/// row that has a mask, and [`BLOCK`] rows of each panel of factors.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma,bmi1")]
unsafe fn add<const P: usize>(work: &Work<P>, masks: &[u64]) {
    use std::arch::x86_64::*;

    /// A row's sums, and which terms are left to add.
    #[derive(Clone, Copy)]
    struct Row<const P: usize> {
        sums: [__m512; P],
        numbers: *const f32,
        mask: u64,
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn read<const P: usize>(work: &Work<P>, row: usize, mask: u64) -> Row<P> {
        let mut sums = [_mm512_setzero_ps(); P];
        for (p, sum) in sums.iter_mut().enumerate() {
            // SAFETY: `add`'s caller promises these numbers.
            *sum = unsafe {
                _mm512_loadu_ps(work.sums.add(row * work.sums_row + p * work.sums_panel))
            };
        }
        Row { sums, numbers: work.a.wrapping_add(row * work.a_row), mask }
    }

    #[target_feature(enable = "avx512f,fma,bmi1")]
    #[inline]
    unsafe fn term<const P: usize>(factors: &[*const f32; P], row: &mut Row<P>) {
        let k = row.mask.trailing_zeros() as usize % BLOCK;
        row.mask &= row.mask.wrapping_sub(1);
        // SAFETY: k is below BLOCK, and so many numbers and factors are promised to `add`.
        unsafe {
            let x = _mm512_set1_ps(*row.numbers.add(k));
            for (sum, factors) in row.sums.iter_mut().zip(factors) {
                *sum = _mm512_fmadd_ps(x, _mm512_loadu_ps(factors.add(k * LANES)), *sum);
            }
        }
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn write<const P: usize>(work: &Work<P>, row: usize, sums: &[__m512; P]) {
        for (p, &sum) in sums.iter().enumerate() {
            // SAFETY: `add`'s caller promises this place.
            unsafe {
                let at = row * work.target_row + p * work.target_panel;
                _mm512_storeu_ps(work.target.add(at), sum);
            }
        }
    }

    let factors = &work.factors;
    let (pairs, rest) = masks.as_chunks::<2>();
    // SAFETY: the caller's promise.
    unsafe {
        for (i, &[mask, other_mask]) in pairs.iter().enumerate() {
            let (mut row, mut other) = (read(work, 2 * i, mask), read(work, 2 * i + 1, other_mask));
            while (row.mask != 0) & (other.mask != 0) {
                term(factors, &mut row);
                term(factors, &mut other);
            }
            while row.mask != 0 {
                term(factors, &mut row);
            }
            while other.mask != 0 {
                term(factors, &mut other);
            }
            write(work, 2 * i, &row.sums);
            write(work, 2 * i + 1, &other.sums);
        }
        for &mask in rest {
            let mut row = read(work, masks.len() - 1, mask);
            while row.mask != 0 {
                term(factors, &mut row);
            }
            write(work, masks.len() - 1, &row.sums);
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
unsafe fn add<const P: usize>(_: &Work<P>, _: &[u64]) {
    unreachable!("no other architecture has these kernels")
}
