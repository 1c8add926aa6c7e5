//! The elites of the runs' models, which policies are improved through and rollouts run in: taken out of the ensembles on the device.

use super::arrays::stack;
use super::ensembles::{EnsembleArrays, parameter_count};
use crate::data::Standardiser;
use crate::device::graph::{Graph, Number, ProductPrecision};
use crate::device::pjrt::{Buffer, Device, DeviceError, Executable};
use crate::device::programs::{ElitesShape, StackShape};
use crate::env::Task;
use crate::model::DynamicsModel;

/// The elites of a model like this one.
pub(super) fn elites_shape(
    model: &DynamicsModel<f32>,
    task: &dyn Task,
    elites: usize,
    slots: usize,
) -> Result<ElitesShape, DeviceError> {
    let healthy = task.healthy_ranges().ok_or_else(|| {
        DeviceError::Unsupported(format!(
            "task `{}` ends episodes by a rule that no device program has: train it on the processor, without --device",
            task.name()
        ))
    })?;
    Ok(ElitesShape { stack: stack(slots, elites, model.shape()), healthy })
}

/// A compiled program that takes elites out of ensembles. Arguments: members' parameters, bounds with their moments, and the elites' places
/// among the members, `[slots, elites]`. It returns their parameters, then the bounds, lower and upper, `[slots, 1, 1, labels]`.
pub(super) struct ElitesProgram {
    program: Executable,
    shape: ElitesShape,
}

impl ElitesProgram {
    /// Of ensembles of so many members.
    pub fn compile(
        device: &Device,
        shape: &ElitesShape,
        members: usize,
        precision: ProductPrecision,
    ) -> Result<Self, DeviceError> {
        let graph = Graph::new();
        let elites = &shape.stack;
        let of = StackShape { networks: members, ..elites.clone() };
        let parameters = of.arguments(&graph);
        let (slots, labels) = (elites.runs, 1 + shape.observation_dim());
        let bounds = graph.argument(&[slots, 1, 3, 2 * labels], Number::Double);
        let places = graph.argument(&[slots, elites.networks], Number::Index);
        let taken = parameters.iter().zip(elites.arrays()).map(|(array, sizes)| {
            let of_member = sizes[2] * sizes[3];
            array.reshape(&[slots, members, of_member]).gather(places).reshape(&sizes)
        });
        let numbers = bounds.slice(2, 0, 1).convert(Number::Single);
        let [low, high] = [0, labels].map(|from| numbers.slice(3, from, from + labels));
        let outputs: Vec<_> = taken.chain([low, high]).collect();
        let program = graph.program(&outputs, &[], precision);
        let program = device.compile(&program.text, program.outputs)?;
        Ok(Self { program, shape: shape.clone() })
    }

    /// The elites of all slots, in the order of `ElitesShape::arguments`. Where a model is `None` they are any members, which nobody looks at;
    /// members take their place in a model that has no elites yet, which is not used.
    pub fn take(
        &self,
        device: &Device,
        ensembles: &EnsembleArrays,
        models: &[Option<&DynamicsModel<f32>>],
    ) -> Result<Vec<Buffer>, DeviceError> {
        let StackShape { runs: slots, networks, sizes, .. } = &self.shape.stack;
        let (slots, networks, inputs) = (*slots, *networks, sizes[0]);
        let at = |slot: usize| models.get(slot).copied().flatten();
        let place = |slot: usize, k: usize| {
            at(slot).and_then(|model| model.elites.get(k)).map_or(k as i32, |&elite| elite as i32)
        };
        let places: Vec<i32> =
            (0..slots).flat_map(|slot| (0..networks).map(move |k| place(slot, k))).collect();
        let places = device.upload(&places, &[slots, networks])?;
        let parameters = ensembles.parameters().iter();
        let arguments: Vec<&Buffer> = parameters.chain([ensembles.bounds(), &places]).collect();
        let mut arrays = self.program.run(&arguments)?;
        let none = Standardiser::identity(inputs);
        let put = |of: fn(&Standardiser<f32>) -> &Vec<f32>| {
            let own = |slot| at(slot).map_or(&none, |model| &model.standardiser);
            let rows: Vec<f32> = (0..slots).flat_map(|slot| of(own(slot)).clone()).collect();
            device.upload(&rows, &[slots, 1, 1, inputs])
        };
        let units = [put(|s| &s.mean)?, put(|s| &s.deviation)?];
        let bounds = arrays.split_off(parameter_count(&self.shape.stack));
        arrays.extend(units.into_iter().chain(bounds));
        Ok(arrays)
    }
}
