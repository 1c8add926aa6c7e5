//! The multilayer perceptron: parameters, and its passes forward and backward. The forward-mode passes are in
//! `tangent.rs`. All buffers are the caller's [`Tape`]; several networks of one shape may share a tape, each on a
//! range of rows of its own, which is how an ensemble runs a minibatch grouped by elite.

use std::ops::Range;

use super::activation::{Activation, Gate, Relu, Scale, Silu, SiluCurve, SiluSlope};
use super::cpu::epilogue::{Epilogue, Plain};
use super::cpu::gemm;
use super::cpu::gemm::ProductStart;
use super::cpu::matrix::{Rows, RowsMut};
use super::cpu::outer;
use super::cpu::pack;
use super::cpu::sparse;
use super::layer_norm::{normalise, project_back};
use super::shape::{Layer, Shape};
use super::tape::{Keep, Tape, around, below};
use crate::machine::Real;
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
        let transposed = vec![T::ZERO; shape.layers[0].transposed.end];
        let mut network = Self { shape, parameters, transposed };
        for layer in &network.shape.layers {
            let weight: Vec<T> =
                (0..layer.inputs * layer.outputs).map(|_| T::from_f64(draw(layer))).collect();
            pack::pack(&weight, layer.outputs, &mut network.parameters[layer.weight.clone()]);
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

    /// The same weights with layer normalisation: [`Shape::with_layer_norm`].
    pub fn with_layer_norm(self, epsilon: impl Fn(usize) -> f64) -> Self {
        Self { shape: self.shape.with_layer_norm(epsilon), ..self }
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
            pack::transpose_panels(
                weight,
                l.inputs,
                l.outputs,
                &mut self.transposed[l.transposed.clone()],
            );
        }
    }

    /// The network's output for the rows of a range of `tape.input`, as many outputs as the tape has. The tape keeps what its [`Keep`] asks.
    pub fn forward(&self, tape: &mut Tape<T>, rows: Range<usize>) {
        let last = self.shape.layers.len() - 1;
        let own = tape.value_rows(&rows);
        let Tape { input, output, values, slopes, curves, scales, keep, .. } = tape;
        let input = input.view(rows.clone());
        for l in 0..last {
            let (before, after) = around(input, values, l, own.clone());
            match (self.shape.activation, *keep) {
                (Activation::Relu, _) => self.map_rectified(l, before, after),
                (Activation::Silu, Keep::Nothing) => self.map(l, before, after, &mut Silu),
                (Activation::Silu, Keep::Slopes | Keep::Values | Keep::Adjoints) => {
                    let slope = slopes[l].view_mut(rows.clone());
                    self.map(l, before, after, &mut SiluSlope { slope });
                }
                (Activation::Silu, Keep::Curves) => {
                    let slope = slopes[l].view_mut(rows.clone());
                    let curve = curves[l].view_mut(rows.clone());
                    self.map(l, before, after, &mut SiluCurve { slope, curve });
                }
            }
            if let Some(&epsilon) = self.shape.norms.get(l) {
                let count = values.len();
                let after = values[l % count].view_mut(own.clone());
                normalise(after, T::from_f64(epsilon), &mut scales[l][rows.clone()]);
            }
        }
        let before = below(input, values, last, own);
        self.map(last, before, output.view_mut(rows), &mut Plain);
    }

    /// The reverse pass from `tape.output_adjoint` after a [`Mlp::forward`] over the same rows: adds to `gradient`
    /// where it is given (the tape must keep values; where it keeps adjoints too, [`Mlp::gradient`] can do that later), writes
    /// `tape.input_adjoint` where `to_input`.
    pub fn backward(
        &self,
        tape: &mut Tape<T>,
        rows: Range<usize>,
        mut gradient: Option<&mut [T]>,
        to_input: bool,
    ) {
        assert!(gradient.is_none() || tape.keep >= Keep::Values, "weight gradients need values");
        let last = self.shape.layers.len() - 1;
        let own = tape.value_rows(&rows);
        let Tape { input, output_adjoint, input_adjoint, values, slopes, adjoints, scales, .. } =
            tape;
        let input = input.view(rows.clone());
        // Adjoints of hidden layers live in the first rows, whatever the range: an ensemble does not keep them.
        let first = 0..rows.len();
        let count = adjoints.len();
        for l in (0..=last).rev() {
            let (above, under) = match l {
                0 => (&adjoints[0], None),
                _ => {
                    let pair = adjoints.get_disjoint_mut([l % count, (l - 1) % count]);
                    let [above, under] = pair.expect("there are two matrices or more");
                    (&*above, Some(under))
                }
            };
            let above = match l == last {
                true => output_adjoint.view(rows.clone()),
                false => above.view(first.clone()),
            };
            if let Some(gradient) = gradient.as_deref_mut() {
                self.add_gradient(l, below(input, values, l, own.clone()), above, gradient);
            }
            let Some(under) = under else {
                if to_input {
                    self.map_gated(0, above, input_adjoint.view_mut(rows), &mut Plain);
                }
                return;
            };
            if let Some(scales) = scales.get(l - 1) {
                self.map_transposed(l, above, under.view_mut(first.clone()), &mut Plain);
                let normal = values[l - 1].view(own.clone());
                let slope = slopes[l - 1].view(rows.clone());
                project_back(under.view_mut(first.clone()), normal, &scales[rows.clone()], slope);
                continue;
            }
            let under = under.view_mut(first.clone());
            match slopes.get(l - 1) {
                Some(slope) => {
                    let mut scale = Scale { slope: slope.view(rows.clone()) };
                    self.map_transposed(l, above, under, &mut scale);
                }
                None => {
                    let mut gate = Gate { value: values[l - 1].view(own.clone()) };
                    self.map_gated(l, above, under, &mut gate);
                }
            }
        }
    }

    /// after = before·W + b of layer `l`, and what follows.
    fn map(
        &self,
        l: usize,
        before: Rows<'_, T>,
        after: RowsMut<'_, T>,
        epilogue: &mut impl Epilogue<T>,
    ) {
        let layer = &self.shape.layers[l];
        let weights = &self.parameters[layer.weight.start..];
        let bias = ProductStart::Bias(&self.parameters[layer.bias.clone()]);
        gemm::product(before, weights, layer.inputs, bias, after, epilogue);
    }

    /// after = max(before·W + b, 0) of layer `l`. All layers but the first read what a ReLU gave.
    fn map_rectified(&self, l: usize, before: Rows<'_, T>, after: RowsMut<'_, T>) {
        let layer = &self.shape.layers[l];
        let weights = &self.parameters[layer.weight.start..];
        let bias = ProductStart::Bias(&self.parameters[layer.bias.clone()]);
        if l == 0 {
            gemm::product(before, weights, layer.inputs, bias, after, &mut Relu);
        } else {
            sparse::product(before, weights, layer.inputs, bias, after, &mut Relu);
        }
    }

    /// after = before·W of layer `l`, without the bias: the map of tangents, which a ReLU may have gated before.
    pub(crate) fn map_tangent(
        &self,
        l: usize,
        before: Rows<'_, T>,
        after: RowsMut<'_, T>,
        epilogue: &mut impl Epilogue<T>,
    ) {
        let layer = &self.shape.layers[l];
        let weights = &self.parameters[layer.weight.start..];
        if l > 0 && self.shape.is_rectified(l - 1) {
            sparse::product(before, weights, layer.inputs, ProductStart::Zero, after, epilogue);
        } else {
            gemm::product(before, weights, layer.inputs, ProductStart::Zero, after, epilogue);
        }
    }

    /// below = above·Wᵀ of layer `l`, and what follows.
    pub(crate) fn map_transposed(
        &self,
        l: usize,
        above: Rows<'_, T>,
        below: RowsMut<'_, T>,
        epilogue: &mut impl Epilogue<T>,
    ) {
        let layer = &self.shape.layers[l];
        let weights = &self.transposed[layer.transposed.start..];
        gemm::product(above, weights, layer.outputs, ProductStart::Zero, below, epilogue);
    }

    /// [`Mlp::map_transposed`] for adjoints that may have gone back through a ReLU.
    pub(crate) fn map_gated(
        &self,
        l: usize,
        above: Rows<'_, T>,
        below: RowsMut<'_, T>,
        epilogue: &mut impl Epilogue<T>,
    ) {
        if !self.shape.is_rectified(l) {
            return self.map_transposed(l, above, below, epilogue);
        }
        let layer = &self.shape.layers[l];
        let weights = &self.transposed[layer.transposed.start..];
        sparse::product(above, weights, layer.outputs, ProductStart::Zero, below, epilogue);
    }

    /// Gradient of layer `l`'s weight += beforeᵀ·adjoint, of its bias += the sum of the adjoint's rows.
    pub(crate) fn add_gradient(
        &self,
        l: usize,
        before: Rows<'_, T>,
        adjoint: Rows<'_, T>,
        gradient: &mut [T],
    ) {
        let layer = &self.shape.layers[l];
        let both = &mut gradient[layer.weight.start..layer.bias.end];
        let (weight, bias) = both.split_at_mut(layer.weight.len());
        let bias = bias.as_chunks_mut().0;
        if l > 0 && self.shape.is_rectified(l - 1) {
            sparse::add_outer_panels(before, adjoint, 0, weight, bias);
        } else {
            outer::add_outer_panels(before, adjoint, 0, weight, bias);
        }
    }

    /// [`Mlp::add_gradient`] for tangents, which no bias moves.
    pub(crate) fn add_tangent_gradient(
        &self,
        l: usize,
        before: Rows<'_, T>,
        adjoint: Rows<'_, T>,
        gradient: &mut [T],
    ) {
        let weight = &mut gradient[self.shape.layers[l].weight.clone()];
        if l > 0 && self.shape.is_rectified(l - 1) {
            sparse::add_outer_product(before, adjoint, weight);
        } else {
            outer::add_outer_product(before, adjoint, weight, &mut []);
        }
    }
}

#[cfg(test)]
#[path = "mlp_tests.rs"]
mod tests;
