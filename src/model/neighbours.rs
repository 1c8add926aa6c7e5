//! The exact nearest neighbours of each of the newest real transitions, by Euclidean distance on (s, a), raw (docs/algorithm.md, "The gradient loss") or
//! standardised. Between two trainings only the new transitions are compared with the old ones where coordinates are raw. The
//! deviations that standardise them change with every transition, so those lists are made anew (docs/algorithm.md, "Nearest neighbours").

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::{Replay, Transition, moments};
use crate::machine::isa::dispatched;

/// Candidates whose distances are computed at a time.
pub(super) const BLOCK: usize = 512;

/// What distances between transitions are measured in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InputCoordinates {
    /// (s, a) in the task's units (the paper).
    #[default]
    Raw,
    /// Each entry of (s, a) divided by its deviation over the window.
    Standardised,
}

/// A neighbour: squared distance, then push number; ties in distance go to the older transition.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(super) struct Neighbour {
    pub(super) distance: f32,
    pub(super) sequence: u64,
}

/// Neighbour lists of a sliding window over a replay buffer.
#[derive(Clone, Debug)]
pub struct Neighbours {
    count: usize,
    window: usize,
    dim: usize,
    coordinates: InputCoordinates,
    /// What entries of (s, a) are multiplied by, `[dim]`.
    scales: Vec<f32>,
    /// Transitions seen, as the replay buffer counts them.
    seen: u64,
    /// Scaled (s, a) of the window, `[dim, window]`, transition number k in column k mod window.
    columns: Vec<f32>,
    /// Up to `count` neighbours a row, nearest first.
    lists: Vec<Vec<Neighbour>>,
}

dispatched! {
    /// out[j] ← Σ_d (point[d] − columns[d, first + j])².
    fn squared_distances<T, I>(point: &[T], columns: &[T], stride: usize, first: usize, out: &mut [T]) {
        out.fill(T::ZERO);
        for (d, &p) in point.iter().enumerate() {
            let column = &columns[d * stride + first..][..out.len()];
            for (o, &c) in out.iter_mut().zip(column) {
                let difference = p - c;
                *o = I::fma(difference, difference, *o);
            }
        }
    }
}

/// Puts a candidate into a list kept sorted and at most `count` long.
fn consider(list: &mut Vec<Neighbour>, count: usize, candidate: Neighbour) {
    if list.len() == count {
        match list.last() {
            Some(worst) if candidate < *worst => {
                list.pop();
            }
            _ => return,
        }
    }
    let at = list.partition_point(|n| *n < candidate);
    list.insert(at, candidate);
}

impl Neighbours {
    /// Lists of `count` neighbours among the newest `window` transitions of raw (s, a) with `dim` numbers.
    pub fn new(count: usize, window: usize, dim: usize) -> Self {
        Self {
            count,
            window,
            dim,
            coordinates: InputCoordinates::Raw,
            scales: vec![1.0; dim],
            seen: 0,
            columns: vec![0.0; dim * window],
            lists: vec![Vec::new(); window],
        }
    }

    /// The same lists in other coordinates. Nothing must have been taken in yet.
    pub fn in_coordinates(self, coordinates: InputCoordinates) -> Self {
        Self { coordinates, ..self }
    }

    /// Neighbours wanted of each row, n.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Push numbers of the transitions in the window, oldest first.
    pub fn sequences(&self) -> std::ops::Range<u64> {
        self.seen.saturating_sub(self.window as u64)..self.seen
    }

