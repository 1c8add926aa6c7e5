//! Rows of a policy's minibatch dealt out to the elites that were drawn for them, so that each elite runs on its own rows alone: a fifth of
//! all rows where there are five, and some places more, since draws are uneven.

/// How likely the rows of one elite may outnumber its places, at most: hardly once in 10⁵ runs of 10⁵ steps. Where they do, all elites run on
/// all rows.
const OVERFLOW: f64 = 1e-12;
/// Places are a multiple of it, as products' tiles are.
const STEP: usize = 8;
/// Places of all elites over rows of all elites above which dealing is not worth its gathers.
const WORTH: f64 = 0.75;

/// What is dealt: draws of so many rows, and so many places for each elite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dealing {
    pub rows: usize,
    pub elites: usize,
    /// Places of an elite.
    pub places: usize,
}

impl Dealing {
    /// For minibatches of so many rows; `None` where all elites may as well run on all rows.
    pub fn of(rows: usize, elites: usize) -> Option<Self> {
        let fits = |places: &usize| overflow(rows, elites, *places) < OVERFLOW;
        let places = (STEP..=rows).step_by(STEP).find(fits)?;
        let worth = places as f64 <= WORTH * rows as f64;
        worth.then_some(Self { rows, elites, places })
    }

    /// Places of all elites.
    pub fn all(&self) -> usize {
        self.elites * self.places
    }

    /// Whether each elite has places for its rows: `numbers` are those of a minibatch's rows, `width` each, of which the one in `column` is the
    /// row's elite.
    pub fn fits(&self, numbers: &[f32], width: usize, column: usize) -> bool {
        let mut counts = vec![0; self.elites];
        numbers.chunks_exact(width).for_each(|row| counts[row[column] as usize] += 1);
        counts.iter().all(|&count| count <= self.places)
    }

    /// Deals a minibatch that [fits](Self::fits) out: each row's elite becomes its place, and `rows`, one for each place, the row that has it, or the
    /// number of rows where none has.
    pub fn deal(&self, numbers: &mut [f32], width: usize, column: usize, rows: &mut [i32]) {
        rows.fill(self.rows as i32);
        let mut next: Vec<usize> = (0..self.elites).map(|elite| elite * self.places).collect();
        for (i, row) in numbers.chunks_exact_mut(width).enumerate() {
            let next = &mut next[row[column] as usize];
            rows[*next] = i as i32;
            row[column] = *next as f32;
            *next += 1;
        }
    }
}

/// A bound of the probability that one of the elites is drawn for more than `places` of some rows (Chernoff).
fn overflow(rows: usize, elites: usize, places: usize) -> f64 {
    let (n, p) = (rows as f64, 1.0 / elites as f64);
    let q = (places + 1) as f64 / n;
    if q >= 1.0 {
        return 0.0;
    }
    if q <= p {
        return 1.0;
    }
    let divergence = q * (q / p).ln() + (1.0 - q) * ((1.0 - q) / (1.0 - p)).ln();
    elites as f64 * (-n * divergence).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn places_are_enough_and_fewer_than_rows() {
        let dealing = Dealing::of(256, 5).unwrap();
        assert_eq!(dealing.places, 104);
        // One elite, or few rows: nothing is saved.
        assert_eq!((Dealing::of(256, 1), Dealing::of(16, 5)), (None, None));
        // Of 20 000 draws none is near; the largest count of an elite is about 51 + 4.5·6.4.
        let mut rng = Rng::new(1, "dealing");
        for _ in 0..20_000 {
            let mut counts = [0; 5];
            (0..256).for_each(|_| counts[rng.below(5)] += 1);
            assert!(counts.iter().all(|&n| n < 95), "{counts:?}");
        }
    }

    #[test]
    fn each_row_has_a_place_of_its_elite() {
        let dealing = Dealing { rows: 5, elites: 2, places: 3 };
        let drawn = [1.0, 0.0, 1.0, 1.0, 0.0];
        let mut numbers: Vec<f32> = drawn.iter().flat_map(|&elite| [7.0, elite]).collect();
        let mut rows = [0; 6];
        assert!(dealing.fits(&numbers, 2, 1));
        assert!(!Dealing { places: 2, ..dealing }.fits(&numbers, 2, 1));
        dealing.deal(&mut numbers, 2, 1, &mut rows);
        assert_eq!(rows, [1, 4, 5, 0, 2, 3]);
        assert_eq!(numbers, [7.0, 3.0, 7.0, 0.0, 7.0, 4.0, 7.0, 5.0, 7.0, 1.0]);
    }
}
