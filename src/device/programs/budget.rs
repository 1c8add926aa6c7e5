//! A step of a training within a budget (`src/model/budget.rs`): all members by weighted likelihood and, where it is part of the loss, by
//! R̃ on secants; and the same losses on held-out rows.

use super::network::{AdamFactors, StackShape, TrainedStack};
use crate::device::graph::{Graph, Number, Value};

/// Columns of the factors of a step: rate, scale of the second moments, and 1 for a run that is trained, else 0.
pub const BUDGET_FACTORS: usize = 3;

/// Sizes and settings of a training that are the same for all runs of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetShape {
    /// The members, a network each.
    pub stack: StackShape,
    /// Numbers predicted.
    pub labels: usize,
    /// Rows of the table.
    pub table: usize,
    /// What a layer's weights are multiplied by before each step.
    pub kept: Vec<f64>,
    /// Secants of a row; 0 where R̃ is no part of the loss.
    pub directions: usize,
    /// w.
    pub secant_weight: f64,
}

/// The learned arrays.
#[derive(Clone, Debug)]
pub struct BudgetState<'g> {
    /// The members.
    pub networks: TrainedStack<'g>,
    /// log σ and its moments, `[runs, members, 1, labels]` each.
    pub log_sigma: TrainedStack<'g>,
    /// Σ of what steps saw, `[runs, members, 1, 2]` in double precision: NLL and R̃.
    pub sums: Value<'g>,
}

/// What stays during a training.
#[derive(Clone, Copy, Debug)]
pub struct BudgetData<'g> {
    /// Standardised (s, a) and raw (r, Δs), `[runs, table, inputs + labels]`.
    pub table: Value<'g>,
    /// Of the labels, `[runs, 1, 1, labels]`.
    pub label_mean: Value<'g>,
    /// Likewise.
    pub label_deviation: Value<'g>,
    /// ρ², `[runs, 1, 1, labels]`, and ε², `[runs, 1, 1, 1]`; `None` where R̃ is no part of the loss.
    pub secants: Option<(Value<'g>, Value<'g>)>,
}

/// What losses are on: rows of each member's own, or, of the mixture, one set of rows for all.
#[derive(Clone, Copy, Debug)]
pub struct BudgetRows<'g> {
    /// Rows of the table, `[runs, members or 1 · n·(1 + directions)]`: for each set n rows, then the first far ends of their secants, …
    pub rows: Value<'g>,
    /// What each row's likelihood is multiplied by, `[runs, members or 1, n, 1]`.
    pub shares: Value<'g>,
    /// What each secant's term is multiplied by in R̃, `[runs, members or 1, n, 1]`.
    pub secant_shares: Option<Value<'g>>,
}

/// Losses of each member, `[runs, members, 1, 1]`, or of their mixture, `[runs, 1, 1, 1]`.
#[derive(Clone, Copy, Debug)]
pub struct BudgetLosses<'g> {
    /// Σ shares·NLL.
    pub nll: Value<'g>,
    /// R̃.
    pub secants: Value<'g>,
    /// Σ shares·(μ − y)².
    pub squares: Value<'g>,
}

impl BudgetState<'_> {
    /// How many arrays a state of networks with so many layers has before the sums.
    pub fn trained_arrays(layers: usize) -> usize {
        3 * (2 * layers + 1)
    }
}

impl<'g> BudgetState<'g> {
    /// All arrays in the order of the arguments.
    pub fn arrays(&self) -> Vec<Value<'g>> {
        self.networks.arrays().chain(self.log_sigma.arrays()).chain([self.sums]).collect()
    }
}

impl BudgetShape {
    fn inputs(&self) -> usize {
        self.stack.sizes[0]
    }

    /// The shape of log σ.
    pub fn log_sigma(&self) -> [usize; 4] {
        [self.stack.runs, self.stack.networks, 1, self.labels]
    }

