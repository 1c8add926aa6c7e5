//! The buffers of a network's passes, allocated once.

use std::ops::Range;

use super::activation::Activation;
use super::cpu::matrix::{Matrix, Rows, RowsMut};
use super::cpu::panels::Panels;
use super::shape::Shape;
use crate::machine::Real;

/// How much of a forward pass is kept for a way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub enum Keep {
    /// Nothing: there is no way back.
    Nothing,
    /// First derivatives of the nonlinearity: for [`Mlp::backward`] to the input, and for [`Mlp::tangent`].
    Slopes,
    /// These, and the layers' values: for [`Mlp::backward`] to the parameters.
    Values,
    /// These, and the layers' adjoints on the way back: for [`Mlp::gradient`] after it.
    Adjoints,
    /// The layers' values, first and second derivatives: for [`Mlp::tangent_backward`].
    Curves,
}

/// Everything that passes over up to `rows` rows of a network need, allocated once.
#[derive(Clone, Debug)]
pub struct Tape<T> {
    /// The network's input, `[rows, inputs]`: filled by the caller.
    pub input: Matrix<T>,
    /// The network's output, `[rows, outputs]`.
    pub output: Matrix<T>,
    /// Derivative of a loss by the output, `[rows, outputs]`: filled by the caller before a way back.
    pub output_adjoint: Matrix<T>,
    /// Derivative of the loss by the input, `[rows, inputs]`.
    pub input_adjoint: Matrix<T>,
    /// A matrix a hidden layer where values are kept, else up to two that serve in turn.
    pub(crate) values: Vec<Matrix<T>>,
    pub(crate) slopes: Vec<Panels<T>>,
    pub(crate) curves: Vec<Panels<T>>,
    /// r of each row, of every hidden layer whose values are normalised.
    pub(crate) scales: Vec<Vec<T>>,
    /// Derivatives of the loss by the hidden layers before their nonlinearity: a matrix each where adjoints are kept, else two
    /// that serve in turn. Never fewer than two.
    pub(crate) adjoints: Vec<Matrix<T>>,
    pub(crate) keep: Keep,
    keeps_values: bool,
}

impl<T: Real> Tape<T> {
    /// Buffers for up to `rows` rows of networks of this shape.
    pub fn new(shape: &Shape, rows: usize, keep: Keep) -> Self {
        Self::of_first_outputs(shape, shape.outputs(), rows, keep)
    }

    /// The same for the first `outputs` outputs alone: the passes leave out what only the others need.
    pub fn of_first_outputs(shape: &Shape, outputs: usize, rows: usize, keep: Keep) -> Self {
        let hidden = &shape.layers[..shape.layers.len() - 1];
        let kept = |wanted: bool| -> Vec<Panels<T>> {
            hidden.iter().filter(|_| wanted).map(|l| Panels::zeros(rows, l.outputs)).collect()
        };
        let silu = shape.activation == Activation::Silu;
        let keeps_values = keeps_values(shape, keep);
        let matrices = if keeps_values { hidden.len() } else { hidden.len().min(2) };
        let back = if keep >= Keep::Slopes { rows } else { 0 };
        let adjoints = if keep == Keep::Adjoints { hidden.len().max(2) } else { 2 };
        Self {
            input: Matrix::zeros(rows, shape.inputs()),
            output: Matrix::zeros(rows, outputs),
            output_adjoint: Matrix::zeros(back, outputs),
            input_adjoint: Matrix::zeros(back, shape.inputs()),
            values: hidden[..matrices].iter().map(|l| Matrix::zeros(rows, l.outputs)).collect(),
            slopes: kept(silu && keep >= Keep::Slopes),
            curves: kept(silu && keep >= Keep::Curves),
            scales: shape.norms.iter().map(|_| vec![T::ZERO; rows]).collect(),
            adjoints: (0..adjoints).map(|_| Matrix::zeros(back, shape.hidden())).collect(),
            keep,
            keeps_values,
        }
    }

    /// Where the values of the hidden layers of these rows lie: in the same rows where they are kept, else in the first, which
    /// stay in the nearest cache.
    pub(crate) fn value_rows(&self, rows: &Range<usize>) -> Range<usize> {
        if self.keeps_values { rows.clone() } else { 0..rows.len() }
    }

    /// Derivative of the loss by what map `l` writes, after a way back over all rows, where adjoints are kept.
    pub(crate) fn adjoint(&self, l: usize) -> &Matrix<T> {
        if l == self.values.len() { &self.output_adjoint } else { &self.adjoints[l] }
    }

    /// Rows that fit.
    pub fn rows(&self) -> usize {
        self.input.rows()
    }
}

/// Whether each hidden layer has a matrix of its own. A ReLU's slope is read off its value, and so is the derivative of a normalisation.
fn keeps_values(shape: &Shape, keep: Keep) -> bool {
    let by_value = shape.activation == Activation::Relu || !shape.norms.is_empty();
    keep >= Keep::Values || (keep == Keep::Slopes && by_value)
}

/// What layer `l` reads: the network's input, or `rows` of the layer below.
pub(crate) fn below<'a, T: Real>(
    input: Rows<'a, T>,
    layers: &'a [Matrix<T>],
    l: usize,
    rows: Range<usize>,
) -> Rows<'a, T> {
    if l == 0 { input } else { layers[(l - 1) % layers.len()].view(rows) }
}

/// [`below`], and where hidden layer `l` writes.
pub(crate) fn around<'a, T: Real>(
    input: Rows<'a, T>,
    layers: &'a mut [Matrix<T>],
    l: usize,
    rows: Range<usize>,
) -> (Rows<'a, T>, RowsMut<'a, T>) {
    let count = layers.len();
    if l == 0 {
        return (input, layers[0].view_mut(rows));
    }
    let pair = layers.get_disjoint_mut([(l - 1) % count, l % count]);
    let [before, after] = pair.expect("two layers have two matrices");
    (before.view(rows.clone()), after.view_mut(rows))
}
