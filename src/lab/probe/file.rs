//! What a probe's file holds.

use std::collections::BTreeMap;

use crate::nn::{Real, Shape};
use crate::run::snapshot::{Element, Tensor};

/// Tensors by name, and strings for the header.
#[derive(Clone, Debug, Default)]
pub struct Probe {
    /// See `docs/probe.md`.
    pub tensors: BTreeMap<String, Tensor>,
    /// See `docs/probe.md`.
    pub header: BTreeMap<String, String>,
}

impl Probe {
    pub(super) fn put<E: Element>(&mut self, key: &str, shape: &[usize], values: Vec<E>) {
        self.tensors.insert(key.to_owned(), Tensor::new(shape, values));
    }

    /// A vector laid out like the parameters of a network of this shape: the parameters, a gradient.
    pub(super) fn put_vector<T: Real + Element>(
        &mut self,
        name: &str,
        shape: &Shape,
        vector: &[T],
    ) {
        for (l, layer) in shape.layers.iter().enumerate() {
            let (weight, bias) = shape.export(l, vector);
            self.put(&format!("{name}/{l}/weight"), &[layer.inputs, layer.outputs], weight);
            self.put(&format!("{name}/{l}/bias"), &[layer.outputs], bias);
        }
    }

    pub(super) fn say(&mut self, key: &str, value: impl ToString) {
        self.header.insert(key.to_owned(), value.to_string());
    }
}

/// Numbers of `f64` in the float type of a probe.
pub(super) fn numbers_of<T: Real>(values: impl IntoIterator<Item = f64>) -> Vec<T> {
    values.into_iter().map(T::from_f64).collect()
}
