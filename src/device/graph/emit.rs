//! A graph as StableHLO text, for any compiler that takes it.

use std::fmt::Write;

use super::build::{Graph, Value};
use super::node::{Binary, CompareOp, Id, Node, Number, Op, ProductPrecision, Unary};

/// A program in StableHLO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The module.
    pub text: String,
    /// How many arrays it returns.
    pub outputs: usize,
}

/// `tensor<2x3xf32>`.
fn kind(shape: &[usize], number: Number) -> String {
    let sizes: String = shape.iter().map(|size| format!("{size}x")).collect();
    format!("tensor<{sizes}{}>", number.name())
}

/// A literal that is read back to the same number.
fn literal(value: f64, number: Number) -> String {
    match number {
        Number::Truth => (value != 0.0).to_string(),
        Number::Index => format!("{value}"),
        Number::Single if value.is_infinite() || (value as f32).is_infinite() => {
            format!("0x{:08X}", (value as f32).to_bits())
        }
        Number::Single => pointed(&format!("{:e}", value as f32)),
        Number::Double if value.is_infinite() => format!("0x{:016X}", value.to_bits()),
        Number::Double => pointed(&format!("{value:e}")),
    }
}

/// `1e-3` as `1.0e-3`: a float has a point.
fn pointed(number: &str) -> String {
    match number.split_once('e') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0e{exponent}"),
        _ => number.to_owned(),
    }
}

/// The text of some nodes.
struct Text<'n> {
    nodes: &'n [Node],
    precision: ProductPrecision,
    text: String,
}

