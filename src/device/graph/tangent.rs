//! Forward mode: the change of what a node gives with a change of what it is computed from.

use super::build::{Graph, Value};
use super::node::{Id, Op};
use super::rules;

impl Graph {
    /// The directional derivatives of `outputs` where each of `along`'s arrays moves in its direction, of its shape.
    pub fn tangents<'g>(
        &'g self,
        outputs: &[Value<'g>],
        along: &[(Value<'g>, Value<'g>)],
    ) -> Vec<Value<'g>> {
        let last = outputs.iter().map(|t| t.id).max().expect("there is an output");
        let moved: Vec<Id> = along.iter().map(|(t, _)| t.id).collect();
        let depends = self.depending(&moved, last);
        let mut tangents: Vec<Option<Value<'g>>> = vec![None; last + 1];
        for id in 0..=last {
            tangents[id] = match moved.iter().position(|&m| m == id) {
                Some(m) => Some(along[m].1),
                None if depends[id] => self.step_forward(id, &tangents),
                None => None,
            };
        }
        outputs.iter().map(|t| tangents[t.id].unwrap_or_else(|| t.filled(0.0))).collect()
    }

    fn step_forward<'g>(&'g self, id: Id, tangents: &[Option<Value<'g>>]) -> Option<Value<'g>> {
        let (y, node) = (self.value(id), self.node(id));
        let at = |id: Id| self.value(id);
        let or_zero = |id: Id| tangents[id].unwrap_or_else(|| at(id).filled(0.0));
        let sum = |a: Option<Value<'g>>, b: Option<Value<'g>>| match (a, b) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
        match node.op {
            Op::Argument(_) | Op::Constant(_) | Op::Compare(..) | Op::ReplaceRows { .. } => None,
            Op::Gather { table, rows, back } => {
                Some(tangents[table]?.rearranged(at(rows), at(back?)))
            }
            Op::Unary(of, x) => rules::unary(of, at(x), y, tangents[x]?),
            Op::Binary(of, a, b) => {
                let changes = (tangents[a], tangents[b]);
                let (by_a, by_b) = rules::binary(of, (at(a), at(b)), y, changes);
                sum(by_a, by_b)
            }
            Op::Select(chosen, yes, no) => Some(at(chosen).select(or_zero(yes), or_zero(no))),
            Op::Convert(x) => Some(tangents[x]?.convert(node.number)),
            Op::Dot { left, right, over } => sum(
                tangents[left].map(|t| t.dot_over(at(right), over)),
                tangents[right].map(|t| at(left).dot_over(t, over)),
            ),
            Op::Broadcast(x) => Some(tangents[x]?.expand(&node.shape)),
            Op::Reshape(x) => Some(tangents[x]?.reshape(&node.shape)),
            Op::Slice { of, axis, from } => {
                Some(tangents[of]?.slice(axis, from, from + node.shape[axis]))
            }
            Op::Pad { of, axis, from } => Some(tangents[of]?.pad(axis, from, node.shape[axis])),
            Op::Concatenate(all, axis) => {
                let all: Vec<Value<'g>> = all.into_iter().map(or_zero).collect();
                Some(Value::concatenate(&all, axis))
            }
            Op::Sum(x, axis) => Some(tangents[x]?.sum(axis)),
            Op::Substitute(_, source) => tangents[source?],
        }
    }
}
