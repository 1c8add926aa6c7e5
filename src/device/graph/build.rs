//! A graph under construction, and the arrays of it that programs are written with.

use std::cell::RefCell;

use super::node::{Id, Node, Number, Op};

/// An array of a [`Graph`].
#[derive(Clone, Copy, Debug)]
pub struct Value<'g> {
    pub(super) graph: &'g Graph,
    pub(super) id: Id,
}

/// A program under construction. Values of it are small and can be copied: `a * b + c` adds two nodes.
#[derive(Debug, Default)]
pub struct Graph {
    pub(super) nodes: RefCell<Vec<Node>>,
    pub(super) arguments: RefCell<usize>,
}

impl Graph {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next argument of the program.
    pub fn argument(&self, shape: &[usize], number: Number) -> Value<'_> {
        let mut count = self.arguments.borrow_mut();
        *count += 1;
        self.add(Op::Argument(*count - 1), shape.to_vec(), number)
    }

    /// An array with all elements the same.
    pub fn constant(&self, value: f64, shape: &[usize], number: Number) -> Value<'_> {
        self.add(Op::Constant(value), shape.to_vec(), number)
    }

    pub(super) fn add(&self, op: Op, shape: Vec<usize>, number: Number) -> Value<'_> {
        let mut nodes = self.nodes.borrow_mut();
        nodes.push(Node { op, shape, number });
        Value { graph: self, id: nodes.len() - 1 }
    }

    pub(super) fn node(&self, id: Id) -> Node {
        self.nodes.borrow()[id].clone()
    }

    pub(super) fn value(&self, id: Id) -> Value<'_> {
        Value { graph: self, id }
    }

    /// For every node up to `last`, whether its derivative by one of `by` may be other than 0.
    pub(super) fn depending(&self, by: &[Id], last: Id) -> Vec<bool> {
        let nodes = self.nodes.borrow();
        let mut depends = vec![false; last + 1];
        for id in 0..=last {
            depends[id] = by.contains(&id) || nodes[id].op.sources().iter().any(|&s| depends[s]);
        }
        depends
    }
}
