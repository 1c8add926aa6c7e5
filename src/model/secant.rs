//! The secant loss R̃: along the secant from a row x to a near neighbour x_i, the change of the mean outputs is to be the change of the
//! labels. With ṽ the secant in standardised inputs,
//!
//! R̃ = mean over rows, neighbours and outputs of ρ_d²·[(μ_d(x_i) − μ_d(x)) − (y_{i,d} − y_d)]² / (‖ṽ‖² + ε²).
//!
//! A finite secant is compared with a finite secant, so there is no error of first order in its length, as there is where a derivative at one
//! end stands for it; and no tangent is needed: two rows go forward and back. The mean outputs are the first of a tape's, whatever else
//! the head has.

use super::neighbours::Neighbour;
use super::neighbours::scan;
use crate::data::{Replay, Standardiser};
use crate::nn::{Keep, Mlp, Real, Shape, Tape};
use crate::rng::Rng;
use rayon::prelude::*;

/// What secants are measured in. All labels and outputs are in the network's own units.
#[derive(Clone, Copy, Debug)]
pub struct SecantUnits<'a, T> {
    /// Of the network's input (s, a).
    pub inputs: &'a Standardiser<T>,
    /// What a label (r, Δs) is divided by to be in the network's units, `[label_dim]`.
    pub label_scale: &'a [T],
    /// ρ_d² in the network's units, `[label_dim]`.
    pub weights: &'a [T],
    /// ε².
    pub least_square: T,
}

impl<T: Real> SecantUnits<'_, T> {
    /// One secant's Σ_d ρ_d²·e_d²/(‖ṽ‖² + ε²), between rows `own` and `other` of a tape that has run forward; `difference` is
    /// y_i − y, `[label_dim]`. Adds `scale` times its derivatives to the rows' output adjoints.
    pub fn add_secant(
        &self,
        tape: &mut Tape<T>,
        (own, other): (usize, usize),
        difference: &[T],
        scale: T,
    ) -> T {
        let square = self.square(tape, (own, other));
        if square == T::ZERO {
            return T::ZERO;
        }
        let mut sum = T::ZERO;
        for (d, (&y, &weight)) in difference.iter().zip(self.weights).enumerate() {
            let residual = (tape.output.row(other)[d] - tape.output.row(own)[d]) - y;
            let weighted = weight / square * residual;
            sum += weighted * residual;
            let adjoint = scale * (weighted + weighted);
            tape.output_adjoint.row_mut(other)[d] += adjoint;
            tape.output_adjoint.row_mut(own)[d] += -adjoint;
        }
        sum
    }

    /// The same without derivatives: what the tape's outputs come to, whoever made them.
    pub fn secant(&self, tape: &Tape<T>, (own, other): (usize, usize), difference: &[T]) -> T {
        let square = self.square(tape, (own, other));
        if square == T::ZERO {
            return T::ZERO;
        }
        let outputs = tape.output.row(own).iter().zip(tape.output.row(other));
        let terms = outputs.zip(difference.iter().zip(self.weights));
        terms.fold(T::ZERO, |sum, ((&from, &to), (&y, &weight))| {
            let residual = (to - from) - y;
            sum + weight / square * residual * residual
        })
    }

    /// ‖ṽ‖² + ε². It is 0 where ε is and a row is there twice, or many are: such a secant says nothing of a derivative.
    fn square(&self, tape: &Tape<T>, (own, other): (usize, usize)) -> T {
        let ends = tape.input.row(own).iter().zip(tape.input.row(other));
        ends.fold(self.least_square, |square, (&x, &x_i)| square + (x_i - x) * (x_i - x))
    }

    /// y_i − y of two rows of `replay`, in the network's units.
    pub fn difference(&self, replay: &Replay, (own, other): (u32, u32), out: &mut [T]) {
        let (own, other) = (replay.get(own as usize), replay.get(other as usize));
        for (d, (to, &scale)) in out.iter_mut().zip(self.label_scale).enumerate() {
            *to = (other.label::<T>(d) - own.label(d)) / scale;
        }
    }
}

/// Buffers of one part of a minibatch, for a loss that has R̃ beside other terms on other rows.
#[derive(Debug)]
pub struct SecantPart<T> {
    /// Row i, then the m ends of its secants, and so on.
    tape: Tape<T>,
    directions: usize,
    /// Indices into a row's n neighbours, of which the first m are drawn.
    choice: Vec<usize>,
    /// Rows of the replay that are on the tape.
    loaded: Vec<u32>,
    difference: Vec<T>,
}

impl<T: Real> SecantPart<T> {
    /// Buffers for up to `rows` rows with `directions` secants each, to as many of their `count` neighbours, for networks of this
    /// shape whose first `labels` outputs are the means.
    pub fn new(
        shape: &Shape,
        labels: usize,
        rows: usize,
        (directions, count): (usize, usize),
    ) -> Self {
        let all = rows * (1 + directions);
        Self {
            // Of all outputs: a gradient by the parameters is laid out for all.
            tape: Tape::new(shape, all, Keep::Values),
            directions,
            choice: vec![0; count],
            loaded: vec![0; all],
            difference: vec![T::ZERO; labels],
        }
    }

    /// Rows that fit.
    pub fn rows(&self) -> usize {
        self.tape.rows() / (1 + self.directions)
    }

