//! What a graph is made of: operations, and the element types of their arrays.

/// Element types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// True or false.
    Truth,
    /// 32-bit integers: rows of a table, members of an ensemble.
    Index,
    /// 32-bit floats.
    Single,
    /// 64-bit floats.
    Double,
}

impl Number {
    /// As StableHLO names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Truth => "i1",
            Self::Index => "i32",
            Self::Single => "f32",
            Self::Double => "f64",
        }
    }
}

/// How exactly products of single-precision matrices are computed, where the device has a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProductPrecision {
    /// In single precision.
    Single,
    /// As the device likes best: TF32 on NVIDIA's, with 10 bits of the factors' mantissas.
    Fast,
}

/// Functions of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unary {
    Negate,
    Exponential,
    Logarithm,
    /// ln(1 + x).
    LogarithmPlusOne,
    Tanh,
    /// 1/(1 + e^−x).
    Logistic,
    SquareRoot,
    Absolute,
    IsFinite,
    Not,
}

/// Functions of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    Maximum,
    Minimum,
    And,
}

/// Comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CompareOp {
    Equal,
    Less,
    AtMost,
}

/// A node's number in its graph: those that it is computed from have lower ones.
pub(super) type Id = usize;

/// One operation. Shapes that follow from the node's own are not repeated.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Op {
    /// Argument number so and so of the program.
    Argument(usize),
    /// All elements are this.
    Constant(f64),
    Unary(Unary, Id),
    Binary(Binary, Id, Id),
    Compare(CompareOp, Id, Id),
    /// Elements of the second where the first holds, of the third elsewhere.
    Select(Id, Id, Id),
    /// To another element type.
    Convert(Id),
    /// Products of the matrices in the last two axes, summed over one axis of each (0 or 1 of the two).
    Dot {
        left: Id,
        right: Id,
        over: (usize, usize),
    },
    /// Axes of size 1 are repeated.
    Broadcast(Id),
    Reshape(Id),
    /// Part of an axis, from this place on.
    Slice {
        of: Id,
        axis: usize,
        from: usize,
    },
    /// An axis with zeros before and after.
    Pad {
        of: Id,
        axis: usize,
        from: usize,
    },
    Concatenate(Vec<Id>, usize),
    /// Sum along an axis, which stays, with size 1.
    Sum(Id, usize),
    /// Rows of tables: `[runs, rows, width]` at `[runs, n]` gives `[runs, n, width]`. Where no row is taken twice and `back` says for each
    /// row of the table, `[runs, rows]`, which of the n it became, or n where it became none, there is a derivative.
    Gather {
        table: Id,
        rows: Id,
        back: Option<Id>,
    },
    /// Tables, `[runs, rows, width]`, with other rows, `[runs, n, width]`, in place of those from each run's start on, `[runs, 1]`.
    ReplaceRows {
        table: Id,
        rows: Id,
        starts: Id,
    },
    /// The value of the first, the derivative of the second; that of a constant where there is no second.
    Substitute(Id, Option<Id>),
}

impl Op {
    /// What it is computed from.
    pub(super) fn operands(&self) -> Vec<Id> {
        match self {
            Self::Argument(_) | Self::Constant(_) => Vec::new(),
            Self::Unary(_, a)
            | Self::Convert(a)
            | Self::Broadcast(a)
            | Self::Reshape(a)
            | Self::Slice { of: a, .. }
            | Self::Pad { of: a, .. }
            | Self::Sum(a, _)
            | Self::Substitute(a, _) => vec![*a],
            Self::Binary(_, a, b)
            | Self::Compare(_, a, b)
            | Self::Dot { left: a, right: b, .. }
            | Self::Gather { table: a, rows: b, .. } => vec![*a, *b],
            Self::Select(a, b, c) | Self::ReplaceRows { table: a, rows: b, starts: c } => {
                vec![*a, *b, *c]
            }
            Self::Concatenate(all, _) => all.clone(),
        }
    }

    /// What its derivative depends on.
    pub(super) fn sources(&self) -> Vec<Id> {
        match self {
            Self::Compare(..) | Self::Gather { back: None, .. } | Self::ReplaceRows { .. } => {
                Vec::new()
            }
            Self::Gather { table, .. } => vec![*table],
            Self::Select(_, a, b) => vec![*a, *b],
            Self::Substitute(_, source) => source.iter().copied().collect(),
            _ => self.operands(),
        }
    }
}

/// An operation and the array that it makes.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub op: Op,
    pub shape: Vec<usize>,
    pub number: Number,
}