    /// Push numbers of the neighbours of transition `sequence`, nearest first.
    pub fn of(&self, sequence: u64) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.lists[self.slot(sequence)].iter().map(|n| n.sequence)
    }

    /// The `k`-th nearest neighbour of transition `sequence`.
    #[inline]
    pub fn nth(&self, sequence: u64, k: usize) -> u64 {
        self.lists[self.slot(sequence)][k].sequence
    }

    /// The squared distance of the `k`-th nearest neighbour of transition `sequence`, in these coordinates.
    #[inline]
    pub fn squared_distance(&self, sequence: u64, k: usize) -> f32 {
        self.lists[self.slot(sequence)][k].distance
    }

    /// The distance that a share `q` of all neighbours stays below; 0 where there are none.
    pub fn distance_quantile(&self, q: f64) -> f64 {
        let mut all: Vec<f32> = self.lists.iter().flatten().map(|n| n.distance).collect();
        if all.is_empty() {
            return 0.0;
        }
        let at = ((all.len() - 1) as f64 * q).round() as usize;
        let (_, squared, _) = all.select_nth_unstable_by(at, f32::total_cmp);
        f64::from(*squared).sqrt()
    }

    fn slot(&self, sequence: u64) -> usize {
        (sequence % self.window as u64) as usize
    }

    /// Takes in what was pushed since the last call. The lists are then exact for the present window, however the
    /// pushes were divided among calls.
    pub fn update(&mut self, replay: &Replay) {
        let old = self.sequences();
        self.seen = replay.pushed();
        let present = self.sequences();
        let fresh = match self.coordinates {
            InputCoordinates::Raw => old.end.max(present.start)..present.end,
            InputCoordinates::Standardised => {
                let rows = present.clone().map(|sequence| replay.get(replay.row_of(sequence)));
                let moments = moments(rows, self.dim, Transition::input::<f64>);
                let scales = moments.iter().map(|m| (1.0 / m.deviation()) as f32);
                self.scales = scales.collect();
                present.clone()
            }
        };
        for sequence in fresh.clone() {
            let t = replay.get(replay.row_of(sequence));
            let slot = self.slot(sequence);
            let scaled = t.observation.iter().chain(t.action).zip(&self.scales);
            for (d, (&x, &scale)) in scaled.enumerate() {
                self.columns[d * self.window + slot] = x * scale;
            }
        }
        let (count, window, dim, columns) = (self.count, self.window, self.dim, &self.columns);
        self.lists.par_iter_mut().enumerate().for_each_init(
            || (vec![0.0_f32; dim], vec![0.0_f32; BLOCK]),
            |(point, distances), (slot, list)| {
                // The transition in this slot: the newest whose number leaves this remainder.
                let (w, slot_number) = (window as u64, slot as u64);
                if present.end <= slot_number {
                    return;
                }
                let sequence = slot_number + (present.end - 1 - slot_number) / w * w;
                for (d, p) in point.iter_mut().enumerate() {
                    *p = columns[d * window + slot];
                }
                let lost = list.iter().any(|n| n.sequence < present.start);
                let from = if sequence >= fresh.start || lost {
                    list.clear();
                    present.start
                } else {
                    fresh.start
                };
                scan(list, count, sequence, from..present.end, point, columns, window, distances);
            },
        );
    }
}

/// Considers the transitions of a range for one row's list.
#[allow(clippy::too_many_arguments)]
pub(super) fn scan(
    list: &mut Vec<Neighbour>,
    count: usize,
    own: u64,
    candidates: std::ops::Range<u64>,
    point: &[f32],
    columns: &[f32],
    window: usize,
    distances: &mut [f32],
) {
    let mut next = candidates.start;
    while next < candidates.end {
        let slot = (next % window as u64) as usize;
        let length = (BLOCK.min(window - slot) as u64).min(candidates.end - next) as usize;
        let distances = &mut distances[..length];
        squared_distances(point, columns, window, slot, distances);
        for (j, &distance) in distances.iter().enumerate() {
            let full = list.len() == count;
            let sequence = next + j as u64;
            // Candidates come in order of age, so an equal distance never displaces the last of a full list.
            let hopeless = full && list.last().is_some_and(|worst| distance >= worst.distance);
            if !hopeless && sequence != own {
                consider(list, count, Neighbour { distance, sequence });
            }
        }
        next += length as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Transition;
    use crate::rng::Rng;

    fn push(replay: &mut Replay, rng: &mut Rng, n: usize) {
        for _ in 0..n {
            // Coarse values, so that equal distances and exact duplicates occur.
            let mut draw = || rng.below(6) as f32;
            let (s, a, next) = ([draw(), draw()], [draw()], [draw(), draw()]);
            replay.push(Transition {
                observation: &s,
                action: &a,
                reward: 0.0,
                next_observation: &next,
                terminated: false,
            });
        }
    }

    /// Sorted by (distance, age) over all pairs of the window.
    fn by_definition(replay: &Replay, window: u64, count: usize, sequence: u64) -> Vec<u64> {
        let x = |k: u64| {
            let t = replay.get(replay.row_of(k));
            [t.observation[0], t.observation[1], t.action[0]]
        };
        let own = x(sequence);
        let mut all: Vec<(f32, u64)> = (replay.pushed().saturating_sub(window)..replay.pushed())
            .filter(|&k| k != sequence)
            .map(|k| (own.iter().zip(x(k)).map(|(p, q)| (p - q) * (p - q)).sum(), k))
            .collect();
        all.sort_by(|a, b| a.partial_cmp(b).unwrap());
        all.into_iter().take(count).map(|(_, k)| k).collect()
    }

    #[test]
    fn lists_are_exact_after_every_update() {
        let mut rng = Rng::new(0, "neighbours");
        let mut replay = Replay::new(2, 1, 5000);
        let mut neighbours = Neighbours::new(7, 900, 3);
        for pushes in [5, 300, 1, 400, 193, 1, 250, 250, 1000, 37] {
            push(&mut replay, &mut rng, pushes);
            neighbours.update(&replay);
            let window = neighbours.sequences();
            assert_eq!(window.end - window.start, replay.pushed().min(900));
            for sequence in window.step_by(3) {
                let list: Vec<u64> = neighbours.of(sequence).collect();
                assert_eq!(list, by_definition(&replay, 900, 7, sequence), "row {sequence}");
            }
        }
    }
}
