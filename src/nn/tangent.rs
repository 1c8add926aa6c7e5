//! Forward mode: the product of a network's Jacobian with given directions, and the reverse pass over that product.
//! This is what makes the gradient loss (eq. 9) affordable: the Jacobian itself is never formed.

use std::ops::Range;

use super::activation::{Owner, Scale, TangentBackward, TangentForward};
use super::cpu::gemm::Plain;
use super::cpu::matrix::Matrix;
use super::cpu::stretches::Stretches;
use super::mlp::Mlp;
use super::shape::Shape;
use super::tape::{Tape, around, below};
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
    directions: usize,
    /// Tangents before and after each nonlinearity.
    pre: Vec<Stretches<T>>,
    post: Vec<Matrix<T>>,
    adjoints: [Matrix<T>; 2],
}

impl<T: Real> Tangent<T> {
    /// Buffers for the first `outputs` outputs of networks of this shape.
    pub fn new(shape: &Shape, outputs: usize, rows: usize, directions: usize) -> Self {
        let n = rows * directions;
        let hidden = &shape.layers[..shape.layers.len() - 1];
        Self {
            input: Matrix::zeros(n, shape.inputs()),
            output: Matrix::zeros(n, outputs),
            output_adjoint: Matrix::zeros(n, outputs),
            directions,
            pre: hidden.iter().map(|l| Stretches::zeros(n, l.outputs)).collect(),
            post: hidden.iter().map(|l| Matrix::zeros(n, l.outputs)).collect(),
            adjoints: [Matrix::zeros(n, shape.hidden()), Matrix::zeros(n, shape.hidden())],
        }
    }

    /// Directions a row.
    pub fn directions(&self) -> usize {
        self.directions
    }
}

impl<T: Real> Mlp<T> {
    /// J(x)·v for every direction of the given rows, after a [`Mlp::forward`] over the same rows of `tape`
    /// (which must keep slopes).
    pub fn tangent(&self, tape: &Tape<T>, tangent: &mut Tangent<T>, rows: Range<usize>) {
        let last = self.shape().layers.len() - 1;
        let directions = tangent.directions;
        let all = rows.start * directions..rows.end * directions;
        let owner = Owner::new(directions);
        let Tangent { input, output, pre, post, .. } = tangent;
        let input = input.view(all.clone());
        for l in 0..last {
            let (before, after) = around(input, post, l, all.clone());
            let slope = tape.slopes[l].view(rows.clone());
            let pre = pre[l].view_mut(all.clone());
            let mut through = TangentForward { slope, pre, owner };
            self.map_tangent(l, before, after, &mut through);
        }
        let before = below(input, post, last, all.clone());
        self.map_tangent(last, before, output.view_mut(all), &mut Plain);
    }

    /// The reverse pass over [`Mlp::tangent`] from `tangent.output_adjoint`: adds to `gradient` the derivative by the
    /// parameters of a loss on J·v. `tape` must keep curves, since the Jacobian of a row depends on where its
    /// activations lie: with ż = W·ḣ and ḣ' = f'(z)·ż, adjoints obey ż̄ = f'·ḣ̄' and z̄ = f'·h̄' + f''·Σ ż·ḣ̄'.
    pub fn tangent_backward(
        &self,
        tape: &mut Tape<T>,
        tangent: &mut Tangent<T>,
        rows: Range<usize>,
        gradient: &mut [T],
    ) {
        let last = self.shape().layers.len() - 1;
        let directions = tangent.directions;
        let all = rows.start * directions..rows.end * directions;
        let owner = Owner::new(directions);
        let Tangent { input, output_adjoint, pre, post, adjoints: [source, target], .. } = tangent;
        let Tape { input: x, values, slopes, curves, adjoints, .. } = tape;
        let [value_source, value_target, ..] = &mut adjoints[..] else {
            unreachable!("a tape has two matrices of adjoints or more");
        };
        let (input, x) = (input.view(all.clone()), x.view(rows.clone()));
        for l in (0..=last).rev() {
            let above = if l == last { &*output_adjoint } else { &*source }.view(all.clone());
            let value_above = value_source.view(rows.clone());
            let before = below(input, post, l, all.clone());
            self.add_tangent_gradient(l, before, above, gradient);
            // The loss does not see the output's value, so the value's adjoint starts below the last map.
            if l < last {
                let before = below(x, values, l, rows.clone());
                self.add_gradient(l, before, value_above, gradient);
            }
            if l == 0 {
                return;
            }
            let slope = slopes[l - 1].view(rows.clone());
            if l < last {
                let value = value_target.view_mut(rows.clone());
                self.map_transposed(l, value_above, value, &mut Scale { slope });
            } else {
                value_target.view_mut(rows.clone()).data.fill(T::ZERO);
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
