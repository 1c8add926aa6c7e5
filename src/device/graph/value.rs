//! What can be made of arrays. In operations on two arrays, of equal rank, axes of size 1 are repeated as needed.

use std::ops::{Add, Div, Mul, Neg, Sub};

use super::build::Value;
use super::node::{Binary, CompareOp, Id, Number, Op, Unary};

impl<'g> Value<'g> {
    /// Its sizes.
    pub fn shape(self) -> Vec<usize> {
        self.graph.nodes.borrow()[self.id].shape.clone()
    }

    /// Its element type.
    pub fn number(self) -> Number {
        self.graph.nodes.borrow()[self.id].number
    }

    /// An array like this one with all elements the same.
    pub fn filled(self, value: f64) -> Self {
        self.graph.constant(value, &self.shape(), self.number())
    }

    fn unary(self, of: Unary) -> Self {
        let number = if of == Unary::IsFinite { Number::Truth } else { self.number() };
        self.graph.add(Op::Unary(of, self.id), self.shape(), number)
    }

    fn common(self, other: Self) -> (Self, Self) {
        let (a, b) = (self.shape(), other.shape());
        assert_eq!((a.len(), self.number()), (b.len(), other.number()), "{a:?} and {b:?}");
        let shape: Vec<usize> = a.iter().zip(&b).map(|(&a, &b)| a.max(b)).collect();
        (self.expand(&shape), other.expand(&shape))
    }

    fn binary(self, of: Binary, other: Self) -> Self {
        let (a, b) = self.common(other);
        self.graph.add(Op::Binary(of, a.id, b.id), a.shape(), a.number())
    }

    fn compare(self, of: CompareOp, other: Self) -> Self {
        let (a, b) = self.common(other);
        self.graph.add(Op::Compare(of, a.id, b.id), a.shape(), Number::Truth)
    }

    /// Repeats axes of size 1.
    pub fn expand(self, shape: &[usize]) -> Self {
        let own = self.shape();
        if own == shape {
            return self;
        }
        let fits =
            own.len() == shape.len() && own.iter().zip(shape).all(|(&o, &s)| o == s || o == 1);
        assert!(fits, "{own:?} cannot become {shape:?}");
        self.graph.add(Op::Broadcast(self.id), shape.to_vec(), self.number())
    }

    /// The same elements in row-major order.
    pub fn reshape(self, shape: &[usize]) -> Self {
        let own = self.shape();
        if own == shape {
            return self;
        }
        let fits = own.iter().product::<usize>() == shape.iter().product::<usize>();
        assert!(fits, "{own:?} cannot become {shape:?}");
        self.graph.add(Op::Reshape(self.id), shape.to_vec(), self.number())
    }

    /// Elements `from..to` of an axis.
    pub fn slice(self, axis: usize, from: usize, to: usize) -> Self {
        let mut shape = self.shape();
        assert!(from < to && to <= shape[axis], "{from}..{to} of axis {axis} of {shape:?}");
        if (from, to) == (0, shape[axis]) {
            return self;
        }
        shape[axis] = to - from;
        self.graph.add(Op::Slice { of: self.id, axis, from }, shape, self.number())
    }

    /// The inverse of [`Value::slice`]: zeros around it, up to a size of the axis.
    pub fn pad(self, axis: usize, from: usize, size: usize) -> Self {
        let mut shape = self.shape();
        assert!(from + shape[axis] <= size, "{from} and {} in {size}", shape[axis]);
        shape[axis] = size;
        self.graph.add(Op::Pad { of: self.id, axis, from }, shape, self.number())
    }

    /// Arrays one after the other along an axis.
    pub fn concatenate(all: &[Self], axis: usize) -> Self {
        let first = all[0];
        let mut shape = first.shape();
        shape[axis] = all.iter().map(|t| t.shape()[axis]).sum();
        let ids = all.iter().map(|t| t.id).collect();
        first.graph.add(Op::Concatenate(ids, axis), shape, first.number())
    }

