//! Forward mode: the product of a network's Jacobian with given directions, and the reverse pass over that product.
//! This is what makes losses on derivatives affordable, a model's gradient loss (eq. 9) or a critic's slope: the
//! Jacobian itself is never formed.

use std::ops::Range;

use super::activation::{Activation, Owner, Scale, TangentBackward, TangentForward, TangentGate};
use super::cpu::epilogue::Plain;
use super::cpu::matrix::Matrix;
use super::cpu::panels::Panels;
use super::layer_norm::project;
use super::mlp::Mlp;
use super::shape::Shape;
use super::tape::{Keep, Tape, around, below};
use crate::machine::Real;

/// Buffers for tangents of up to `rows` rows with `directions` directions a row. Direction k of row i is row
/// i·directions + k of every matrix here.
#[derive(Clone, Debug)]
pub struct Tangent<T> {
    /// Directions v, `[rows·directions, inputs]`: filled by the caller.
    pub input: Matrix<T>,
    /// J·v, `[rows·directions, outputs]`.
    pub output: Matrix<T>,
    /// Derivative of a loss by J·v, `[rows·directions, outputs]`: filled by the caller.
    pub output_adjoint: Matrix<T>,
    /// Derivative of the loss by v, `[rows·directions, inputs]`.
    pub input_adjoint: Matrix<T>,
    directions: usize,
    /// Tangents before each nonlinearity, where its curvature needs them.
    pre: Vec<Panels<T>>,
    /// Tangents after each nonlinearity.
    post: Vec<Matrix<T>>,
    adjoints: [Matrix<T>; 2],
}

impl<T: Real> Tangent<T> {
    /// Buffers for the first `outputs` outputs of networks of this shape.
    pub fn new(shape: &Shape, outputs: usize, rows: usize, directions: usize) -> Self {
        let n = rows * directions;
        let hidden = &shape.layers[..shape.layers.len() - 1];
        let curved = shape.activation == Activation::Silu;
        let pre = hidden.iter().filter(|_| curved);
        Self {
            input: Matrix::zeros(n, shape.inputs()),
            output: Matrix::zeros(n, outputs),
            output_adjoint: Matrix::zeros(n, outputs),
            input_adjoint: Matrix::zeros(n, shape.inputs()),
            directions,
            pre: pre.map(|l| Panels::zeros(n, l.outputs)).collect(),
            post: hidden.iter().map(|l| Matrix::zeros(n, l.outputs)).collect(),
            adjoints: [Matrix::zeros(n, shape.hidden()), Matrix::zeros(n, shape.hidden())],
        }
    }

    /// Directions a row.
    pub fn directions(&self) -> usize {
        self.directions
    }

    /// Which tangents belong to these rows of a minibatch.
    fn of(&self, rows: &Range<usize>) -> Range<usize> {
        rows.start * self.directions..rows.end * self.directions
    }
}

impl<T: Real> Mlp<T> {
    /// J(x)·v for every direction of the given rows, after a [`Mlp::forward`] over the same rows of `tape`
    /// (which must keep slopes or more).
    pub fn tangent(&self, tape: &Tape<T>, tangent: &mut Tangent<T>, rows: Range<usize>) {
        assert!(tape.keep >= Keep::Slopes, "tangents need slopes");
        let last = self.shape().layers.len() - 1;
        let all = tangent.of(&rows);
        let owner = Owner::new(tangent.directions);
        let Tangent { input, output, pre, post, .. } = tangent;
        let input = input.view(all.clone());
        for l in 0..last {
            let (before, after) = around(input, post, l, all.clone());
            match self.shape().activation {
                Activation::Relu => {
                    let value = tape.values[l].view(rows.clone());
                    self.map_tangent(l, before, after, &mut TangentGate { value, owner });
                }
                Activation::Silu => {
                    let slope = tape.slopes[l].view(rows.clone());
                    let pre = pre[l].view_mut(all.clone());
                    self.map_tangent(l, before, after, &mut TangentForward { slope, pre, owner });
                }
            }
            if let Some(scales) = tape.scales.get(l) {
                let normal = tape.values[l].view(rows.clone());
                let after = post[l].view_mut(all.clone());
                project(after, normal, &scales[rows.clone()], tangent.directions);
            }
        }
        let before = below(input, post, last, all.clone());
        self.map_tangent(last, before, output.view_mut(all), &mut Plain);
    }

    /// The reverse pass over [`Mlp::tangent`] of the same rows, from `tangent.output_adjoint`, the derivative of a loss
    /// by J(x)·v. Where `gradient` is given, the derivative by the parameters is added to it. Where `to_input`, the
    /// derivative by v is written to `tangent.input_adjoint` and that by x to `tape.input_adjoint`, over what a
    /// [`Mlp::backward`] left there: a loss on values and tangents adds the two.
    ///
    /// Not for networks with layer normalisation: no loss on a derivative of theirs has been wanted yet.
    ///
    /// SiLU needs a tape that keeps [`Keep::Curves`], ReLU, whose second derivative is 0, any from [`Keep::Slopes`] on;
    /// where a ReLU's value is 0 its derivative is taken to be 0.
    pub fn tangent_backward(
        &self,
        tape: &mut Tape<T>,
        tangent: &mut Tangent<T>,
        rows: Range<usize>,
        gradient: Option<&mut [T]>,
        to_input: bool,
    ) {
        assert!(self.shape().norms.is_empty(), "the way back of tangents knows no normalisation");
        match self.shape().activation {
            Activation::Relu => self.gated_backward(tape, tangent, rows, gradient, to_input),
            Activation::Silu => self.curved_backward(tape, tangent, rows, gradient, to_input),
        }
    }

