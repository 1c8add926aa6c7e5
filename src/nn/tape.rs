//! The buffers of a network's passes, allocated once.

use super::activation::Activation;
use super::gemm::LANES;
use super::matrix::Matrix;
use super::real::Real;
use super::shape::Shape;
use super::stretches::Stretches;

/// How much of a forward pass is kept for a way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub enum Keep {
    /// Values only.
    Values,
    /// First derivatives of the nonlinearity: for [`Mlp::backward`] and [`Mlp::tangent`].
    Slopes,
    /// First and second: for [`Mlp::tangent_backward`].
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
    pub(super) values: Vec<Matrix<T>>,
    pub(super) slopes: Vec<Stretches<T>>,
    pub(super) curves: Vec<Stretches<T>>,
    pub(super) adjoints: [Matrix<T>; 2],
    pub(super) panel: Vec<T>,
    pub(super) keep: Keep,
}

impl<T: Real> Tape<T> {
    /// Buffers for up to `rows` rows of networks of this shape.
    pub fn new(shape: &Shape, rows: usize, keep: Keep) -> Self {
        Self::of_first_outputs(shape, shape.outputs(), rows, keep)
    }

    /// The same for the first `outputs` outputs alone: the passes leave out what only the others need.
    pub fn of_first_outputs(shape: &Shape, outputs: usize, rows: usize, keep: Keep) -> Self {
        let hidden = &shape.layers[..shape.layers.len() - 1];
        let kept = |wanted: bool| -> Vec<Stretches<T>> {
            hidden.iter().filter(|_| wanted).map(|l| Stretches::zeros(rows, l.outputs)).collect()
        };
        let silu = shape.activation == Activation::Silu;
        let back = if keep >= Keep::Slopes { rows } else { 0 };
        Self {
            input: Matrix::zeros(rows, shape.inputs()),
            output: Matrix::zeros(rows, outputs),
            output_adjoint: Matrix::zeros(back, outputs),
            input_adjoint: Matrix::zeros(back, shape.inputs()),
            values: hidden.iter().map(|l| Matrix::zeros(rows, l.outputs)).collect(),
            slopes: kept(silu && keep >= Keep::Slopes),
            curves: kept(silu && keep >= Keep::Curves),
            adjoints: [Matrix::zeros(back, shape.hidden()), Matrix::zeros(back, shape.hidden())],
            panel: vec![T::ZERO; back * LANES],
            keep,
        }
    }

    /// Rows that fit.
    pub fn rows(&self) -> usize {
        self.input.rows()
    }
}
