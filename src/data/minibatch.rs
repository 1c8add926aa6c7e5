//! How a minibatch is shared out among threads, so that their number does not show in the result: parts of any size, each of them
//! some whole groups of rows; and a random stream for every group, whichever part it is in.

use std::ops::Range;

use crate::rng::Rng;

/// Rows that draw from one stream: as few as still fill a block of normal draws.
const GROUP: usize = 16;
/// Rows of a block: two for the two threads of a small machine.
const BLOCK: usize = 8 * GROUP;
/// More rows than these would not stay in a core's second cache from one pass to the next.
const MOST_ROWS: usize = 256;

/// The rows of every part when `rows` are shared out in `wanted` parts: more where these would be too large, fewer where there are
/// not so many groups; of sizes as equal as groups allow. `rows` begins with a group.
pub fn parts(rows: Range<usize>, wanted: usize) -> impl Iterator<Item = Range<usize>> {
    let groups = rows.len().div_ceil(GROUP);
    let parts = wanted.max(rows.len().div_ceil(MOST_ROWS)).min(groups);
    let first = move |part: usize| (rows.start + part * groups / parts * GROUP).min(rows.end);
    (0..parts).map(move |part| first(part)..first(part + 1))
}

/// Blocks of rows that sum a gradient of their own; they do not depend on the number of threads.
pub fn blocks(batch: usize) -> impl Iterator<Item = Range<usize>> {
    (0..batch).step_by(BLOCK).map(move |first| first..(first + BLOCK).min(batch))
}

/// The random streams of a part's rows.
#[derive(Clone, Debug)]
pub struct RowStreams {
    rows: usize,
    /// What each group's stream grows from.
    words: Vec<u64>,
}

impl RowStreams {
    /// Streams for a part of `rows` rows, all alike until they are renewed.
    pub fn new(rows: usize) -> Self {
        Self { rows, words: vec![0; rows.div_ceil(GROUP)] }
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// New streams, from a word of `rng` each: to be called on the parts of a minibatch in turn.
    pub fn renew(&mut self, rng: &mut Rng) {
        self.words.iter_mut().for_each(|word| *word = rng.next_u64());
    }

    /// Every group's rows within the part, and its stream from the beginning.
    pub fn groups(&self) -> impl Iterator<Item = (Range<usize>, Rng)> {
        let first_rows = (0..self.rows).step_by(GROUP);
        first_rows
            .zip(&self.words)
            .map(|(first, &word)| (first..(first + GROUP).min(self.rows), Rng::from_word(word)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_draw_the_same_however_they_are_shared_out() {
        for batch in [1, 15, 16, 100, 256, 1000] {
            let draw = |wanted| {
                let rng = &mut Rng::new(0, "minibatch");
                let mut drawn = Vec::new();
                for rows in parts(0..batch, wanted) {
                    assert!((1..=MOST_ROWS).contains(&rows.len()));
                    let mut streams = RowStreams::new(rows.len());
                    streams.renew(rng);
                    for (group, mut rng) in streams.groups() {
                        drawn.extend(group.map(|_| rng.next_u64()));
                    }
                }
                drawn
            };
            let alone = draw(1);
            assert_eq!(alone.len(), batch);
            for wanted in [2, 3, 7, 16, 99] {
                assert_eq!(draw(wanted), alone, "{batch} rows, {wanted} parts");
            }
        }
    }

    #[test]
    fn parts_are_as_many_as_wanted_where_there_are_as_many_groups() {
        let sizes =
            |batch, wanted| parts(0..batch, wanted).map(|rows| rows.len()).collect::<Vec<_>>();
        assert_eq!(sizes(256, 1), [256]);
        assert_eq!(sizes(256, 3), [80, 80, 96]);
        assert_eq!(sizes(40, 8), [16, 16, 8]);
        assert_eq!(sizes(600, 1), [192, 208, 200]);
    }
}
