//! Derivatives of the functions of one and of two numbers, which both modes share.

use super::build::Value;
use super::node::{Binary, Unary};

/// What a function's change is, given its argument's: the same linear map for both modes, since it acts element by element. `x` is the
/// argument, `y` the value; `None` where the derivative is 0.
pub(super) fn unary<'g>(
    of: Unary,
    x: Value<'g>,
    y: Value<'g>,
    change: Value<'g>,
) -> Option<Value<'g>> {
    Some(match of {
        Unary::Negate => -change,
        Unary::Exponential => change * y,
        Unary::Logarithm => change / x,
        Unary::LogarithmPlusOne => change / (x + 1.0),
        Unary::Tanh => change * (y.filled(1.0) - y * y),
        Unary::Logistic => change * (y * (y.filled(1.0) - y)),
        Unary::SquareRoot => change * 0.5 / y,
        Unary::Absolute => x.less(x.filled(0.0)).select(-change, change),
        Unary::IsFinite | Unary::Not => return None,
    })
}

/// A function's change by each of its two arguments' `change`s, element by element; `None` where it has none.
pub(super) fn binary<'g>(
    of: Binary,
    (a, b): (Value<'g>, Value<'g>),
    y: Value<'g>,
    (by_a, by_b): (Option<Value<'g>>, Option<Value<'g>>),
) -> (Option<Value<'g>>, Option<Value<'g>>) {
    let zero = y.filled(0.0);
    match of {
        Binary::Add => (by_a, by_b),
        Binary::Subtract => (by_a, by_b.map(|c| -c)),
        Binary::Multiply => (by_a.map(|c| c * b), by_b.map(|c| c * a)),
        Binary::Divide => (by_a.map(|c| c / b), by_b.map(|c| -(c * y) / b)),
        Binary::Maximum => {
            let first = b.less(a);
            (by_a.map(|c| first.select(c, zero)), by_b.map(|c| first.select(zero, c)))
        }
        Binary::Minimum => {
            let second = b.less(a);
            (by_a.map(|c| second.select(zero, c)), by_b.map(|c| second.select(c, zero)))
        }
        Binary::And => (None, None),
    }
}
