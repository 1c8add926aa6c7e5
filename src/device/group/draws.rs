//! What is random about updates, drawn by the host from the runs' own streams, in the order in which the CPU's updates draw it.

use crate::data::Replay;
use crate::data::minibatch::RowStreams;
use crate::rng::Rng;

/// Writes rows of numbers side by side: each row of the minibatch has a place of `width` numbers.
pub(super) struct Columns<'o> {
    /// `[rows, width]`.
    pub out: &'o mut [f32],
    pub width: usize,
}

impl Columns<'_> {
    pub fn put(&mut self, row: usize, at: usize, numbers: &[f32]) {
        self.out[row * self.width + at..][..numbers.len()].copy_from_slice(numbers);
    }

    /// Standard normal draws for some rows, `numbers` each, in the columns from `at` on.
    pub fn noise(
        &mut self,
        rows: std::ops::Range<usize>,
        at: usize,
        numbers: usize,
        rng: &mut Rng,
    ) {
        if rows.len() == 1 {
            rng.fill_normal(&mut self.out[rows.start * self.width + at..][..numbers]);
            return;
        }
        let mut drawn = vec![0.0_f32; rows.len() * numbers];
        rng.fill_normal(&mut drawn);
        for (row, noise) in rows.zip(drawn.chunks_exact(numbers)) {
            self.put(row, at, noise);
        }
    }
}

/// A critic's minibatch, in the columns of `LearnerShape::transition_rows`: `draw(i, rng)` tells where row i lies
/// (`src/critic/minibatch.rs` draws the same).
pub(super) fn critic_rows<'a>(
    rows: usize,
    action_dim: usize,
    stream: &mut Rng,
    draw: impl Fn(usize, &mut Rng) -> (&'a Replay, usize),
    to: &mut Columns<'_>,
) {
    let (mut of_rows, mut of_noise) = (RowStreams::new(rows), RowStreams::new(rows));
    of_rows.renew(stream);
    of_noise.renew(stream);
    let mut noise = 0;
    for (group, mut rng) in of_rows.groups() {
        for i in group.clone() {
            let (replay, row) = draw(i, &mut rng);
            let t = replay.get(row);
            let alive = if t.terminated { 0.0 } else { 1.0 };
            let mut at = 0;
            let numbers = [t.observation, t.action, &[t.reward], t.next_observation, &[alive]];
            for part in numbers {
                to.put(i, at, part);
                at += part.len();
            }
            noise = at;
        }
        to.noise(group, noise + action_dim, action_dim, &mut rng);
    }
    for (group, mut rng) in of_noise.groups() {
        to.noise(group, noise, action_dim, &mut rng);
    }
}

/// Noise of a policy's update in states that are given, in the columns from `at` on (`src/path/imagine.rs` draws the same).
pub(super) fn policy_noise(
    rows: usize,
    action_dim: usize,
    stream: &mut Rng,
    at: usize,
    to: &mut Columns<'_>,
) {
    let mut streams = RowStreams::new(rows);
    streams.renew(stream);
    for (group, mut rng) in streams.groups() {
        to.noise(group, at, action_dim, &mut rng);
    }
}
