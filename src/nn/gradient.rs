//! The gradient by a network's parameters, after the ways back of all parts of a minibatch.
//!
//! A part's rows can be any of the minibatch's: each weight's sum runs over all of them in order, in one place. So neither the
//! number of parts nor that of threads shows in the result, and no part has a gradient of its own that had to be cleared and added.

use super::cpu::outer;
use super::cpu::sparse;
use super::mlp::Mlp;
use super::shape::Shape;
use super::tape::{Keep, Tape, below};
use crate::machine::{LANES, Real};

/// Rows of weights that are not worth a thread of their own: with the 256 rows of a minibatch some 2 million multiply-adds.
const GRAIN: usize = 512;

impl<T: Real> Mlp<T> {
    /// The gradient of a loss by the parameters, from the ways back over all rows of `tapes`, which keep adjoints, into
    /// `gradient`. Threads share the panels of the weights.
    pub fn gradient<'t>(
        &self,
        tapes: impl Iterator<Item = &'t Tape<T>> + Clone + Sync + Send,
        gradient: &mut [T],
    ) {
        assert!(tapes.clone().all(|tape| tape.keep == Keep::Adjoints), "adjoints are not kept");
        layers(self.shape(), 0, &tapes, gradient);
    }
}

/// Layers from number `l` on; `gradient` begins with that layer's part.
fn layers<'t, T: Real>(
    shape: &Shape,
    l: usize,
    tapes: &(impl Iterator<Item = &'t Tape<T>> + Clone + Sync),
    gradient: &mut [T],
) {
    let Some(layer) = shape.layers.get(l) else { return };
    let (own, rest) = gradient.split_at_mut(layer.bias.end - layer.weight.start);
    let (weight, bias) = own.split_at_mut(layer.weight.len());
    let bias = bias.as_chunks_mut().0;
    let this = || share(shape, l, 0, rayon::current_num_threads(), tapes, weight, bias);
    rayon::join(this, || layers(shape, l + 1, tapes, rest));
}

/// Panels of layer `l` from number `first` on, one an element of `bias`, for up to `threads` threads.
fn share<'t, T: Real>(
    shape: &Shape,
    l: usize,
    first: usize,
    threads: usize,
    tapes: &(impl Iterator<Item = &'t Tape<T>> + Clone + Sync),
    weight: &mut [T],
    bias: &mut [[T; LANES]],
) {
    let inputs = shape.layers[l].inputs;
    if threads < 2 || bias.len() < 2 || bias.len() * inputs <= GRAIN {
        return sum(shape, l, first, tapes, weight, bias);
    }
    let half = bias.len() / 2;
    let (weight, other_weight) = weight.split_at_mut(half * inputs * LANES);
    let (bias, other_bias) = bias.split_at_mut(half);
    let (threads, others) = (threads / 2, threads - threads / 2);
    rayon::join(
        || share(shape, l, first, threads, tapes, weight, bias),
        || share(shape, l, first + half, others, tapes, other_weight, other_bias),
    );
}

/// All tapes in turn, and of each all panels: a tape's values come from the second cache for all panels but the first.
fn sum<'t, T: Real>(
    shape: &Shape,
    l: usize,
    first: usize,
    tapes: &(impl Iterator<Item = &'t Tape<T>> + Clone),
    weight: &mut [T],
    bias: &mut [[T; LANES]],
) {
    weight.fill(T::ZERO);
    bias.fill([T::ZERO; LANES]);
    for tape in tapes.clone() {
        let rows = 0..tape.rows();
        let before = below(tape.input.view(rows.clone()), &tape.values, l, rows.clone());
        let above = tape.adjoint(l).view(rows);
        if l > 0 && shape.is_rectified(l - 1) {
            sparse::add_outer_panels(before, above, first, weight, bias);
        } else {
            outer::add_outer_panels(before, above, first, weight, bias);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::nn::{Activation, Keep, Mlp, Shape, Tape};
    use crate::rng::Rng;

    #[test]
    fn the_gradient_is_the_same_however_rows_and_weights_are_shared_out() {
        // The middle layer is worth 8 threads, the others none.
        let shape = |activation| Shape::new(&[5, 256, 256, 3], activation);
        same_gradient(shape(Activation::Relu));
        same_gradient(shape(Activation::Silu).with_layer_norm(|_| 0.1));
    }

    fn same_gradient(shape: Shape) {
        const ROWS: usize = 150;
        let mut rng = Rng::new(0, "gradient");
        let network = Mlp::<f32>::xavier(shape, &mut rng);
        let (mut input, mut adjoint) = ([0.0; ROWS * 5], [0.0; ROWS * 3]);
        rng.fill_normal(&mut input);
        rng.fill_normal(&mut adjoint);
        let mut in_passing = vec![0.0; network.parameters().len()];
        let tapes = |sizes: &[usize], keep, mut gradient: Option<&mut [f32]>| {
            let mut first = 0;
            let tape = |&rows: &usize| {
                let mut tape = Tape::new(network.shape(), rows, keep);
                for i in 0..rows {
                    let row = first + i;
                    tape.input.row_mut(i).copy_from_slice(&input[row * 5..(row + 1) * 5]);
                    let adjoint = &adjoint[row * 3..(row + 1) * 3];
                    tape.output_adjoint.row_mut(i).copy_from_slice(adjoint);
                }
                first += rows;
                network.forward(&mut tape, 0..rows);
                network.backward(&mut tape, 0..rows, gradient.as_deref_mut(), false);
                tape
            };
            sizes.iter().map(tape).collect::<Vec<_>>()
        };
        tapes(&[ROWS], Keep::Values, Some(&mut in_passing));
        for sizes in [&[ROWS][..], &[1, 149], &[64, 64, 22], &[10; 15]] {
            let tapes = tapes(sizes, Keep::Adjoints, None);
            for threads in [1, 2, 3, 16] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut gradient = vec![f32::NAN; in_passing.len()];
                pool.install(|| network.gradient(tapes.iter(), &mut gradient));
                assert!(gradient == in_passing, "{sizes:?} on {threads} threads");
            }
        }
        assert!(in_passing.iter().any(|g| g.abs() > 0.1));
    }
}
