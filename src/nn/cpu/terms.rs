//! Sums of products that leave terms out: a row has the sums of four panels in registers, and a bit mask says which terms to
//! add. Each factor comes from memory, not from a register: [`BLOCK`] rows of the panels, which stay in the nearest cache, serve
//! all rows of A in turn.

use super::epilogue::Epilogue;
use super::lanes::{lanes, lanes_mut};
use super::matrix::Rows;
use super::tile::Target;
use crate::machine::isa::{Isa, dispatched};
use crate::machine::{LANES, Real};

/// Terms that a mask has bits for. So many rows of four panels take half of a nearest cache of 32 kB.
pub(crate) const BLOCK: usize = 64;
/// Panels taken at a time.
pub(crate) const PANELS: usize = 4;

/// [`BLOCK`] rows of each of `P` panels.
pub(crate) type Factors<'a, T, const P: usize> = [&'a [[T; LANES]; BLOCK]; P];
/// A row's sums.
type Sums<T> = [[T; LANES]; PANELS];

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
    fn add<I: Isa>(&mut self, factors: Factors<'_, T, PANELS>, sums: &mut Sums<T>) {
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
    pub(crate) fn add_block<T, I, E: Epilogue<T>>(
        a: Rows<'_, T>,
        masks: &[u64],
        factors: Factors<'_, T, PANELS>,
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
