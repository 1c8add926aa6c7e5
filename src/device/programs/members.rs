//! A minibatch through the members of an ensemble that its rows drew.

use super::network::StackShape;
use crate::device::graph::{Number, Value};

/// Which member each row of a minibatch is for.
#[derive(Clone, Copy, Debug)]
pub enum DrawnMembers<'g> {
    /// Its number, `[runs, 1, rows, 1]`: all members run on all rows, and one's output is kept.
    Numbers(Value<'g>),
    /// Rows are dealt out: a member runs on its own rows alone, in so many places as each member has.
    Dealt {
        /// Each row's place among those of all members, member by member, `[runs, rows]`.
        places: Value<'g>,
        /// The row in each place, `[runs, members·places]`; the number of rows where there is none.
        rows: Value<'g>,
    },
}

impl<'g> DrawnMembers<'g> {
    /// Those in a column of draws, `[runs, 1, rows, 1]`, and where they are dealt out, in the rows of a draw, number `draw` of
    /// `[runs, draws, members·places]`: the column has places then.
    pub fn of(column: Value<'g>, dealt: Option<(Value<'g>, usize)>) -> Self {
        let Some((dealt, draw)) = dealt else { return Self::Numbers(column) };
        let (of_column, of_dealt) = (column.shape(), dealt.shape());
        Self::Dealt {
            places: column.convert(Number::Index).reshape(&[of_column[0], of_column[2]]),
            rows: dealt.slice(1, draw, draw + 1).reshape(&[of_dealt[0], of_dealt[2]]),
        }
    }

    /// The output of each row's member for `input`, `[runs, 1, rows, inputs]`.
    pub fn outputs(
        self,
        stack: &StackShape,
        parameters: &[Value<'g>],
        input: Value<'g>,
    ) -> Value<'g> {
        let (runs, members) = (stack.runs, stack.networks);
        match self {
            Self::Numbers(drawn) => own(drawn, stack.forward(parameters, input)),
            Self::Dealt { places, rows } => {
                let (n, all) = (places.shape()[1], rows.shape()[1]);
                let [inputs, outputs] = [0, stack.sizes.len() - 1].map(|l| stack.sizes[l]);
                // A row of zeros is in the places without a row.
                let nowhere = places.slice(1, 0, 1).filled(all as f64);
                let back = Value::concatenate(&[places, nowhere], 1);
                let table = input.reshape(&[runs, n, inputs]).pad(1, 0, n + 1);
                let dealt = table.rearranged(rows, back);
                let dealt = dealt.reshape(&[runs, members, all / members, inputs]);
                let output = stack.forward(parameters, dealt);
                let output = output.reshape(&[runs, all, outputs]).rearranged(places, rows);
                output.reshape(&[runs, 1, n, outputs])
            }
        }
    }

    /// What each row's member has of an array of all members, `[runs, members, 1, width]`, as a constant.
    pub fn constants(self, of: Value<'g>) -> Value<'g> {
        let [runs, members, _, width] = of.shape()[..] else { unreachable!("an array of members") };
        match self {
            Self::Numbers(drawn) => own(drawn, of),
            Self::Dealt { places, rows } => {
                let (n, all) = (places.shape()[1], rows.shape()[1]);
                let spread = of.expand(&[runs, members, all / members, width]);
                let own = spread.reshape(&[runs, all, width]).gather(places);
                own.reshape(&[runs, 1, n, width])
            }
        }
    }
}

/// Of an array of all members, `[runs, members, …]`, what each row's member has.
fn own<'g>(drawn: Value<'g>, of: Value<'g>) -> Value<'g> {
    let one = |m: usize| of.slice(1, m, m + 1);
    (1..of.shape()[1])
        .fold(one(0), |chosen, m| drawn.equals(drawn.filled(m as f64)).select(one(m), chosen))
}
