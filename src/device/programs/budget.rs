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

/// What losses are on.
#[derive(Clone, Copy, Debug)]
pub struct BudgetRows<'g> {
    /// Rows of the table, `[runs, members·n·(1 + directions)]`: for each member n rows, then the first far ends of their secants, …
    pub rows: Value<'g>,
    /// What each row's likelihood is multiplied by, `[runs, members, n, 1]`.
    pub shares: Value<'g>,
    /// What each secant's term is multiplied by in R̃, `[runs, members, n, 1]`.
    pub secant_shares: Option<Value<'g>>,
}

/// Losses of each member, `[runs, members, 1, 1]`.
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

    /// Every member's losses on `n` rows.
    pub fn losses<'g>(
        &self,
        parameters: &[Value<'g>],
        log_sigma: Value<'g>,
        data: BudgetData<'g>,
        on: BudgetRows<'g>,
        n: usize,
    ) -> BudgetLosses<'g> {
        let (inputs, labels, members) = (self.inputs(), self.labels, self.stack.networks);
        let all = n * (1 + self.directions);
        let shape = [self.stack.runs, members, all, inputs + labels];
        let read = data.table.gather(on.rows).reshape(&shape);
        let (x, raw) = (read.slice(3, 0, inputs), read.slice(3, inputs, inputs + labels));
        let output = self.stack.forward(parameters, x);
        let part = |of: Value<'g>, k: usize| of.slice(2, k * n, (k + 1) * n);
        let errors = part(output, 0) - (part(raw, 0) - data.label_mean) / data.label_deviation;
        let squares = errors * errors;
        let sum = |terms: Value<'g>| terms.sum(3).sum(2);
        let rows = squares * (-(log_sigma + log_sigma)).exp() * 0.5 + log_sigma;
        let nll = sum(rows * on.shares);
        let mut secants = nll.filled(0.0);
        if let (Some((weights, least_square)), Some(shares)) = (data.secants, on.secant_shares) {
            for k in 1..=self.directions {
                let between = part(x, k) - part(x, 0);
                let square = (between * between).sum(3) + least_square;
                // A row that is there twice, where many are, says nothing of a derivative.
                let none = square.equals(square.filled(0.0));
                let factor = shares / none.select(square.filled(1.0), square);
                let factor = none.select(factor.filled(0.0), factor);
                let change = (part(raw, k) - part(raw, 0)) / data.label_deviation;
                let residuals = part(output, k) - part(output, 0) - change;
                secants = secants + sum(residuals * residuals * weights * factor);
            }
        }
        BudgetLosses { nll, secants, squares: sum(squares * on.shares) }
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
