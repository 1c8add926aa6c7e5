//! The device programs of the trainings of models: for each number of runs that are trained together, a step, held-out errors, and the ways
//! of ensembles into the batch and out of it.

use std::collections::HashMap;

use rayon::prelude::*;

use super::transitions::TransitionTables;
use crate::device::graph::{Graph, Number, ProductPrecision, Program, Value};
use crate::device::pjrt::{Device, DeviceError, Executable};
use crate::device::programs::{DirectionsShape, FitShape, StackShape};

/// Held-out rows that run through the members at a time.
pub(super) const HOLDOUT_ROWS: usize = 1024;

/// A program, with how many runs it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum FitProgram {
    /// A step of all members of these runs, with R's part or without.
    Step(usize, Option<DirectionsShape>),
    /// Errors on held-out rows.
    Errors(usize),
    /// Ensembles of some slots, out of those of all.
    Take(usize),
    /// Ensembles of some slots back among those of all.
    Put(usize),
    /// Members' parameters in place of others'.
    Replace(usize),
    /// New transitions into the tables.
    Transitions,
}

/// The compiled programs of a group.
pub(super) struct FitPrograms {
    /// Of a training of all slots, without R.
    pub shape: FitShape,
    /// Whether members get their best parameters back: these are arrays of a training, too.
    pub keeps_best: bool,
    compiled: HashMap<FitProgram, Executable>,
}

impl FitPrograms {
    /// None yet.
    pub fn new(shape: FitShape, keeps_best: bool) -> Self {
        Self { shape, keeps_best, compiled: HashMap::new() }
    }

    /// Of a training of so many runs.
    pub fn shape_of(&self, runs: usize, directions: Option<DirectionsShape>) -> FitShape {
        let stack = StackShape { runs, ..self.shape.stack.clone() };
        FitShape { stack, directions, ..self.shape.clone() }
    }

    /// Tables have other sizes from now on: what reads them is compiled anew.
    pub fn resize_tables(&mut self, rows: usize) {
        self.shape.table = rows;
        let lasts = |program: &FitProgram| {
            matches!(program, FitProgram::Take(_) | FitProgram::Put(_) | FitProgram::Replace(_))
        };
        self.compiled.retain(|program, _| lasts(program));
    }

    /// A program that has been compiled.
    pub fn get(&self, program: FitProgram) -> &Executable {
        &self.compiled[&program]
    }

    /// Compiles those of some programs that there are not yet, side by side: compilers are thread-safe, and a device's takes a second for
    /// some of these.
    pub fn compile(
        &mut self,
        device: &Device,
        tables: &TransitionTables,
        programs: &[FitProgram],
        precision: ProductPrecision,
    ) -> Result<(), DeviceError> {
        let mut missing: Vec<FitProgram> = Vec::new();
        for &program in programs {
            if !self.compiled.contains_key(&program) && !missing.contains(&program) {
                missing.push(program);
            }
        }
        let compile = |&program: &FitProgram| {
            let text = match program {
                FitProgram::Transitions => tables.program(precision),
                other => self.text(other, precision),
            };
            Ok((program, device.compile(&text.text, text.outputs)?))
        };
        let compiled: Result<Vec<_>, DeviceError> = missing.par_iter().map(compile).collect();
        self.compiled.extend(compiled?);
        Ok(())
    }

    fn text(&self, program: FitProgram, precision: ProductPrecision) -> Program {
        let graph = Graph::new();
        match program {
            FitProgram::Step(runs, of_r) => step(&graph, &self.shape_of(runs, of_r), precision),
            FitProgram::Errors(runs) => errors(&graph, &self.shape_of(runs, None), precision),
            FitProgram::Take(runs) => self.take(&graph, runs, precision),
            FitProgram::Put(runs) => self.put(&graph, runs, precision),
            FitProgram::Replace(runs) => replace(&graph, &self.shape_of(runs, None), precision),
            FitProgram::Transitions => unreachable!("the tables have that one"),
        }
    }

