//! Sorting the rows of a minibatch by the ensemble member that evaluates them, so that each member does one matrix
//! product over neighbouring rows.

use std::ops::Range;

/// Which place of the tape each row has, and which places belong to each member. Reused without allocation.
#[derive(Clone, Debug)]
pub struct Grouping {
    places: Vec<usize>,
    ranges: Vec<Range<usize>>,
}

impl Grouping {
    /// For up to `rows` rows and `members` members.
    pub fn new(rows: usize, members: usize) -> Self {
        Self { places: vec![0; rows], ranges: vec![0..0; members] }
    }

    /// Groups rows by member; rows of one member keep their order.
    pub fn arrange(&mut self, member_of_row: &[u32]) {
        for range in &mut self.ranges {
            *range = 0..0;
        }
        for &m in member_of_row {
            self.ranges[m as usize].end += 1;
        }
        let mut first = 0;
        for range in &mut self.ranges {
            let count = range.end;
            *range = first..first;
            first += count;
        }
        for (place, &m) in self.places.iter_mut().zip(member_of_row) {
            let range = &mut self.ranges[m as usize];
            *place = range.end;
            range.end += 1;
        }
    }

    /// The tape's row for minibatch row `i`.
    #[inline]
    pub fn place(&self, i: usize) -> usize {
        self.places[i]
    }

    /// Members with rows, and their tape rows.
    pub fn ranges(&self) -> impl Iterator<Item = (usize, Range<usize>)> + '_ {
        self.ranges.iter().cloned().enumerate().filter(|(_, r)| !r.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_member_are_neighbours_in_order() {
        let members = [3, 0, 3, 1, 0, 3];
        let mut grouping = Grouping::new(8, 5);
        for _ in 0..2 {
            grouping.arrange(&members);
            let places: Vec<usize> = (0..members.len()).map(|i| grouping.place(i)).collect();
            assert_eq!(places, [3, 0, 4, 2, 1, 5]);
            assert_eq!(grouping.ranges().collect::<Vec<_>>(), [(0, 0..2), (1, 2..3), (3, 3..6)]);
        }
    }
}
