//! The training of a learned ensemble: a step of all members on minibatches of their own, by likelihood (eq. 2) and by R (eq. 9, 10), and
//! the errors on held-out rows. Transitions lie in tables on the device, one for each run of the group, a row each: (s, a), then (r, Δs).

use super::imagination::excess;
use super::network::{AdamFactors, StackShape, TrainedStack, step_together};
use crate::device::graph::{Graph, Number, Value};

/// Weight of the sum of the trained bounds' widths in the loss (`src/model/fit.rs`).
const BOUNDS_WEIGHT: f64 = 0.01;

/// Columns of the factors of a step: rate and scale of the second moments of the networks, then of the bounds; and 1 for a run that is
/// trained, else 0.
pub const FIT_FACTORS: usize = 5;

/// R's minibatch: rows of the neighbour window, and directions from each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DirectionsShape {
    /// Rows.
    pub rows: usize,
    /// m.
    pub directions: usize,
}

/// Sizes and settings of an ensemble's training that are the same for all runs of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct FitShape {
    /// The members, a network each.
    pub stack: StackShape,
    /// Numbers predicted.
    pub labels: usize,
    /// Rows of a minibatch.
    pub batch: usize,
    /// Runs of the group, of which all or some are trained together.
    pub tables: usize,
    /// Rows of a run's table.
    pub table: usize,
    /// Weight penalty of each layer.
    pub weight_decay: Vec<f64>,
    /// Whether the bounds of the log-variance are trained.
    pub train_bounds: bool,
    /// Where R is in the loss.
    pub directions: Option<DirectionsShape>,
}

/// The learned arrays of a group's ensembles.
#[derive(Clone, Debug)]
pub struct FitState<'g> {
    /// The members.
    pub networks: TrainedStack<'g>,
    /// Bounds of the log-variance, lower ones first, and their moments, `[runs, 1, 3, 2·labels]` in double precision.
    pub bounds: Value<'g>,
}

/// What stays during a training.
#[derive(Clone, Copy, Debug)]
pub struct FitData<'g> {
    /// `[tables, table, inputs + labels]`. Rows are counted through all tables.
    pub table: Value<'g>,
    /// `[runs, 1, 1, inputs]`.
    pub mean: Value<'g>,
    /// `[runs, 1, 1, inputs]`.
    pub deviation: Value<'g>,
}

/// What a step is on.
#[derive(Clone, Copy, Debug)]
pub struct FitRows<'g> {
    /// `[runs, 1, 1, FIT_FACTORS]`.
    pub factors: Value<'g>,
    /// Rows of the tables for each member, `[runs, members·batch]`.
    pub rows: Value<'g>,
    /// Each row's share of the mean over rows and labels, 0 for one that is there to fill the minibatch, `[runs, 1, batch, 1]`.
    pub shares: Value<'g>,
    /// Of R.
    pub directions: Option<DirectionRows<'g>>,
}

/// Sizes of [`FitRows`]' arrays.
#[derive(Clone, Copy, Debug)]
pub struct FitRowSizes {
    /// Of `FitRows::factors`.
    pub factors: [usize; 4],
    /// Of `FitRows::rows`.
    pub rows: [usize; 2],
    /// Of `FitRows::shares`.
    pub shares: [usize; 4],
    /// Of R's.
    pub directions: Option<DirectionRowSizes>,
}

/// Sizes of [`DirectionRows`]' arrays.
#[derive(Clone, Copy, Debug)]
pub struct DirectionRowSizes {
    /// Of `DirectionRows::rows`.
    pub rows: [usize; 2],
    /// Of `DirectionRows::neighbours`.
    pub neighbours: [usize; 2],
    /// Of `DirectionRows::weights`.
    pub weights: [usize; 4],
    /// Of `DirectionRows::output_weights`.
    pub output_weights: [usize; 4],
}

/// What R is on.
#[derive(Clone, Copy, Debug)]
pub struct DirectionRows<'g> {
    /// Rows of the tables for each member, `[runs, members·rows]`.
    pub rows: Value<'g>,
    /// Their neighbours, `[runs, m·members·rows]`: the first of each row, then the second of each, …
    pub neighbours: Value<'g>,
    /// What each squared residual is multiplied by in the loss, `[runs, members, rows, m]`.
    pub weights: Value<'g>,
    /// ρ², `[runs, 1, 1, labels]`.
    pub output_weights: Value<'g>,
}

