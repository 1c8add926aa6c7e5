//! The runs' ensembles on the device, and their way there and back: members, Adam's moments, bounds of the log-variance.

use rayon::prelude::*;

use super::arrays::{FetchedStack, stack, upload_stack};
use crate::device::pjrt::{Buffer, Device, DeviceError};
use crate::device::programs::StackShape;
use crate::model::DynamicsModel;
use crate::nn::Shape;

/// One ensemble of each slot: M^p or M^g of all runs.
pub(super) struct EnsembleArrays {
    /// The members of a slot.
    pub stack: StackShape,
    shape: Shape,
    labels: usize,
    /// Parameters, first moments, second moments, bounds with their moments: the order of `FitShape::state`.
    pub state: Vec<Buffer>,
    /// Whether a slot's was trained since it was last brought back.
    pub changed: Vec<bool>,
}

/// How many of a state's arrays are parameters.
pub(super) fn parameter_count(stack: &StackShape) -> usize {
    2 * (stack.sizes.len() - 1)
}

impl EnsembleArrays {
    /// Brings the models of all slots to the device.
    pub fn upload<'m>(
        device: &Device,
        slots: usize,
        of: impl Fn(usize) -> &'m DynamicsModel<f32>,
    ) -> Result<Self, DeviceError> {
        let (shape, labels) = (of(0).shape().clone(), of(0).label_dim());
        let stack = stack(slots, of(0).members.len(), &shape);
        let member = |slot: usize, m: usize| &of(slot).members[m];
        let put = |vector: &dyn Fn(usize, usize) -> &'m [f32]| {
            upload_stack(device, &stack, &shape, vector)
        };
        let mut state = put(&|slot, m| member(slot, m).network.parameters())?;
        state.extend(put(&|slot, m| &member(slot, m).adam.first)?);
        state.extend(put(&|slot, m| &member(slot, m).adam.second)?);
        let still = vec![0.0; 2 * labels];
        let bounds = (0..slots).flat_map(|slot| {
            let model = of(slot);
            let [first, second] = match &model.bounds_adam {
                Some(adam) => [&adam.first, &adam.second],
                None => [&still, &still],
            };
            [model.bounds.numbers(), first, second].concat()
        });
        let bounds: Vec<f64> = bounds.collect();
        state.push(device.upload(&bounds, &[slots, 1, 3, 2 * labels])?);
        Ok(Self { stack, shape, labels, state, changed: vec![false; slots] })
    }

    /// The members' parameters.
    pub fn parameters(&self) -> &[Buffer] {
        &self.state[..parameter_count(&self.stack)]
    }

    /// The bounds and their moments, `[slots, 1, 3, 2·labels]` in double precision.
    pub fn bounds(&self) -> &Buffer {
        self.state.last().expect("the bounds are the last array")
    }

    /// Bytes of all arrays.
    pub fn bytes(&self) -> Result<u64, DeviceError> {
        self.state.iter().map(Buffer::bytes).sum()
    }

    /// Brings the models of the runs that are there back, those that have been trained since they last were.
    pub fn fetch(
        &mut self,
        models: &mut [Option<&mut DynamicsModel<f32>>],
    ) -> Result<(), DeviceError> {
        let mut wanted = false;
        for (model, changed) in models.iter_mut().zip(&mut self.changed) {
            *model = model.take().filter(|_| *changed);
            *changed &= model.is_none();
            wanted |= model.is_some();
        }
        if !wanted {
            return Ok(());
        }
        let each = parameter_count(&self.stack);
        let fetch = |k: usize| FetchedStack::fetch(&self.state[k * each..][..each], &self.stack);
        let (parameters, first, second) = (fetch(0)?, fetch(1)?, fetch(2)?);
        let numbers = 2 * self.labels;
        let mut bounds = vec![0.0_f64; self.stack.runs * 3 * numbers];
        self.bounds().download(&mut bounds)?;
        let shape = &self.shape;
        models.par_iter_mut().zip(bounds.par_chunks(3 * numbers)).enumerate().for_each(
            |(slot, (model, bounds))| {
                let Some(model) = model else { return };
                for (m, member) in model.members.iter_mut().enumerate() {
                    member.network.update(|vector, shape| parameters.write(slot, m, shape, vector));
                    first.write(slot, m, shape, &mut member.adam.first);
                    second.write(slot, m, shape, &mut member.adam.second);
                }
                if let Some(adam) = &mut model.bounds_adam {
                    model.bounds.update(|to| to.copy_from_slice(&bounds[..numbers]));
                    adam.first.copy_from_slice(&bounds[numbers..2 * numbers]);
                    adam.second.copy_from_slice(&bounds[2 * numbers..]);
                }
            },
        );
        Ok(())
    }
}
