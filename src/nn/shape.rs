//! Sizes of a network, and where its numbers lie in the vectors that hold them.

use std::ops::Range;

use super::activation::Activation;
use super::cpu::lanes::padded;
use super::cpu::pack;
use crate::machine::{LANES, Real};

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
    pub(crate) transposed: Range<usize>,
}

/// Sizes and nonlinearity of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// The affine maps, first to last.
    pub layers: Vec<Layer>,
    /// After every map but the last.
    pub activation: Activation,
    /// ε of the layer normalisation behind each hidden layer's nonlinearity; empty where there is none.
    pub norms: Vec<f64>,
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
        let transposed_len = |pair: &[usize]| pair[1] * padded(pair[0]);
        let mut at = 0;
        // Transposes lie in the order of their use, last layer first: what follows a layer's in memory is needed next.
        let mut transposed: usize = sizes.windows(2).map(transposed_len).sum();
        let layers = sizes
            .windows(2)
            .map(|pair| {
                let (inputs, outputs) = (pair[0], pair[1]);
                let weight = at..at + inputs * padded(outputs);
                let bias = weight.end..weight.end + padded(outputs);
                let back = transposed - transposed_len(pair)..transposed;
                (at, transposed) = (bias.end, back.start);
                Layer { inputs, outputs, weight, bias, transposed: back }
            })
            .collect();
        Self { layers, activation, norms: Vec::new() }
    }

    /// The same with layer normalisation behind each hidden layer, whose ε is `epsilon` of its number. SiLU alone can have it: a ReLU's slope is
    /// read off its value, which would be no longer there.
    pub fn with_layer_norm(mut self, epsilon: impl Fn(usize) -> f64) -> Self {
        assert!(self.activation == Activation::Silu, "layer normalisation is for SiLU");
        self.norms = (0..self.layers.len() - 1).map(epsilon).collect();
        self
    }

    /// Size of the input.
    pub fn inputs(&self) -> usize {
        self.layers[0].inputs
    }

    /// Size of the output.
    pub fn outputs(&self) -> usize {
        self.layers[self.layers.len() - 1].outputs
    }

    /// Whether a ReLU follows map `l`, so that many of the numbers behind it, and of their adjoints, are zero.
    pub(crate) fn is_rectified(&self, l: usize) -> bool {
        self.activation == Activation::Relu && l + 1 < self.layers.len()
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
        pack::unpack(&vector[layer.weight.clone()], layer.outputs, &mut weight);
        (weight, vector[layer.bias.start..layer.bias.start + layer.outputs].to_vec())
    }

    /// The inverse of [`Shape::export`].
    pub fn import<T: Real>(&self, l: usize, weight: &[T], bias: &[T], vector: &mut [T]) {
        let layer = &self.layers[l];
        assert_eq!((weight.len(), bias.len()), (layer.inputs * layer.outputs, layer.outputs));
        pack::pack(weight, layer.outputs, &mut vector[layer.weight.clone()]);
        vector[layer.bias.start..layer.bias.start + layer.outputs].copy_from_slice(bias);
    }

    /// Zeroes the weights of layer `l`'s outputs from `output` on, in a vector laid out like the parameters: what is left of these outputs is
    /// their bias, whatever the input is.
    pub fn cut_inputs<T: Real>(&self, l: usize, output: usize, vector: &mut [T]) {
        let layer = &self.layers[l];
        let panels = vector[layer.weight.clone()].chunks_exact_mut(layer.inputs * LANES);
        for (j, panel) in panels.enumerate() {
            let kept = output.saturating_sub(j * LANES).min(LANES);
            panel.chunks_exact_mut(LANES).for_each(|row| row[kept..].fill(T::ZERO));
        }
    }

    /// Width of the hidden layers, 1 where there are none.
    pub(crate) fn hidden(&self) -> usize {
        if self.layers.len() > 1 { self.layers[0].outputs } else { 1 }
    }
}