impl FitShape {
    /// Numbers of an input.
    pub fn inputs(&self) -> usize {
        self.stack.sizes[0]
    }

    /// Sizes of the array of the bounds and their moments.
    pub fn bounds_sizes(&self) -> [usize; 4] {
        [self.stack.runs, 1, 3, 2 * self.labels]
    }

    /// Sizes of what stays during a training: tables, mean, deviation.
    pub fn data_sizes(&self) -> ([usize; 3], [usize; 4]) {
        let (runs, inputs) = (self.stack.runs, self.inputs());
        ([self.tables, self.table, inputs + self.labels], [runs, 1, 1, inputs])
    }

    /// Sizes of the sums of what an epoch's steps saw.
    pub fn seen_sizes(&self) -> [usize; 4] {
        [self.stack.runs, 1, 1, 2]
    }

    /// Sizes of the sums of held-out rows' errors.
    pub fn error_sizes(&self) -> [usize; 4] {
        [self.stack.runs, self.stack.networks, 1, 1]
    }

    /// Sizes of what a step is on.
    pub fn row_sizes(&self) -> FitRowSizes {
        let (runs, members) = (self.stack.runs, self.stack.networks);
        FitRowSizes {
            factors: [runs, 1, 1, FIT_FACTORS],
            rows: [runs, members * self.batch],
            shares: [runs, 1, self.batch, 1],
            directions: self.directions.map(|of| DirectionRowSizes {
                rows: [runs, members * of.rows],
                neighbours: [runs, of.directions * members * of.rows],
                weights: [runs, members, of.rows, of.directions],
                output_weights: [runs, 1, 1, self.labels],
            }),
        }
    }

