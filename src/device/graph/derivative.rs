//! Reverse mode: from the derivatives of a loss by what a node gives to those by what it is computed from.

use super::build::{Graph, Value};
use super::node::{Id, Op};
use super::rules;

/// The derivatives collected so far, by node.
struct Adjoints<'g> {
    of: Vec<Option<Value<'g>>>,
    /// Whether a node's derivative is asked for, or needed on the way.
    wanted: Vec<bool>,
}

impl<'g> Adjoints<'g> {
    fn add(&mut self, to: Id, adjoint: Value<'g>) {
        if self.wanted[to] {
            let sum = &mut self.of[to];
            *sum = Some(sum.map_or(adjoint, |sum| sum + adjoint));
        }
    }
}

impl Graph {
    /// The derivatives of each run's `loss`, `[runs, 1, …, 1]`, by arrays of the graph, in their shapes. Of an array that is computed from
    /// another of them it is the derivative by what comes after it alone.
    pub fn gradient<'g>(&'g self, loss: Value<'g>, by: &[Value<'g>]) -> Vec<Value<'g>> {
        self.pull_back(&[(loss, loss.filled(1.0))], by)
    }

    /// [`Graph::gradient`] of a loss of which the derivatives by some `outputs` are given.
    pub fn pull_back<'g>(
        &'g self,
        outputs: &[(Value<'g>, Value<'g>)],
        by: &[Value<'g>],
    ) -> Vec<Value<'g>> {
        let ids: Vec<Id> = by.iter().map(|t| t.id).collect();
        let last = outputs.iter().map(|(t, _)| t.id).max().expect("a loss has an output");
        let wanted = self.depending(&ids, last.max(ids.iter().copied().max().unwrap_or(0)));
        let mut adjoints = Adjoints { of: vec![None; wanted.len()], wanted };
        for &(output, adjoint) in outputs {
            adjoints.add(output.id, adjoint);
        }
        for id in (0..=last).rev() {
            if let Some(adjoint) = adjoints.of[id] {
                self.step_back(id, adjoint, &mut adjoints);
            }
        }
        let zero = |t: Value<'g>| t.filled(0.0);
        by.iter().map(|&t| adjoints.of[t.id].unwrap_or_else(|| zero(t))).collect()
    }

    fn step_back<'g>(&'g self, id: Id, adjoint: Value<'g>, to: &mut Adjoints<'g>) {
        let y = self.value(id);
        let at = |id: Id| self.value(id);
        match self.node(id).op {
            Op::Argument(_) | Op::Constant(_) | Op::Compare(..) | Op::ReplaceRows { .. } => {}
            Op::Gather { table, rows, back } => {
                if let Some(back) = back {
                    // Rows that became none get the row of zeros that follows the others.
                    let (rows, n) = (at(rows), at(rows).shape()[1]);
                    let of_zeros = rows.slice(1, 0, 1);
                    let back_again = Value::concatenate(&[rows, of_zeros], 1);
                    let adjoint = adjoint.pad(1, 0, n + 1);
                    to.add(table, adjoint.rearranged(at(back), back_again));
                }
            }
            Op::Unary(of, x) => {
                if let Some(by_x) = rules::unary(of, at(x), y, adjoint) {
                    to.add(x, by_x);
                }
            }
            Op::Binary(of, a, b) => {
                let asked = |id: Id| Some(adjoint).filter(|_| to.wanted[id]);
                let changes = (asked(a), asked(b));
                let (by_a, by_b) = rules::binary(of, (at(a), at(b)), y, changes);
                for (id, by) in [(a, by_a), (b, by_b)] {
                    if let Some(by) = by {
                        to.add(id, by);
                    }
                }
            }
            Op::Select(chosen, yes, no) => {
                let zero = adjoint.filled(0.0);
                to.add(yes, at(chosen).select(adjoint, zero));
                to.add(no, at(chosen).select(zero, adjoint));
            }
            Op::Convert(x) => to.add(x, adjoint.convert(at(x).number())),
            Op::Dot { left, right, over } => {
                // Of [.., m, n]: whichever way the factors lie, their derivatives come out lying likewise.
                let (l, r) = (at(left), at(right));
                if to.wanted[left] {
                    let free = 1 - over.1;
                    to.add(
                        left,
                        match over.0 {
                            1 => adjoint.dot_over(r, (1, free)),
                            _ => r.dot_over(adjoint, (free, 1)),
                        },
                    );
                }
                if to.wanted[right] {
                    let free = 1 - over.0;
                    to.add(
                        right,
                        match over.1 {
                            0 => l.dot_over(adjoint, (free, 0)),
                            _ => adjoint.dot_over(l, (0, free)),
                        },
                    );
                }
            }
            Op::Broadcast(x) => {
                let shape = at(x).shape();
                let repeated = (0..shape.len()).filter(|&axis| shape[axis] == 1);
                to.add(x, repeated.fold(adjoint, Value::sum));
            }
            Op::Reshape(x) => to.add(x, adjoint.reshape(&at(x).shape())),
            Op::Slice { of, axis, from } => {
                to.add(of, adjoint.pad(axis, from, at(of).shape()[axis]));
            }
            Op::Pad { of, axis, from } => {
                to.add(of, adjoint.slice(axis, from, from + at(of).shape()[axis]));
            }
            Op::Concatenate(all, axis) => {
                let mut from = 0;
                for part in all {
                    let size = at(part).shape()[axis];
                    to.add(part, adjoint.slice(axis, from, from + size));
                    from += size;
                }
            }
            Op::Sum(x, _) => to.add(x, adjoint.expand(&at(x).shape())),
            Op::Substitute(_, source) => {
                if let Some(source) = source {
                    to.add(source, adjoint);
                }
            }
        }
    }
}