impl Graph {
    /// The program that returns `outputs`. Each of `overwritten` is an argument and the number of the output that may take its memory: a
    /// caller's array is gone then after the call.
    pub fn program(
        &self,
        outputs: &[Value<'_>],
        overwritten: &[(Value<'_>, usize)],
        precision: ProductPrecision,
    ) -> Program {
        let nodes = self.nodes.borrow();
        let mut used = vec![false; nodes.len()];
        outputs.iter().for_each(|t| used[t.id] = true);
        for id in (0..nodes.len()).rev() {
            if used[id] {
                nodes[id].op.operands().into_iter().for_each(|operand| used[operand] = true);
            }
        }
        let arguments: Vec<String> = nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| matches!(node.op, Op::Argument(_)))
            .map(|(id, node)| {
                let place = overwritten.iter().find(|(t, _)| t.id == id);
                let note = place.map_or(String::new(), |(_, output)| {
                    format!(" {{tf.aliasing_output = {output} : i32}}")
                });
                format!("%{id}: {}{note}", kind(&node.shape, node.number))
            })
            .collect();
        let kinds: Vec<String> = outputs.iter().map(|t| kind(&t.shape(), t.number())).collect();
        let mut text = Text { nodes: &nodes, precision, text: String::new() };
        let _ = writeln!(
            text.text,
            "module @ddppo {{\nfunc.func public @main({}) -> ({}) {{",
            arguments.join(", "),
            kinds.join(", ")
        );
        (0..nodes.len()).filter(|&id| used[id]).for_each(|id| text.node(id));
        let names: Vec<String> = outputs.iter().map(|t| text.name(t.id)).collect();
        let _ = writeln!(text.text, "return {} : {}\n}}\n}}", names.join(", "), kinds.join(", "));
        Program { text: text.text, outputs: outputs.len() }
    }
}

impl Text<'_> {
    /// A node's value; one that only changes derivatives is the value that it was made of.
    fn name(&self, id: Id) -> String {
        match self.nodes[id].op {
            Op::Substitute(value, _) => self.name(value),
            _ => format!("%{id}"),
        }
    }

    fn kind(&self, id: Id) -> String {
        kind(&self.nodes[id].shape, self.nodes[id].number)
    }

    fn names(&self, ids: &[Id]) -> String {
        ids.iter().map(|&id| self.name(id)).collect::<Vec<_>>().join(", ")
    }

    /// `: (operands' types) -> type`.
    fn signature(&self, id: Id, operands: &[Id]) -> String {
        let kinds: Vec<String> = operands.iter().map(|&o| self.kind(o)).collect();
        format!(": ({}) -> {}", kinds.join(", "), self.kind(id))
    }

    fn node(&mut self, id: Id) {
        let Node { op, shape, number } = &self.nodes[id];
        let operands = op.operands();
        let (names, signature) = (self.names(&operands), self.signature(id, &operands));
        let own = self.kind(id);
        let line = match op {
            Op::Argument(_) | Op::Substitute(..) => return,
            Op::Constant(value) => {
                format!("stablehlo.constant dense<{}> : {own}", literal(*value, *number))
            }
            Op::Unary(of, _) => {
                let name = match of {
                    Unary::Negate => "negate",
                    Unary::Exponential => "exponential",
                    Unary::Logarithm => "log",
                    Unary::LogarithmPlusOne => "log_plus_one",
                    Unary::Tanh => "tanh",
                    Unary::Logistic => "logistic",
                    Unary::SquareRoot => "sqrt",
                    Unary::Absolute => "abs",
                    Unary::IsFinite => "is_finite",
                    Unary::Not => "not",
                };
                format!("\"stablehlo.{name}\"({names}) {signature}")
            }
            Op::Binary(of, ..) => {
                let name = match of {
                    Binary::Add => "add",
                    Binary::Subtract => "subtract",
                    Binary::Multiply => "multiply",
                    Binary::Divide => "divide",
                    Binary::Maximum => "maximum",
                    Binary::Minimum => "minimum",
                    Binary::And => "and",
                };
                format!("stablehlo.{name} {names} : {own}")
            }
            Op::Compare(of, ..) => {
                let name = match of {
                    CompareOp::Equal => "EQ",
                    CompareOp::Less => "LT",
                    CompareOp::AtMost => "LE",
                };
                format!("stablehlo.compare {name}, {names} {signature}")
            }
            Op::Select(..) => format!("\"stablehlo.select\"({names}) {signature}"),
            Op::Convert(_) => format!("stablehlo.convert {names} {signature}"),
            Op::Dot { over, .. } => {
                let batch = shape.len() - 2;
                let axes: Vec<String> = (0..batch).map(|axis| axis.to_string()).collect();
                let axes = axes.join(", ");
                let precision = match self.precision {
                    ProductPrecision::Single => "HIGHEST",
                    ProductPrecision::Fast => "DEFAULT",
                };
                format!(
                    "stablehlo.dot_general {names}, batching_dims = [{axes}] x [{axes}], contracting_dims = [{}] x [{}], \
                     precision = [{precision}, {precision}] {signature}",
                    batch + over.0,
                    batch + over.1
                )
            }
            Op::Broadcast(_) => {
                let axes: Vec<String> = (0..shape.len()).map(|axis| axis.to_string()).collect();
                let axes = axes.join(", ");
                format!("stablehlo.broadcast_in_dim {names}, dims = [{axes}] {signature}")
            }
            Op::Reshape(_) => format!("stablehlo.reshape {names} {signature}"),
            Op::Slice { of, axis, from } => {
                let ranges = self.nodes[*of].shape.iter().enumerate().map(|(d, &size)| {
                    if d == *axis {
                        format!("{from}:{}", from + shape[d])
                    } else {
                        format!("0:{size}")
                    }
                });
                let ranges: Vec<String> = ranges.collect();
                format!("stablehlo.slice {names} [{}] {signature}", ranges.join(", "))
            }
            Op::ReplaceRows { table, rows, starts } => {
                return self.replace_rows(id, *table, *rows, *starts);
            }
            Op::Pad { of, axis, from } => return self.pad(id, *of, *axis, *from),
            Op::Concatenate(_, axis) => {
                format!("stablehlo.concatenate {names}, dim = {axis} {signature}")
            }
            Op::Sum(of, axis) => return self.sum(id, *of, *axis),
            Op::Gather { table, .. } => {
                let width = self.nodes[*table].shape[2];
                format!(
                    "\"stablehlo.gather\"({names}) <{{dimension_numbers = #stablehlo.gather<offset_dims = [2], \
                     collapsed_slice_dims = [1], operand_batching_dims = [0], start_indices_batching_dims = [0], \
                     start_index_map = [1], index_vector_dim = 2>, slice_sizes = array<i64: 1, 1, {width}>, \
                     indices_are_sorted = false}}> {signature}"
                )
            }
        };
        let _ = writeln!(self.text, "%{id} = {line}");
    }

    /// `%name = 0` of a node's element type.
    fn zero(&mut self, id: Id) -> (String, String) {
        let number = self.nodes[id].number;
        let (name, kind) = (format!("%zero{id}"), format!("tensor<{}>", number.name()));
        let zero = literal(0.0, number);
        let _ = writeln!(self.text, "{name} = stablehlo.constant dense<{zero}> : {kind}");
        (name, kind)
    }

    fn pad(&mut self, id: Id, of: Id, axis: usize, from: usize) {
        let (zero, zero_kind) = self.zero(id);
        let (inner, outer) = (&self.nodes[of].shape, &self.nodes[id].shape);
        let list = |of: &dyn Fn(usize) -> usize| {
            (0..outer.len()).map(|d| of(d).to_string()).collect::<Vec<_>>().join(", ")
        };
        let low = list(&|d| if d == axis { from } else { 0 });
        let high = list(&|d| if d == axis { outer[d] - inner[d] - from } else { 0 });
        let none = list(&|_| 0);
        let (name, own, result) = (self.name(of), self.kind(of), self.kind(id));
        let _ = writeln!(
            self.text,
            "%{id} = stablehlo.pad {name}, {zero}, low = [{low}], high = [{high}], interior = [{none}] : ({own}, {zero_kind}) -> \
             {result}"
        );
    }

    /// One run after the other: a compiler writes into the table where it may.
    fn replace_rows(&mut self, id: Id, table: Id, rows: Id, starts: Id) {
        let Node { shape, number, .. } = &self.nodes[rows];
        let (runs, n, width) = (shape[0], shape[1], shape[2]);
        let (row_kind, own) = (kind(&[1, n, width], *number), self.kind(id));
        let [rows_name, starts_name] = [rows, starts].map(|id| self.name(id));
        let [rows_kind, starts_kind] = [rows, starts].map(|id| self.kind(id));
        let (one, scalar) = (kind(&[1, 1], Number::Index), kind(&[], Number::Index));
        let _ = writeln!(self.text, "%none{id} = stablehlo.constant dense<0> : {scalar}");
        let mut before = self.name(table);
        for run in 0..runs {
            let after =
                if run + 1 == runs { format!("%{id}") } else { format!("%table{id}_{run}") };
            let to = run + 1;
            let _ = writeln!(
                self.text,
                "%run{id}_{run} = stablehlo.constant dense<{run}> : {scalar}\n\
                 %one{id}_{run} = stablehlo.slice {starts_name} [{run}:{to}, 0:1] : ({starts_kind}) -> {one}\n\
                 %start{id}_{run} = stablehlo.reshape %one{id}_{run} : ({one}) -> {scalar}\n\
                 %rows{id}_{run} = stablehlo.slice {rows_name} [{run}:{to}, 0:{n}, 0:{width}] : ({rows_kind}) -> {row_kind}\n\
                 {after} = stablehlo.dynamic_update_slice {before}, %rows{id}_{run}, %run{id}_{run}, %start{id}_{run}, %none{id} : \
                 ({own}, {row_kind}, {scalar}, {scalar}, {scalar}) -> {own}"
            );
            before = after;
        }
    }

    /// Whether a node has counts: sums of zeros and ones are exact in any order.
    fn counts(&self, id: Id) -> bool {
        match self.nodes[id].op {
            Op::Convert(of) => self.nodes[of].number == Number::Truth,
            Op::Sum(of, _) | Op::Reshape(of) | Op::Broadcast(of) => self.counts(of),
            _ => false,
        }
    }

    /// A sum along an axis. One number a place is summed as a product with ones: products are computed run by run, in an order that does
    /// not depend on the number of runs, where a compiler's reduction to few numbers does.
    fn sum(&mut self, id: Id, of: Id, axis: usize) {
        let Node { shape, number, .. } = &self.nodes[of];
        let (lead, rest) = (&shape[..axis], &shape[axis + 1..]);
        if self.counts(of) || rest.iter().any(|&size| size > 1) {
            return self.reduce(id, of, axis);
        }
        let with = |last: [usize; 2]| kind(&[lead, &last].concat(), *number);
        let (ones, column, one) = (with([1, shape[axis]]), with([shape[axis], 1]), with([1, 1]));
        let axes: Vec<String> = (0..axis).map(|axis| axis.to_string()).collect();
        let axes = axes.join(", ");
        let (name, own, result) = (self.name(of), self.kind(of), self.kind(id));
        let literal = literal(1.0, *number);
        let _ = writeln!(
            self.text,
            "%ones{id} = stablehlo.constant dense<{literal}> : {ones}\n\
             %column{id} = stablehlo.reshape {name} : ({own}) -> {column}\n\
             %one{id} = stablehlo.dot_general %ones{id}, %column{id}, batching_dims = [{axes}] x [{axes}], \
             contracting_dims = [{}] x [{axis}], precision = [HIGHEST, HIGHEST] : ({ones}, {column}) -> {one}\n\
             %{id} = stablehlo.reshape %one{id} : ({one}) -> {result}",
            axis + 1
        );
    }

    fn reduce(&mut self, id: Id, of: Id, axis: usize) {
        let (zero, zero_kind) = self.zero(id);
        let Node { shape, number, .. } = &self.nodes[of];
        let mut left = shape.clone();
        left.remove(axis);
        let (name, own, left) = (self.name(of), self.kind(of), kind(&left, *number));
        let result = self.kind(id);
        let _ = writeln!(
            self.text,
            "%sum{id} = stablehlo.reduce({name} init: {zero}) applies stablehlo.add across dimensions = [{axis}] : ({own}, \
             {zero_kind}) -> {left}\n%{id} = stablehlo.reshape %sum{id} : ({left}) -> {result}"
        );
    }
}