    /// Arguments for the learned arrays.
    pub fn state<'g>(&self, graph: &'g Graph) -> BudgetState<'g> {
        let networks = TrainedStack::arguments(&self.stack, graph);
        let own = || vec![graph.argument(&self.log_sigma(), Number::Single)];
        let log_sigma = TrainedStack { parameters: own(), first: own(), second: own() };
        let sums = graph.argument(&[self.stack.runs, self.stack.networks, 1, 2], Number::Double);
        BudgetState { networks, log_sigma, sums }
    }

    /// Arguments for what stays during a training.
    pub fn data<'g>(&self, graph: &'g Graph) -> BudgetData<'g> {
        let (runs, labels) = (self.stack.runs, self.labels);
        let single = |shape: &[usize]| graph.argument(shape, Number::Single);
        BudgetData {
            table: single(&[runs, self.table, self.inputs() + labels]),
            label_mean: single(&[runs, 1, 1, labels]),
            label_deviation: single(&[runs, 1, 1, labels]),
            secants: (self.directions > 0)
                .then(|| (single(&[runs, 1, 1, labels]), single(&[runs, 1, 1, 1]))),
        }
    }

    /// Every member's losses on `n` rows of its own.
    pub fn losses<'g>(
        &self,
        parameters: &[Value<'g>],
        log_sigma: Value<'g>,
        data: BudgetData<'g>,
        on: BudgetRows<'g>,
        n: usize,
    ) -> BudgetLosses<'g> {
        let read = self.read(data, on, self.stack.networks);
        let output = self.stack.forward(parameters, read.0);
        let errors = part(output, n, 0) - standardised(part(read.1, n, 0), data);
        let squares = errors * errors;
        let rows = squares * (-(log_sigma + log_sigma)).exp() * 0.5 + log_sigma;
        let nll = sum(rows * on.shares);
        let secants = self.secants(output, read, data, on, n);
        BudgetLosses { nll, secants, squares: sum(squares * on.shares) }
    }

    /// Losses of the mixture of all members on `n` rows (`src/model/budget_look.rs`).
    pub fn mixture_losses<'g>(
        &self,
        parameters: &[Value<'g>],
        log_sigma: Value<'g>,
        data: BudgetData<'g>,
        on: BudgetRows<'g>,
        n: usize,
    ) -> BudgetLosses<'g> {
        let each = 1.0 / self.stack.networks as f64;
        let read = self.read(data, on, 1);
        let outputs = self.stack.forward(parameters, read.0);
        let first = outputs.slice(1, 0, 1);
        let more = outputs - first;
        let shift = more.sum(1) * each;
        let mean = first + shift;
        let apart = (more * more).sum(1) * each - shift * shift;
        let noise = (log_sigma + log_sigma).exp().sum(1) * each;
        let apart = part(apart, n, 0);
        let variance = noise + apart.max(apart.filled(0.0));
        let errors = part(mean, n, 0) - standardised(part(read.1, n, 0), data);
        let squares = errors * errors;
        let nll = sum((squares / variance + variance.ln()) * 0.5 * on.shares);
        let secants = self.secants(mean, read, data, on, n);
        BudgetLosses { nll, secants, squares: sum(squares * on.shares) }
    }

    /// Standardised (s, a) and raw (r, Δs) of the rows of so many sets, `[runs, sets, n·(1 + directions), …]`.
    fn read<'g>(
        &self,
        data: BudgetData<'g>,
        on: BudgetRows<'g>,
        sets: usize,
    ) -> (Value<'g>, Value<'g>) {
        let (inputs, width) = (self.inputs(), self.inputs() + self.labels);
        let rows = on.rows.shape()[1] / sets;
        let read = data.table.gather(on.rows).reshape(&[self.stack.runs, sets, rows, width]);
        (read.slice(3, 0, inputs), read.slice(3, inputs, width))
    }

    /// R̃ of these outputs, 0 where it is no part of the loss.
    fn secants<'g>(
        &self,
        output: Value<'g>,
        (x, raw): (Value<'g>, Value<'g>),
        data: BudgetData<'g>,
        on: BudgetRows<'g>,
        n: usize,
    ) -> Value<'g> {
        let own = part(output, n, 0);
        let none = sum(own).filled(0.0);
        let Some(((weights, least_square), shares)) = data.secants.zip(on.secant_shares) else {
            return none;
        };
        (1..=self.directions).fold(none, |secants, k| {
            let between = part(x, n, k) - part(x, n, 0);
            let square = (between * between).sum(3) + least_square;
            // A row that is there twice, where many are, says nothing of a derivative.
            let none = square.equals(square.filled(0.0));
            let factor = shares / none.select(square.filled(1.0), square);
            let factor = none.select(factor.filled(0.0), factor);
            let change = (part(raw, n, k) - part(raw, n, 0)) / data.label_deviation;
            let residuals = part(output, n, k) - own - change;
            secants + sum(residuals * residuals * weights * factor)
        })
    }

    /// One step of all members on `n` rows each.
    pub fn step<'g>(
        &self,
        graph: &'g Graph,
        state: &mut BudgetState<'g>,
        data: BudgetData<'g>,
        (on, n): (BudgetRows<'g>, usize),
        factors: Value<'g>,
    ) {
        let BudgetState { networks, log_sigma, sums } = state;
        let sigma = log_sigma.parameters[0];
        let losses = self.losses(&networks.parameters, sigma, data, on, n);
        // Members share no parameter: the gradient of the sum has each one's own.
        let loss = (losses.nll + losses.secants * self.secant_weight).sum(1);
        let mut by = networks.parameters.clone();
        by.push(sigma);
        let gradient = graph.gradient(loss, &by);
        let (by_sigma, by_networks) = gradient.split_last().expect("log sigma is the last");
        let factors = AdamFactors::of_columns(factors, 0);
        for (weight, &kept) in networks.parameters.iter_mut().step_by(2).zip(&self.kept) {
            *weight = factors.live.select(*weight * kept, *weight).held();
        }
        networks.step(by_networks, |_| 0.0, f64::INFINITY, factors);
        log_sigma.step(&[*by_sigma], |_| 0.0, f64::INFINITY, factors);
        let seen = Value::concatenate(&[losses.nll, losses.secants], 3).convert(Number::Double);
        *sums = (*sums + seen).held();
    }
}

/// The k-th `n` rows of each set.
fn part(of: Value<'_>, n: usize, k: usize) -> Value<'_> {
    of.slice(2, k * n, (k + 1) * n)
}

/// Over a set's rows and their outputs.
fn sum(terms: Value<'_>) -> Value<'_> {
    terms.sum(3).sum(2)
}

fn standardised<'g>(raw: Value<'g>, data: BudgetData<'g>) -> Value<'g> {
    (raw - data.label_mean) / data.label_deviation
}
