//! Which transitions are held out from a training, and how much the others count.

use crate::data::Replay;
use crate::rng::Rng;

/// Which transitions are held out, and how much each counts for each member: fixed for good when it is made, by its number.
#[derive(Clone, Copy, Debug)]
pub struct RowDraws {
    holdout: u64,
    weights: u64,
}

impl RowDraws {
    /// Those of a run's model of this name; what is held out is the same for all its models.
    pub fn new(seed: u64, name: &str) -> Self {
        let word = |name: &str| Rng::new(seed, name).next_u64();
        Self { holdout: word("held-out rows"), weights: word(&format!("{name} row weights")) }
    }

    fn uniform(key: u64, sequence: u64, member: u64) -> f64 {
        let word = sequence.wrapping_mul(0xD134_2543_DE82_EF95).wrapping_add(member);
        Rng::from_word(key ^ word).uniform()
    }

    /// Whether the transition pushed as number `sequence` is held out.
    pub fn holds_out(self, sequence: u64, fraction: f64) -> bool {
        Self::uniform(self.holdout, sequence, 0) < fraction
    }

    /// Its weight in the loss of `member`, a draw from the exponential distribution of mean 1.
    pub fn weight(self, sequence: u64, member: usize) -> f64 {
        -(1.0 - Self::uniform(self.weights, sequence, member as u64)).ln()
    }
}

/// The rows of a replay, parted.
#[derive(Clone, Debug, Default)]
pub struct Split {
    /// Rows to train on, in order.
    pub training: Vec<u32>,
    /// The others.
    pub holdout: Vec<u32>,
}

impl Split {
    /// Parts all rows of `replay`.
    pub fn renew(&mut self, replay: &Replay, draws: RowDraws, fraction: f64) {
        self.training.clear();
        self.holdout.clear();
        for row in 0..replay.len() {
            let out = draws.holds_out(replay.sequence_of(row), fraction);
            let part = if out { &mut self.holdout } else { &mut self.training };
            part.push(row as u32);
        }
    }
}