    /// Arguments for the learned arrays.
    pub fn state<'g>(&self, graph: &'g Graph) -> FitState<'g> {
        let networks = TrainedStack::arguments(&self.stack, graph);
        FitState { networks, bounds: graph.argument(&self.bounds_sizes(), Number::Double) }
    }

    /// Arguments for what stays during a training.
    pub fn data<'g>(&self, graph: &'g Graph) -> FitData<'g> {
        let (table, row) = self.data_sizes();
        let single = |sizes: &[usize]| graph.argument(sizes, Number::Single);
        FitData { table: single(&table), mean: single(&row), deviation: single(&row) }
    }

    /// Arguments for what a step is on.
    pub fn rows<'g>(&self, graph: &'g Graph) -> FitRows<'g> {
        let single = |sizes: &[usize]| graph.argument(sizes, Number::Single);
        let index = |sizes: &[usize]| graph.argument(sizes, Number::Index);
        let FitRowSizes { factors, rows, shares, directions } = self.row_sizes();
        FitRows {
            factors: single(&factors),
            rows: index(&rows),
            shares: single(&shares),
            directions: directions.map(|of| DirectionRows {
                rows: index(&of.rows),
                neighbours: index(&of.neighbours),
                weights: single(&of.weights),
                output_weights: single(&of.output_weights),
            }),
        }
    }

    /// Inputs, in the task's units, and labels of some rows of each member, `[runs, members, n, …]`.
    fn read<'g>(&self, data: FitData<'g>, rows: Value<'g>, n: usize) -> (Value<'g>, Value<'g>) {
        let (inputs, width) = (self.inputs(), self.inputs() + self.labels);
        let (runs, count) = (self.stack.runs, rows.shape()[1]);
        let all = data.table.reshape(&[1, self.tables * self.table, width]);
        let read = all.gather(rows.reshape(&[1, runs * count]));
        let read = read.reshape(&[runs, count / n, n, width]);
        (read.slice(3, 0, inputs), read.slice(3, inputs, width))
    }

    /// The means and raw log-variances of all members for inputs in the task's units, and the standardised inputs.
    fn predict<'g>(
        &self,
        parameters: &[Value<'g>],
        data: FitData<'g>,
        inputs: Value<'g>,
    ) -> (Value<'g>, [Value<'g>; 2]) {
        let (x, labels) = ((inputs - data.mean) / data.deviation, self.labels);
        let output = self.stack.forward(parameters, x);
        (x, [output.slice(3, 0, labels), output.slice(3, labels, 2 * labels)])
    }

    /// One step of all members. `seen`, `[runs, 1, 1, 2]` in double precision, with what it saw added for the runs that take it:
    /// Σ_members mean NLL, and w·R.
    pub fn step<'g>(
        &self,
        graph: &'g Graph,
        state: &mut FitState<'g>,
        data: FitData<'g>,
        on: FitRows<'g>,
        seen: Value<'g>,
    ) -> Value<'g> {
        let labels = self.labels;
        let FitState { networks, bounds } = state;
        let numbers = bounds.slice(2, 0, 1).convert(Number::Single);
        let bound = |k: usize| numbers.slice(3, k * labels, (k + 1) * labels);
        let limits = [bound(0), bound(1)];
        let (inputs, y) = self.read(data, on.rows, self.batch);
        let (_, [mean, raw]) = self.predict(&networks.parameters, data, inputs);
        let excess = excess(raw, limits);
        let precision = (-limits[0]).exp() / excess;
        let errors = mean - y;
        let rows = errors * errors * precision + limits[0] + excess.ln();
        let nll = (rows * on.shares).sum_from(1);
        let residuals = match on.directions {
            Some(directions) => self.residuals(graph, &networks.parameters, data, directions),
            None => nll.filled(0.0),
        };
        let loss = nll + residuals;
        let mut by = networks.parameters.clone();
        by.push(numbers);
        let mut gradient = graph.gradient(loss, &by);
        let by_bounds = gradient.pop().expect("the bounds are the last");
        let factors = |k: usize| AdamFactors::of_columns(on.factors, k);
        // Weights and biases take turns.
        let decay = |k: usize| if k.is_multiple_of(2) { self.weight_decay[k / 2] } else { 0.0 };
        networks.step(&gradient, decay, f64::INFINITY, factors(0));
        if self.train_bounds {
            *bounds = self.bounds_step(*bounds, by_bounds, factors(2));
        }
        let saw = Value::concatenate(&[nll, residuals], 3).convert(Number::Double);
        factors(0).live.select(seen + saw, seen)
    }

    /// Σ weight·ρ²·(J·v − Δy)² over all members.
    fn residuals<'g>(
        &self,
        graph: &'g Graph,
        parameters: &[Value<'g>],
        data: FitData<'g>,
        on: DirectionRows<'g>,
    ) -> Value<'g> {
        let each = on.rows.shape()[1];
        let n = each / self.stack.networks;
        let (own, y) = self.read(data, on.rows, n);
        let (x, [mean, _]) = self.predict(parameters, data, own);
        let directions = on.weights.shape()[3];
        let terms = (0..directions).map(|k| {
            let neighbours = on.neighbours.slice(1, k * each, (k + 1) * each);
            let (other, other_y) = self.read(data, neighbours, n);
            let direction = (other - own) / data.deviation;
            let product = graph.tangents(&[mean], &[(x, direction)])[0];
            let residual = product - (other_y - y);
            let weights = on.weights.slice(3, k, k + 1) * on.output_weights;
            (residual * residual * weights).sum_from(1)
        });
        terms.reduce(|sum, term| sum + term).expect("there is a direction")
    }

    /// The bounds' step, to whose gradient comes that of 0.01·(Σ max − Σ min).
    fn bounds_step<'g>(
        &self,
        bounds: Value<'g>,
        gradient: Value<'g>,
        factors: AdamFactors<'g>,
    ) -> Value<'g> {
        let labels = self.labels;
        let gradient = gradient.convert(Number::Double);
        let of_min = gradient.slice(3, 0, labels) - BOUNDS_WEIGHT;
        let of_max = gradient.slice(3, labels, 2 * labels) + BOUNDS_WEIGHT;
        let gradient = Value::concatenate(&[of_min, of_max], 3);
        step_together(bounds, 2, gradient, factors)
    }

    /// Each member's Σ (μ − y)² over some rows, `[runs, members, 1, 1]`; `rows` are `[runs, n]`, below 0 where there is none.
    pub fn squared_errors<'g>(
        &self,
        parameters: &[Value<'g>],
        data: FitData<'g>,
        rows: Value<'g>,
    ) -> Value<'g> {
        let (n, first) = (rows.shape()[1], rows.filled(0.0));
        let counts = rows.less(first).not().indicator().reshape(&[self.stack.runs, 1, n, 1]);
        let (inputs, y) = self.read(data, rows.max(first), n);
        let (_, [mean, _]) = self.predict(parameters, data, inputs);
        let errors = mean - y;
        (errors * errors * counts).sum(3).sum(2)
    }
}