    /// The sum along an axis, which stays with size 1.
    pub fn sum(self, axis: usize) -> Self {
        let mut shape = self.shape();
        if shape[axis] == 1 {
            return self;
        }
        shape[axis] = 1;
        self.graph.add(Op::Sum(self.id, axis), shape, self.number())
    }

    /// The sum along all axes from this one on.
    pub fn sum_from(self, axis: usize) -> Self {
        (axis..self.shape().len()).rev().fold(self, |sum, axis| sum.sum(axis))
    }

    /// Products of the matrices in the last two axes: `[.., m, k]` and `[.., k, n]` give `[.., m, n]`.
    pub fn dot(self, right: Self) -> Self {
        self.dot_over(right, (1, 0))
    }

    /// [`Value::dot`], summed over other axes of the matrices: for each, 0 or 1.
    pub fn dot_over(self, right: Self, over: (usize, usize)) -> Self {
        let (a, b) = (self.shape(), right.shape());
        let axes = a.len() - 2;
        let fits = a[..axes] == b[..axes] && a[axes + over.0] == b[axes + over.1];
        assert!(fits && a.len() == b.len(), "product of {a:?} and {b:?} over {over:?}");
        let mut shape = a[..axes].to_vec();
        shape.extend([a[axes + 1 - over.0], b[axes + 1 - over.1]]);
        self.graph.add(Op::Dot { left: self.id, right: right.id, over }, shape, self.number())
    }

    /// Rows of tables: of `[runs, rows, width]` those that `rows`, `[runs, n]`, says, `[runs, n, width]`. There is no derivative.
    pub fn gather(self, rows: Self) -> Self {
        self.gather_rows(rows, None)
    }

    /// [`Value::gather`] of rows of which none is taken twice, with its derivative: `back`, `[runs, rows]`, says which of the n each row of
    /// the table became, or n where it became none.
    pub fn rearranged(self, rows: Self, back: Self) -> Self {
        let (table, of) = (self.shape(), back.shape());
        assert!(of == table[..2], "{of:?} of {table:?}");
        self.gather_rows(rows, Some(back.id))
    }

    fn gather_rows(self, rows: Self, back: Option<Id>) -> Self {
        let (table, at) = (self.shape(), rows.shape());
        assert!(table.len() == 3 && at.len() == 2 && table[0] == at[0], "{at:?} of {table:?}");
        let shape = vec![at[0], at[1], table[2]];
        self.graph.add(Op::Gather { table: self.id, rows: rows.id, back }, shape, self.number())
    }

    /// Tables, `[runs, table, width]`, with `rows`, `[runs, n, width]`, in place of those from each run's start on; `starts` is `[runs, 1]`, of
    /// numbers up to table − n. There is no derivative.
    pub fn replace_rows(self, rows: Self, starts: Self) -> Self {
        let (table, new, at) = (self.shape(), rows.shape(), starts.shape());
        let fits = table.len() == 3 && new.len() == 3 && at == [table[0], 1];
        let fits = fits && [new[0], new[2]] == [table[0], table[2]] && new[1] <= table[1];
        assert!(fits, "{new:?} at {at:?} of {table:?}");
        let op = Op::ReplaceRows { table: self.id, rows: rows.id, starts: starts.id };
        self.graph.add(op, table, self.number())
    }

    /// To another element type.
    pub fn convert(self, number: Number) -> Self {
        if self.number() == number {
            return self;
        }
        self.graph.add(Op::Convert(self.id), self.shape(), number)
    }

    /// This value with the derivative of another.
    pub fn with_derivative_of(self, source: Self) -> Self {
        assert_eq!(self.shape(), source.shape(), "a value and its derivative's source");
        self.graph.add(Op::Substitute(self.id, Some(source.id)), self.shape(), self.number())
    }

    /// This value as a constant.
    pub fn held(self) -> Self {
        self.graph.add(Op::Substitute(self.id, None), self.shape(), self.number())
    }

