//! The multilayer perceptron: parameters, and its passes forward and backward. The forward-mode passes are in
//! `tangent.rs`. All buffers are the caller's [`Tape`]; several networks of one shape may share a tape, each on a
//! range of rows of its own, which is how an ensemble runs a minibatch grouped by elite.

use std::ops::Range;

use super::activation::{self, Activation};
use super::gemm::{self, LANES, Start, padded};
use super::matrix::Matrix;
use super::real::Real;
use crate::rng::Rng;

/// One affine map of a network and where its numbers lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Size of its input.
    pub inputs: usize,
    /// Size of its output.
    pub outputs: usize,
    /// Its weight, in panels, within the parameters.
    pub weight: Range<usize>,
    /// Its bias, padded, within the parameters.
    pub bias: Range<usize>,
    /// Panels of its transposed weight, within the transposes.
    transposed: Range<usize>,
}

/// Sizes and nonlinearity of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The affine maps, first to last.
    pub layers: Vec<Layer>,
    /// After every map but the last.
    pub activation: Activation,
}

impl Shape {
    /// A network with the given layer sizes, input and output included; hidden layers all have one width.
    pub fn new(sizes: &[usize], activation: Activation) -> Self {
        assert!(
            sizes.len() >= 2 && sizes.iter().all(|&n| n > 0),
            "a network needs sizes above 0, got {sizes:?}"
        );
        let hidden = &sizes[1..sizes.len() - 1];
        assert!(
            hidden.windows(2).all(|w| w[0] == w[1]),
            "hidden layers have one width, got {hidden:?}"
        );
        let (mut at, mut transposed) = (0, 0);
        let layers = sizes
            .windows(2)
            .map(|pair| {
                let (inputs, outputs) = (pair[0], pair[1]);
                let weight = at..at + inputs * padded(outputs);
                let bias = weight.end..weight.end + padded(outputs);
                let back = transposed..transposed + outputs * padded(inputs);
                (at, transposed) = (bias.end, back.end);
                Layer { inputs, outputs, weight, bias, transposed: back }
            })
            .collect();
        Self { layers, activation }
    }

    /// Size of the input.
    pub fn inputs(&self) -> usize {
        self.layers[0].inputs
    }

    /// Size of the output.
    pub fn outputs(&self) -> usize {
        self.layers[self.layers.len() - 1].outputs
    }

    /// Length of a parameter or gradient vector, padding included.
    pub fn parameter_len(&self) -> usize {
        self.layers[self.layers.len() - 1].bias.end
    }

    /// Layer `l`'s row-major weight `[inputs, outputs]` and bias `[outputs]`, of a vector laid out like the parameters:
    /// the parameters themselves, a gradient, a moment.
    pub fn export<T: Real>(&self, l: usize, vector: &[T]) -> (Vec<T>, Vec<T>) {
        let layer = &self.layers[l];
        let mut weight = vec![T::ZERO; layer.inputs * layer.outputs];
        gemm::unpack(&vector[layer.weight.clone()], layer.outputs, &mut weight);
        (weight, vector[layer.bias.start..layer.bias.start + layer.outputs].to_vec())
    }

    /// The inverse of [`Shape::export`].
    pub fn import<T: Real>(&self, l: usize, weight: &[T], bias: &[T], vector: &mut [T]) {
        let layer = &self.layers[l];
        assert_eq!((weight.len(), bias.len()), (layer.inputs * layer.outputs, layer.outputs));
        gemm::pack(weight, layer.outputs, &mut vector[layer.weight.clone()]);
        vector[layer.bias.start..layer.bias.start + layer.outputs].copy_from_slice(bias);
    }

    /// Width of the hidden layers, 1 where there are none.
    pub(super) fn hidden(&self) -> usize {
        if self.layers.len() > 1 { self.layers[0].outputs } else { 1 }
    }
}

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
    pub(super) slopes: Vec<Matrix<T>>,
    pub(super) curves: Vec<Matrix<T>>,
    pub(super) adjoints: [Matrix<T>; 2],
    pub(super) panel: Vec<T>,
    keep: Keep,
}