    /// [`Mlp::tangent_backward`] through ReLU. J depends on x only by which units are open, so the loss's derivative by the
    /// values, and with them by x and the biases, is 0 almost everywhere.
    fn gated_backward(
        &self,
        tape: &mut Tape<T>,
        tangent: &mut Tangent<T>,
        rows: Range<usize>,
        mut gradient: Option<&mut [T]>,
        to_input: bool,
    ) {
        assert!(tape.keep >= Keep::Slopes, "the way back of tangents needs slopes");
        let last = self.shape().layers.len() - 1;
        let all = tangent.of(&rows);
        let owner = Owner::new(tangent.directions);
        let Tangent { input, output_adjoint, input_adjoint, post, adjoints, .. } = tangent;
        let [source, target] = adjoints;
        let input = input.view(all.clone());
        for l in (0..=last).rev() {
            let above = if l == last { &*output_adjoint } else { &*source }.view(all.clone());
            if let Some(gradient) = gradient.as_deref_mut() {
                self.add_tangent_gradient(l, below(input, post, l, all.clone()), above, gradient);
            }
            if l > 0 {
                let value = tape.values[l - 1].view(rows.clone());
                let under = target.view_mut(all.clone());
                self.map_gated(l, above, under, &mut TangentGate { value, owner });
                std::mem::swap(source, target);
            } else if to_input {
                self.map_gated(0, above, input_adjoint.view_mut(all.clone()), &mut Plain);
                tape.input_adjoint.view_mut(rows.clone()).data.fill(T::ZERO);
            }
        }
    }

    /// [`Mlp::tangent_backward`] through SiLU. J depends on x by where the activations lie: with ż = W·ḣ and
    /// ḣ' = f'(z)·ż, adjoints obey ż̄ = f'·ḣ̄' and z̄ = f'·h̄' + f''·Σ ż·ḣ̄'.
    fn curved_backward(
        &self,
        tape: &mut Tape<T>,
        tangent: &mut Tangent<T>,
        rows: Range<usize>,
        mut gradient: Option<&mut [T]>,
        to_input: bool,
    ) {
        assert!(tape.keep >= Keep::Curves, "the way back of SiLU's tangents needs curves");
        let last = self.shape().layers.len() - 1;
        let all = tangent.of(&rows);
        let owner = Owner::new(tangent.directions);
        let Tangent { input, output_adjoint, input_adjoint, pre, post, adjoints, .. } = tangent;
        let [source, target] = adjoints;
        let Tape { input: x, input_adjoint: x_adjoint, values, slopes, curves, adjoints, .. } =
            tape;
        let [value_source, value_target, ..] = &mut adjoints[..] else {
            unreachable!("a tape has two matrices of adjoints or more");
        };
        let (input, x) = (input.view(all.clone()), x.view(rows.clone()));
        for l in (0..=last).rev() {
            let above = if l == last { &*output_adjoint } else { &*source }.view(all.clone());
            // The loss does not see the output's value, so the value's adjoint starts below the last map.
            let value_above = (l < last).then(|| value_source.view(rows.clone()));
            if let Some(gradient) = gradient.as_deref_mut() {
                self.add_tangent_gradient(l, below(input, post, l, all.clone()), above, gradient);
                if let Some(value_above) = value_above {
                    self.add_gradient(l, below(x, values, l, rows.clone()), value_above, gradient);
                }
            }
            if l == 0 {
                if to_input {
                    let x_adjoint = x_adjoint.view_mut(rows.clone());
                    match value_above {
                        Some(above) => self.map_transposed(0, above, x_adjoint, &mut Plain),
                        None => x_adjoint.data.fill(T::ZERO),
                    }
                    let v_adjoint = input_adjoint.view_mut(all.clone());
                    self.map_transposed(0, above, v_adjoint, &mut Plain);
                }
                return;
            }
            let slope = slopes[l - 1].view(rows.clone());
            let value = value_target.view_mut(rows.clone());
            match value_above {
                Some(above) => self.map_transposed(l, above, value, &mut Scale { slope }),
                None => value.data.fill(T::ZERO),
            }
            let curve = curves[l - 1].view(rows.clone());
            let pre = pre[l - 1].view(all.clone());
            let value = value_target.view_mut(rows.clone());
            let mut back = TangentBackward { slope, curve, pre, value, owner };
            self.map_transposed(l, above, target.view_mut(all.clone()), &mut back);
            std::mem::swap(source, target);
            std::mem::swap(value_source, value_target);
        }
    }
}

#[cfg(test)]
#[path = "tangent_tests.rs"]
mod tests;
