//! The device programs of a training within a budget, of one size.

use rayon::prelude::*;

use super::calls::per_call;
use crate::device::graph::{Graph, Number, ProductPrecision, Program, Value};
use crate::device::pjrt::{Device, DeviceError, Executable};
use crate::device::programs::{BUDGET_FACTORS, BudgetRows, BudgetShape};

/// Held-out rows that run through the members at a time.
pub(super) const HELD_OUT_ROWS: usize = 1024;

/// The programs of one size.
pub(super) struct BudgetPrograms {
    pub shape: BudgetShape,
    /// Rows of a member's minibatch.
    pub batch: usize,
    /// Steps of a call, and their program: of several and of one, or of one alone.
    pub steps: Vec<(usize, Executable)>,
    /// Losses of the members' mixture on held-out rows.
    pub losses: Executable,
    /// Takes the present weights of some runs' members as their best.
    pub keep: Executable,
}

impl BudgetPrograms {
    /// Programs for so many runs, members and rows.
    pub fn compile(
        device: &Device,
        shape: BudgetShape,
        batch: usize,
        precision: ProductPrecision,
    ) -> Result<Self, DeviceError> {
        let mut counts = vec![per_call(&device.platform), 1];
        counts.dedup();
        let steps = counts.iter().map(|&count| step_program(&shape, batch, count, precision));
        let others = [losses_program(&shape, precision), keep_program(&shape, precision)];
        let all: Vec<Program> = steps.chain(others).collect();
        // Side by side: compilers take seconds for some.
        let compile = |program: &Program| device.compile(&program.text, program.outputs);
        let mut all = all.par_iter().map(compile).collect::<Result<Vec<_>, DeviceError>>()?;
        let (keep, losses) = (all.pop(), all.pop());
        let (keep, losses) = keep.zip(losses).expect("the last two are there");
        Ok(Self { steps: counts.into_iter().zip(all).collect(), losses, keep, shape, batch })
    }
}

/// Arguments: state, data, rows `[slots, count·members·(1 + directions)·batch]`, shares `[slots, count·members, batch, 1]`, shares of secants
/// likewise where there are some, factors `[slots, count, 1, BUDGET_FACTORS]`. Returns the state.
fn step_program(
    shape: &BudgetShape,
    batch: usize,
    count: usize,
    precision: ProductPrecision,
) -> Program {
    let graph = Graph::new();
    let mut state = shape.state(&graph);
    let before = state.arrays();
    let data = shape.data(&graph);
    let (slots, members) = (shape.stack.runs, shape.stack.networks);
    let each = members * batch * (1 + shape.directions);
    let rows = graph.argument(&[slots, count * each], Number::Index);
    let of_rows = || graph.argument(&[slots, count * members, batch, 1], Number::Single);
    let shares = of_rows();
    let secant_shares = (shape.directions > 0).then(of_rows);
    let factors = graph.argument(&[slots, count, 1, BUDGET_FACTORS], Number::Single);
    for i in 0..count {
        let (from, to) = (i * members, (i + 1) * members);
        let on = BudgetRows {
            rows: rows.slice(1, i * each, (i + 1) * each),
            shares: shares.slice(1, from, to),
            secant_shares: secant_shares.map(|shares| shares.slice(1, from, to)),
        };
        shape.step(&graph, &mut state, data, (on, batch), factors.slice(1, i, i + 1));
    }
    let overwritten: Vec<_> = before.into_iter().enumerate().map(|(k, a)| (a, k)).collect();
    graph.program(&state.arrays(), &overwritten, precision)
}

/// Arguments: parameters, log σ, data, rows `[slots, (1 + directions)·HELD_OUT_ROWS]`, shares `[slots, 1, HELD_OUT_ROWS, 1]`, shares of
/// secants likewise where there are some. Returns NLL, R̃ and squares of the members' mixture, `[slots, 1, 1, 3]`.
fn losses_program(shape: &BudgetShape, precision: ProductPrecision) -> Program {
    let graph = Graph::new();
    let parameters = shape.stack.arguments(&graph);
    let log_sigma = graph.argument(&shape.log_sigma(), Number::Single);
    let data = shape.data(&graph);
    let slots = shape.stack.runs;
    let all = HELD_OUT_ROWS * (1 + shape.directions);
    let rows = graph.argument(&[slots, all], Number::Index);
    let of_rows = || graph.argument(&[slots, 1, HELD_OUT_ROWS, 1], Number::Single);
    let shares = of_rows();
    let secant_shares = (shape.directions > 0).then(of_rows);
    let on = BudgetRows { rows, shares, secant_shares };
    let losses = shape.mixture_losses(&parameters, log_sigma, data, on, HELD_OUT_ROWS);
    let all = Value::concatenate(&[losses.nll, losses.secants, losses.squares], 3);
    graph.program(&[all], &[], precision)
}

/// Arguments: 1 for a run whose weights are taken, else 0, `[slots, 1, 1, 1]`; parameters and log σ; and the best ones, which are
/// returned.
fn keep_program(shape: &BudgetShape, precision: ProductPrecision) -> Program {
    let graph = Graph::new();
    let taken = graph.argument(&[shape.stack.runs, 1, 1, 1], Number::Single);
    let taken = taken.equals(taken.filled(1.0));
    let arrays = || {
        let mut arrays = shape.stack.arguments(&graph);
        arrays.push(graph.argument(&shape.log_sigma(), Number::Single));
        arrays
    };
    let (present, best) = (arrays(), arrays());
    let kept: Vec<_> = present.iter().zip(&best).map(|(&p, &b)| taken.select(p, b)).collect();
    let overwritten: Vec<_> = best.into_iter().enumerate().map(|(k, b)| (b, k)).collect();
    graph.program(&kept, &overwritten, precision)
}