impl<T: Real> Tape<T> {
    /// Buffers for up to `rows` rows of networks of this shape.
    pub fn new(shape: &Shape, rows: usize, keep: Keep) -> Self {
        let hidden = &shape.layers[..shape.layers.len() - 1];
        let buffers = |wanted: bool| -> Vec<Matrix<T>> {
            hidden.iter().filter(|_| wanted).map(|l| Matrix::zeros(rows, l.outputs)).collect()
        };
        let silu = shape.activation == Activation::Silu;
        let back = if keep >= Keep::Slopes { rows } else { 0 };
        Self {
            input: Matrix::zeros(rows, shape.inputs()),
            output: Matrix::zeros(rows, shape.outputs()),
            output_adjoint: Matrix::zeros(back, shape.outputs()),
            input_adjoint: Matrix::zeros(back, shape.inputs()),
            values: buffers(true),
            slopes: buffers(silu && keep >= Keep::Slopes),
            curves: buffers(silu && keep >= Keep::Curves),
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

/// A network. Parameters are one vector (weights in panels, biases padded), gradients another of the same layout.
#[derive(Clone, Debug)]
pub struct Mlp<T> {
    shape: Shape,
    parameters: Vec<T>,
    transposed: Vec<T>,
}

impl<T: Real> Mlp<T> {
    /// A network whose weights `[inputs, outputs]` are drawn layer by layer, in row-major order; biases are 0.
    pub fn new(shape: Shape, mut draw: impl FnMut(&Layer) -> f64) -> Self {
        let parameters = vec![T::ZERO; shape.parameter_len()];
        let transposed = vec![T::ZERO; shape.layers[shape.layers.len() - 1].transposed.end];
        let mut network = Self { shape, parameters, transposed };
        for layer in &network.shape.layers {
            let weight: Vec<T> =
                (0..layer.inputs * layer.outputs).map(|_| T::from_f64(draw(layer))).collect();
            gemm::pack(&weight, layer.outputs, &mut network.parameters[layer.weight.clone()]);
        }
        network.refresh();
        network
    }

    /// Xavier-uniform weights: U(±√(6/(fan_in + fan_out))).
    pub fn xavier(shape: Shape, rng: &mut Rng) -> Self {
        Self::new(shape, |l| {
            let bound = (6.0 / (l.inputs + l.outputs) as f64).sqrt();
            rng.uniform_in(-bound, bound)
        })
    }

    /// Weights from a normal with deviation 1/(2√fan_in), truncated at two deviations.
    pub fn truncated_normal(shape: Shape, rng: &mut Rng) -> Self {
        Self::new(shape, |l| {
            loop {
                let x = rng.normal();
                if x.abs() <= 2.0 {
                    break x / (2.0 * (l.inputs as f64).sqrt());
                }
            }
        })
    }

    /// Sizes and nonlinearity.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// All parameters, in the layout of [`Shape::layers`].
    pub fn parameters(&self) -> &[T] {
        &self.parameters
    }

    /// Lets `change` write the parameters (padding must stay zero), then renews what is derived from them.
    pub fn update(&mut self, change: impl FnOnce(&mut [T], &Shape)) {
        change(&mut self.parameters, &self.shape);
        self.refresh();
    }

    /// [`Mlp::update`] for a network that only ever runs forward: the way back stays that of the old parameters.
    pub fn update_forward_only(&mut self, change: impl FnOnce(&mut [T])) {
        change(&mut self.parameters);
    }

    fn refresh(&mut self) {
        for l in &self.shape.layers {
            let weight = &self.parameters[l.weight.clone()];
            gemm::transpose_panels(
                weight,
                l.inputs,
                l.outputs,
                &mut self.transposed[l.transposed.clone()],
            );
        }
    }

    /// The network's output for the rows of a range of `tape.input`. The tape keeps what its [`Keep`] asks.
    pub fn forward(&self, tape: &mut Tape<T>, rows: Range<usize>) {
        let last = self.shape.layers.len() - 1;
        for (l, layer) in self.shape.layers.iter().enumerate() {
            let (before, after) = if l == last {
                (if l == 0 { &tape.input } else { &tape.values[l - 1] }, &mut tape.output)
            } else if l == 0 {
                (&tape.input, &mut tape.values[0])
            } else {
                let (before, after) = tape.values.split_at_mut(l);
                (&before[l - 1], &mut after[0])
            };
            gemm::product(
                rows.len(),
                layer.inputs,
                before.block(rows.clone()),
                before.stride(),
                &self.parameters[layer.weight.clone()],
                Start::Bias(&self.parameters[layer.bias.clone()]),
                after.block_mut(rows.clone()),
                padded(layer.outputs),
            );
            if l == last {
                return;
            }
            let z = after.block_mut(rows.clone());
            match (self.shape.activation, tape.keep) {
                (Activation::Relu, _) => activation::relu(z),
                (Activation::Silu, Keep::Values) => activation::silu(z),
                (Activation::Silu, Keep::Slopes) => {
                    activation::silu_slope(z, tape.slopes[l].block_mut(rows.clone()));
                }
                (Activation::Silu, Keep::Curves) => activation::silu_curve(
                    z,
                    tape.slopes[l].block_mut(rows.clone()),
                    tape.curves[l].block_mut(rows.clone()),
                ),
            }
        }
    }

    /// The reverse pass from `tape.output_adjoint` after a [`Mlp::forward`] over the same rows: adds to `gradient`
    /// where it is given, writes `tape.input_adjoint` where `to_input`.
    pub fn backward(
        &self,
        tape: &mut Tape<T>,
        rows: Range<usize>,
        mut gradient: Option<&mut [T]>,
        to_input: bool,
    ) {
        let last = self.shape.layers.len() - 1;
        let Tape {
            input,
            output_adjoint,
            input_adjoint,
            values,
            slopes,
            adjoints: [above, below],
            panel,
            ..
        } = tape;
        for l in (0..=last).rev() {
            let source = if l == last { &*output_adjoint } else { &*above };
            if let Some(gradient) = gradient.as_deref_mut() {
                let before = if l == 0 { &*input } else { &values[l - 1] };
                self.add_weight_gradient(l, rows.clone(), before, source, panel, gradient);
                self.add_bias_gradient(l, rows.clone(), source, gradient);
            }
            if l == 0 && !to_input {
                return;
            }
            let target = if l == 0 { &mut *input_adjoint } else { &mut *below };
            self.product_transposed(l, rows.clone(), source, target);
            if l == 0 {
                return;
            }
            let adjoint = target.block_mut(rows.clone());
            match slopes.get(l - 1) {
                Some(slope) => activation::scale(adjoint, slope.block(rows.clone())),
                None => activation::gate(adjoint, values[l - 1].block(rows.clone())),
            }
            std::mem::swap(above, below);
        }
    }

    /// gradient of layer `l`'s weight += beforeᵀ·adjoint over a range of rows.
    pub(super) fn add_weight_gradient(
        &self,
        l: usize,
        rows: Range<usize>,
        before: &Matrix<T>,
        adjoint: &Matrix<T>,
        panel: &mut [T],
        gradient: &mut [T],
    ) {
        let layer = &self.shape.layers[l];
        gemm::add_outer_product(
            rows.len(),
            layer.inputs,
            before.block(rows.clone()),
            before.stride(),
            adjoint.block(rows.clone()),
            adjoint.stride(),
            panel,
            &mut gradient[layer.weight.clone()],
        );
    }

    /// gradient of layer `l`'s bias += the sum of the adjoint's rows.
    pub(super) fn add_bias_gradient(
        &self,
        l: usize,
        rows: Range<usize>,
        adjoint: &Matrix<T>,
        gradient: &mut [T],
    ) {
        let bias = &mut gradient[self.shape.layers[l].bias.clone()];
        activation::add_column_sums(adjoint.block(rows), adjoint.stride(), bias);
    }

    /// target = source·Wᵀ of layer `l`, over a range of rows.
    pub(super) fn product_transposed(
        &self,
        l: usize,
        rows: Range<usize>,
        source: &Matrix<T>,
        target: &mut Matrix<T>,
    ) {
        let layer = &self.shape.layers[l];
        let stride = target.stride();
        gemm::product(
            rows.len(),
            layer.outputs,
            source.block(rows.clone()),
            source.stride(),
            &self.transposed[layer.transposed.clone()],
            Start::Zero,
            target.block_mut(rows),
            stride,
        );
    }

    /// target = source·W of layer `l`, without the bias, over a range of rows.
    pub(super) fn product_linear(
        &self,
        l: usize,
        rows: Range<usize>,
        source: &Matrix<T>,
        target: &mut Matrix<T>,
    ) {
        let layer = &self.shape.layers[l];
        let stride = target.stride();
        gemm::product(
            rows.len(),
            layer.inputs,
            source.block(rows.clone()),
            source.stride(),
            &self.parameters[layer.weight.clone()],
            Start::Zero,
            target.block_mut(rows),
            stride,
        );
    }
}

#[cfg(test)]
#[path = "mlp_tests.rs"]
mod tests;
