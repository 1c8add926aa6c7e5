//! The multilayer perceptron: parameters, and its passes forward and backward. The forward-mode passes are in
//! `tangent.rs`. All buffers are the caller's [`Tape`]; several networks of one shape may share a tape, each on a
//! range of rows of its own, which is how an ensemble runs a minibatch grouped by elite.

use std::ops::Range;

use super::activation::{self, Activation};
use super::gemm::{self, Start, padded};
use super::matrix::Matrix;
use super::real::Real;
use super::shape::{Layer, Shape};
use super::tape::{Keep, Tape};
use crate::rng::Rng;

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
