//! The least of the critic's values, min_i Q_i(s, a), and its slopes.

use super::networks::Critic;
use crate::nn::{Keep, Matrix, Mlp, Real, Tape};

/// The least of some values; NaN if one of them is.
pub fn least<T: Real>(values: impl Iterator<Item = T>) -> (usize, T) {
    let mut least = (0, T::ZERO);
    for (i, value) in values.enumerate() {
        let replaces = match least.1.partial_cmp(&value) {
            Some(order) => order.is_gt(),
            // One of them is NaN, and has to come through.
            None => least.1.partial_cmp(&least.1).is_some(),
        };
        if i == 0 || replaces {
            least = (i, value);
        }
    }
    least
}

/// Buffers to run up to `rows` rows through all networks of a critic and back.
#[derive(Clone, Debug)]
pub struct LeastTape<T> {
    tapes: Vec<Tape<T>>,
    /// Which network has the least value in each row, and that value.
    chosen: Vec<(usize, T)>,
}

impl<T: Real> LeastTape<T> {
    /// Buffers.
    pub fn new(critic: &Critic<T>, rows: usize) -> Self {
        let tape = |_| Tape::new(critic.shape(), rows, Keep::Slopes);
        Self { tapes: critic.networks.iter().map(tape).collect(), chosen: vec![(0, T::ZERO); rows] }
    }

    /// Row `i`'s least value, after [`Critic::least`].
    pub fn value(&self, i: usize) -> T {
        self.chosen[i].1
    }

    /// Rows that fit.
    pub fn rows(&self) -> usize {
        self.chosen.len()
    }

    /// Derivative of Σ_i weight(i)·min Q(s_i, a_i) by row `i`'s input (s, a), after [`Critic::least_slopes`].
    pub fn slopes(&self, i: usize) -> impl Iterator<Item = T> {
        let (first, rest) = self.tapes.split_first().expect("a critic has a network");
        first.input_adjoint.row(i).iter().enumerate().map(move |(d, &slope)| {
            rest.iter().fold(slope, |sum, tape| sum + tape.input_adjoint.row(i)[d])
        })
    }
}

impl<T: Real> LeastTape<T> {
    /// The least value of some networks for every row.
    fn forward<'n>(
        &mut self,
        networks: impl Iterator<Item = &'n Mlp<T>>,
        states: &Matrix<T>,
        actions: &[T],
    ) {
        let rows = self.rows();
        let (s, a) = (states.columns(), actions.len() / states.rows());
        for (network, tape) in networks.zip(&mut self.tapes) {
            for i in 0..rows {
                let (to_s, to_a) = tape.input.row_mut(i).split_at_mut(s);
                to_s.copy_from_slice(states.row(i));
                to_a.copy_from_slice(&actions[i * a..(i + 1) * a]);
            }
            network.forward(tape, 0..rows);
        }
        let Self { tapes, chosen } = self;
        for (i, chosen) in chosen.iter_mut().enumerate() {
            *chosen = least(tapes.iter().map(|tape| tape.output.row(i)[0]));
        }
    }

    /// The way back through the same networks.
    fn backward<'n>(
        &mut self,
        networks: impl Iterator<Item = &'n Mlp<T>>,
        weight: impl Fn(usize) -> T,
    ) {
        let rows = self.rows();
        let Self { tapes, chosen } = self;
        for (q, (network, tape)) in networks.zip(tapes).enumerate() {
            for (i, &(least, _)) in chosen.iter().enumerate() {
                let adjoint = if least == q { weight(i) } else { T::ZERO };
                tape.output_adjoint.row_mut(i)[0] = adjoint;
            }
            network.backward(tape, 0..rows, None, true);
        }
    }
}

impl<T: Real> Critic<T> {
    /// min_i Q_i(s, a) for every row of the tape: s of `states`, a of `actions` `[rows, action_dim]`.
    pub fn least(&self, tape: &mut LeastTape<T>, states: &Matrix<T>, actions: &[T]) {
        tape.forward(self.networks.iter().map(|q| &q.network), states, actions);
    }

    /// The way back of [`Critic::least`] from the derivatives `weight(i)` of a loss by row i's least value.
    pub fn least_slopes(&self, tape: &mut LeastTape<T>, weight: impl Fn(usize) -> T) {
        tape.backward(self.networks.iter().map(|q| &q.network), weight);
    }

    /// [`Critic::least`] of the target networks Q̄.
    pub fn least_target(&self, tape: &mut LeastTape<T>, states: &Matrix<T>, actions: &[T]) {
        tape.forward(self.networks.iter().map(|q| &q.target), states, actions);
    }

    /// [`Critic::least_slopes`] after [`Critic::least_target`]. The targets' way back must be that of their present parameters.
    pub fn least_target_slopes(&self, tape: &mut LeastTape<T>, weight: impl Fn(usize) -> T) {
        tape.backward(self.networks.iter().map(|q| &q.target), weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_comes_through_and_the_first_of_equals_is_taken() {
        let least = |values: &[f32]| least(values.iter().copied());
        assert_eq!(least(&[2.0, 1.0, 1.0, 3.0]), (1, 1.0));
        assert_eq!(least(&[1.0, 1.0]), (0, 1.0));
        for values in [[f32::NAN, 1.0], [1.0, f32::NAN]] {
            assert!(least(&values).1.is_nan(), "{values:?}");
        }
    }
}
