//! Networks on the host and their arrays on a device, `[slots, networks, …]`.

use crate::device::pjrt::{Buffer, Device, DeviceError, Download};
use crate::device::programs::StackShape;
use crate::nn::Shape;

/// A group of one run has a second slot, which never learns: compilers drop an axis of size 1 and may then sum in another order. Decision
/// 090 has what was seen.
pub(super) const LEAST_SLOTS: usize = 2;

/// The stack of so many networks of a shape in each slot.
pub(super) fn stack(slots: usize, networks: usize, shape: &Shape) -> StackShape {
    let outputs = shape.layers.iter().map(|layer| layer.outputs);
    let sizes = std::iter::once(shape.inputs()).chain(outputs).collect();
    let norms = shape.norms.clone();
    StackShape { runs: slots, networks, sizes, activation: shape.activation, norms }
}

/// Brings a stack to a device: `of(slot, network)` is a vector laid out like the parameters of `shape`.
pub(super) fn upload_stack<'v>(
    device: &Device,
    stack: &StackShape,
    shape: &Shape,
    of: impl Fn(usize, usize) -> &'v [f32],
) -> Result<Vec<Buffer>, DeviceError> {
    let mut arrays: Vec<Vec<f32>> = vec![Vec::new(); 2 * shape.layers.len()];
    for slot in 0..stack.runs {
        for network in 0..stack.networks {
            let vector = of(slot, network);
            for (l, pair) in arrays.chunks_exact_mut(2).enumerate() {
                let (weight, bias) = shape.export(l, vector);
                pair[0].extend(weight);
                pair[1].extend(bias);
            }
        }
    }
    let all = arrays.iter().zip(stack.arrays());
    all.map(|(array, sizes)| device.upload(array, &sizes)).collect()
}

/// A stack on its way back from a device.
pub(super) struct StackDownload {
    arrays: Vec<Download<f32>>,
    networks: usize,
}

impl StackDownload {
    /// Waits for the arrays.
    pub fn wait(self) -> Result<FetchedStack, DeviceError> {
        let arrays = self.arrays.into_iter().map(Download::wait).collect::<Result<_, _>>()?;
        Ok(FetchedStack { arrays, networks: self.networks })
    }
}

/// A stack that has come back from a device.
pub(super) struct FetchedStack {
    arrays: Vec<Vec<f32>>,
    networks: usize,
}

impl FetchedStack {
    /// Begins to fetch the arrays of a stack.
    pub fn begin(buffers: &[Buffer], stack: &StackShape) -> Result<StackDownload, DeviceError> {
        let fetch = |(buffer, sizes): (&Buffer, [usize; 4])| {
            buffer.download_later(vec![0.0; sizes.iter().product()])
        };
        let arrays = buffers.iter().zip(stack.arrays()).map(fetch).collect::<Result<_, _>>()?;
        Ok(StackDownload { arrays, networks: stack.networks })
    }

    /// Waits for the arrays of a stack.
    pub fn fetch(buffers: &[Buffer], stack: &StackShape) -> Result<Self, DeviceError> {
        Self::begin(buffers, stack)?.wait()
    }

    /// Writes one network of a slot into a vector laid out like the parameters of `shape`.
    pub fn write(&self, slot: usize, network: usize, shape: &Shape, vector: &mut [f32]) {
        for (l, pair) in self.arrays.chunks_exact(2).enumerate() {
            let layer = &shape.layers[l];
            let part = |array: usize, size: usize| {
                &pair[array][(slot * self.networks + network) * size..][..size]
            };
            let weight = part(0, layer.inputs * layer.outputs);
            shape.import(l, weight, part(1, layer.outputs), vector);
        }
    }
}