    /// Where this holds, elements of `yes`, elsewhere of `no`.
    pub fn select(self, yes: Self, no: Self) -> Self {
        let (yes, no) = yes.common(no);
        let shape: Vec<usize> =
            self.shape().iter().zip(yes.shape()).map(|(&a, b)| a.max(b)).collect();
        let (chosen, yes, no) = (self.expand(&shape), yes.expand(&shape), no.expand(&shape));
        self.graph.add(Op::Select(chosen.id, yes.id, no.id), shape, yes.number())
    }

    /// Equal elements.
    pub fn equals(self, other: Self) -> Self {
        self.compare(CompareOp::Equal, other)
    }

    /// self < other.
    pub fn less(self, other: Self) -> Self {
        self.compare(CompareOp::Less, other)
    }

    /// self ≤ other.
    pub fn at_most(self, other: Self) -> Self {
        self.compare(CompareOp::AtMost, other)
    }

    /// Both hold.
    pub fn and(self, other: Self) -> Self {
        self.binary(Binary::And, other)
    }

    /// The larger; its derivative goes to the second where they are equal.
    pub fn max(self, other: Self) -> Self {
        self.binary(Binary::Maximum, other)
    }

    /// The smaller; its derivative goes to the first where they are equal.
    pub fn min(self, other: Self) -> Self {
        self.binary(Binary::Minimum, other)
    }

    /// Between two numbers.
    pub fn clamp(self, low: f64, high: f64) -> Self {
        self.max(self.filled(low)).min(self.filled(high))
    }

    /// max(x, 0).
    pub fn relu(self) -> Self {
        self.max(self.filled(0.0))
    }

    /// x/(1 + e^−x).
    pub fn silu(self) -> Self {
        self * self.logistic()
    }

    /// ln(1 + e^x), without overflow.
    pub fn softplus(self) -> Self {
        self.relu() + (-self.abs()).exp().ln_1p()
    }

    /// e^x.
    pub fn exp(self) -> Self {
        self.unary(Unary::Exponential)
    }

    /// ln x.
    pub fn ln(self) -> Self {
        self.unary(Unary::Logarithm)
    }

    /// ln(1 + x).
    pub fn ln_1p(self) -> Self {
        self.unary(Unary::LogarithmPlusOne)
    }

    /// tanh x.
    pub fn tanh(self) -> Self {
        self.unary(Unary::Tanh)
    }

    /// 1/(1 + e^−x).
    pub fn logistic(self) -> Self {
        self.unary(Unary::Logistic)
    }

    /// √x.
    pub fn sqrt(self) -> Self {
        self.unary(Unary::SquareRoot)
    }

    /// |x|.
    pub fn abs(self) -> Self {
        self.unary(Unary::Absolute)
    }

    /// Whether the elements are finite.
    pub fn is_finite(self) -> Self {
        self.unary(Unary::IsFinite)
    }

    /// Does not hold.
    #[allow(clippy::should_implement_trait)]
    pub fn not(self) -> Self {
        self.unary(Unary::Not)
    }

    /// 1 where this holds, 0 elsewhere, as single-precision numbers.
    pub fn indicator(self) -> Self {
        self.convert(Number::Single)
    }
}

macro_rules! operator {
    ($trait:ident $method:ident $of:ident) => {
        impl<'g> $trait for Value<'g> {
            type Output = Value<'g>;
            fn $method(self, other: Self) -> Self {
                self.binary(Binary::$of, other)
            }
        }

        impl<'g> $trait<f64> for Value<'g> {
            type Output = Value<'g>;
            fn $method(self, other: f64) -> Self {
                self.binary(Binary::$of, self.filled(other))
            }
        }
    };
}

operator!(Add add Add);
operator!(Sub sub Subtract);
operator!(Mul mul Multiply);
operator!(Div div Divide);

impl Neg for Value<'_> {
    type Output = Self;
    fn neg(self) -> Self {
        self.unary(Unary::Negate)
    }
}