    /// Arguments for the arrays of a training of so many runs: the learned ones, and the best parameters where they are kept.
    fn state<'g>(&self, graph: &'g Graph, runs: usize) -> Vec<Value<'g>> {
        let shape = self.shape_of(runs, None);
        let state = shape.state(graph);
        let mut arrays: Vec<_> = state.networks.arrays().chain([state.bounds]).collect();
        if self.keeps_best {
            arrays.extend(shape.stack.arguments(graph));
        }
        arrays
    }

    /// Arguments: the arrays of all slots, and which slots are wanted, `[1, runs]`. Returns the arrays of these.
    fn take(&self, graph: &Graph, runs: usize, precision: ProductPrecision) -> Program {
        let all = self.state(graph, self.shape.stack.runs);
        let slots = graph.argument(&[1, runs], Number::Index);
        let taken: Vec<_> = all.iter().map(|&array| of_slots(array, slots)).collect();
        graph.program(&taken, &[], precision)
    }

    /// Arguments: the arrays of all slots, those of some, where among these each slot's are, `[1, slots]`, and 1 for a slot that has some
    /// there, `[slots, 1, 1, 1]`. Returns the arrays of all slots.
    fn put(&self, graph: &Graph, runs: usize, precision: ProductPrecision) -> Program {
        let slots = self.shape.stack.runs;
        let (all, some) = (self.state(graph, slots), self.state(graph, runs));
        let places = graph.argument(&[1, slots], Number::Index);
        let there = graph.argument(&[slots, 1, 1, 1], Number::Single);
        let there = there.equals(there.filled(1.0));
        let put = all.iter().zip(&some);
        let put: Vec<_> =
            put.map(|(&old, &new)| there.select(of_slots(new, places), old)).collect();
        let overwritten: Vec<_> = all.into_iter().enumerate().map(|(k, a)| (a, k)).collect();
        graph.program(&put, &overwritten, precision)
    }
}

/// Of an array of some slots those that `slots`, `[1, n]`, says.
fn of_slots<'g>(array: Value<'g>, slots: Value<'g>) -> Value<'g> {
    let mut sizes = array.shape();
    let each = sizes[1..].iter().product();
    let taken = array.reshape(&[1, sizes[0], each]).gather(slots);
    sizes[0] = slots.shape()[1];
    taken.reshape(&sizes)
}

/// Arguments: state, data, rows, sums of what steps saw. Returns the state and the sums.
fn step(graph: &Graph, shape: &FitShape, precision: ProductPrecision) -> Program {
    let mut state = shape.state(graph);
    let mut before: Vec<_> = state.networks.arrays().chain([state.bounds]).collect();
    let data = shape.data(graph);
    let rows = shape.rows(graph);
    let seen = graph.argument(&shape.seen_sizes(), Number::Double);
    before.push(seen);
    let seen = shape.step(graph, &mut state, data, rows, seen);
    let outputs: Vec<_> = state.networks.arrays().chain([state.bounds, seen]).collect();
    let overwritten: Vec<_> = before.into_iter().enumerate().map(|(k, a)| (a, k)).collect();
    graph.program(&outputs, &overwritten, precision)
}

/// Arguments: parameters, data, rows `[runs, HOLDOUT_ROWS]`, sums of errors in double precision. Returns the sums with these rows' errors.
fn errors(graph: &Graph, shape: &FitShape, precision: ProductPrecision) -> Program {
    let parameters = shape.stack.arguments(graph);
    let data = shape.data(graph);
    let rows = graph.argument(&[shape.stack.runs, HOLDOUT_ROWS], Number::Index);
    let sums = graph.argument(&shape.error_sizes(), Number::Double);
    let errors = shape.squared_errors(&parameters, data, rows).convert(Number::Double);
    graph.program(&[sums + errors], &[(sums, 0)], precision)
}

/// Arguments: members' parameters, others, and 1 for a member that is to have the others, `[runs, members, 1, 1]`. Returns the parameters.
fn replace(graph: &Graph, shape: &FitShape, precision: ProductPrecision) -> Program {
    let [own, others] = [(); 2].map(|()| shape.stack.arguments(graph));
    let chosen = graph.argument(&shape.error_sizes(), Number::Single);
    let chosen = chosen.equals(chosen.filled(1.0));
    let all = own.iter().zip(&others);
    let outputs: Vec<_> = all.map(|(&own, &other)| chosen.select(other, own)).collect();
    graph.program(&outputs, &[], precision)
}