    /// Adds `scale` times the gradient of Σ_{rows, secants, outputs} ρ²·e²/(‖ṽ‖² + ε²) by the network's parameters over these rows of
    /// `replay`, as many as fit or fewer; returns that sum. Row x's k-th neighbour is row `nth(x, k)`.
    #[allow(clippy::too_many_arguments)]
    pub fn add(
        &mut self,
        network: &Mlp<T>,
        units: SecantUnits<'_, T>,
        replay: &Replay,
        nth: impl Fn(u32, usize) -> u32,
        rows: &[u32],
        scale: f64,
        rng: &mut Rng,
        gradient: &mut [T],
    ) -> f64 {
        let each = 1 + self.directions;
        for (loaded, &row) in self.loaded.chunks_exact_mut(each).zip(rows) {
            loaded[0] = row;
            draw(&mut self.choice, &mut loaded[1..], rng, |k| nth(row, k));
            loaded.iter().for_each(|&row| replay.prefetch(row as usize));
        }
        let count = rows.len() * each;
        for (i, &row) in self.loaded[..count].iter().enumerate() {
            let t = replay.get(row as usize);
            let input = self.tape.input.row_mut(i);
            units.inputs.apply((0..input.len()).map(|d| t.input(d)), input);
            self.tape.output_adjoint.row_mut(i).fill(T::ZERO);
        }
        network.forward(&mut self.tape, 0..count);
        let (mut sum, scale) = (0.0, T::from_f64(scale));
        for own in (0..count).step_by(each) {
            for other in own + 1..own + each {
                let ends = (self.loaded[own], self.loaded[other]);
                units.difference(replay, ends, &mut self.difference);
                let rows = (own, other);
                sum += units.add_secant(&mut self.tape, rows, &self.difference, scale).to_f64();
            }
        }
        network.backward(&mut self.tape, 0..count, Some(gradient), false);
        sum
    }
}

/// Draws as many of the neighbours as `drawn` holds, without replacement.
fn draw(choice: &mut [usize], drawn: &mut [u32], rng: &mut Rng, nth: impl Fn(usize) -> u32) {
    // Anew for each row: a permutation carried over would be state that no checkpoint holds.
    choice.iter_mut().enumerate().for_each(|(k, choice)| *choice = k);
    for (k, drawn) in drawn.iter_mut().enumerate() {
        let other = k + rng.below(choice.len() - k);
        choice.swap(k, other);
        *drawn = nth(choice[k]);
    }
}

/// The exact nearest neighbours of rows of a replay in standardised inputs. They are made anew for each training, since the standardiser is.
#[derive(Debug)]
pub struct SecantNeighbours {
    count: usize,
    dim: usize,
    /// The rows that can be neighbours, in the order of the columns.
    among: Vec<u32>,
    /// Their standardised (s, a), `[dim, among]`.
    columns: Vec<f32>,
    /// The nearest first, of each row that was asked for; squared distance and index into `among`.
    lists: Vec<Vec<Neighbour>>,
    squares: Vec<f32>,
}

impl SecantNeighbours {
    /// Lists of `count` neighbours by (s, a) with `dim` numbers.
    pub fn new(count: usize, dim: usize) -> Self {
        Self {
            count,
            dim,
            among: Vec::new(),
            columns: Vec::new(),
            lists: Vec::new(),
            squares: Vec::new(),
        }
    }

    /// Neighbours wanted of each row, n.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Makes the lists of the rows `among` and `others` of `replay`, each in ascending order, with neighbours among the rows `among` alone,
    /// which are more than n. No other row has a list then.
    pub fn update(
        &mut self,
        replay: &Replay,
        inputs: &Standardiser<f32>,
        among: &[u32],
        others: &[u32],
    ) {
        assert!(among.len() > self.count, "rows to be neighbours of each other");
        self.among.clear();
        self.among.extend_from_slice(among);
        let (count, dim, width) = (self.count, self.dim, among.len());
        let mut points = vec![0.0_f32; dim * replay.len()];
        for (row, point) in points.chunks_exact_mut(dim).enumerate() {
            let t = replay.get(row);
            inputs.apply((0..dim).map(|d| t.input(d)), point);
        }
        self.columns.resize(dim * width, 0.0);
        for (j, &row) in among.iter().enumerate() {
            for d in 0..dim {
                self.columns[d * width + j] = points[row as usize * dim + d];
            }
        }
        self.lists.resize(replay.len(), Vec::new());
        let columns = &self.columns;
        let lists = self.lists.par_iter_mut().zip(points.par_chunks_exact(dim)).enumerate();
        lists.for_each_init(Vec::new, |distances, (row, (list, point))| {
            list.clear();
            let own = match among.binary_search(&(row as u32)) {
                Ok(at) => at as u64,
                Err(_) if others.binary_search(&(row as u32)).is_ok() => u64::MAX,
                Err(_) => {
                    // Lists of rows that have left the window would take most of the memory.
                    *list = Vec::new();
                    return;
                }
            };
            distances.resize(super::neighbours::BLOCK, 0.0);
            scan(list, count, own, 0..width as u64, point, columns, width, distances);
        });
        self.squares.clear();
        let squares = self.lists.iter().flatten().map(|n| n.distance);
        self.squares.extend(squares);
    }

    /// Whether a row of the replay has a list.
    #[inline]
    pub fn has(&self, row: u32) -> bool {
        !self.lists[row as usize].is_empty()
    }

    /// The `k`-th nearest neighbour of a row of the replay that has a list.
    #[inline]
    pub fn nth(&self, row: u32, k: usize) -> u32 {
        self.among[self.lists[row as usize][k].sequence as usize]
    }

    /// ε²: the square of the `share` quantile of all the lists' distances.
    pub fn least_square(&mut self, share: f64) -> f64 {
        let at = ((self.squares.len() - 1) as f64 * share) as usize;
        f64::from(*self.squares.select_nth_unstable_by(at, f32::total_cmp).1)
    }
}
