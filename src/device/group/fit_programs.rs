//! The device programs of a training of models, of one size.

use crate::device::graph::{Graph, Number, ProductPrecision, Program};
use crate::device::pjrt::{Device, DeviceError, Executable};
use crate::device::programs::FitShape;

/// Held-out rows that run through the members at a time.
pub(super) const HOLDOUT_ROWS: usize = 1024;

/// The programs of one size.
pub(super) struct FitPrograms {
    pub shape: FitShape,
    pub step: Executable,
    pub errors: Executable,
}

impl FitPrograms {
    /// Programs for so many runs, members and rows.
    pub fn compile(
        device: &Device,
        shape: FitShape,
        precision: ProductPrecision,
    ) -> Result<Self, DeviceError> {
        let step = step_program(&shape, precision);
        let errors = errors_program(&shape, precision);
        let step = device.compile(&step.text, step.outputs)?;
        let errors = device.compile(&errors.text, errors.outputs)?;
        Ok(Self { shape, step, errors })
    }
}

/// Arguments: state, data, rows. Returns the state and what the step saw.
fn step_program(shape: &FitShape, precision: ProductPrecision) -> Program {
    let graph = Graph::new();
    let mut state = shape.state(&graph);
    let before: Vec<_> = state.networks.arrays().chain([state.bounds]).collect();
    let data = shape.data(&graph);
    let rows = shape.rows(&graph);
    let seen = shape.step(&graph, &mut state, data, rows);
    let outputs: Vec<_> = state.networks.arrays().chain([state.bounds, seen]).collect();
    let overwritten: Vec<_> = before.into_iter().enumerate().map(|(k, a)| (a, k)).collect();
    graph.program(&outputs, &overwritten, precision)
}

/// Arguments: parameters, data, rows `[slots, HOLDOUT_ROWS]` and their counts.
fn errors_program(shape: &FitShape, precision: ProductPrecision) -> Program {
    let graph = Graph::new();
    let parameters = shape.stack.arguments(&graph);
    let data = shape.data(&graph);
    let slots = shape.stack.runs;
    let rows = graph.argument(&[slots, HOLDOUT_ROWS], Number::Index);
    let counts = graph.argument(&[slots, 1, HOLDOUT_ROWS, 1], Number::Single);
    let errors = shape.squared_errors(&parameters, data, rows, counts);
    graph.program(&[errors], &[], precision)
}
