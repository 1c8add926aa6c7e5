//! The runs' transitions on the device, a table each. They stay there; a training brings what is new.

use rayon::prelude::*;

use crate::data::Replay;
use crate::device::graph::{Graph, Number, ProductPrecision, Program};
use crate::device::pjrt::{Buffer, Device, DeviceError, Executable};

/// Fewest rows of a table.
pub(super) const LEAST_TABLE: usize = 1024;
/// A run's table has as many rows from the beginning as the run has steps, but not more than these: beyond them it doubles as transitions come in.
const MOST_AT_FIRST: u64 = 131_072;
/// Rows of a run that a call brings.
const ROWS_OF_A_CALL: usize = 256;
/// More calls than these take longer than bringing the whole.
const MOST_CALLS: usize = 8;

/// Rows of the tables of runs of so many steps that have so many transitions.
pub(super) fn table_rows(steps: u64, capacity: usize, transitions: usize) -> usize {
    let foreseen = steps.min(MOST_AT_FIRST).min(capacity as u64) as usize;
    foreseen.max(transitions).next_power_of_two().max(LEAST_TABLE)
}

/// The tables, `[slots, rows, width]`.
pub(super) struct TransitionTables {
    slots: usize,
    pub rows: usize,
    /// Numbers of an input, and of a row: (s, a), then (r, Δs).
    inputs: usize,
    width: usize,
    /// Before the first training there are none.
    buffer: Option<Buffer>,
    /// How many transitions had ever been pushed when a slot's were brought; 0 where its run was away since.
    known: Vec<u64>,
    /// What a call brings.
    staging: Vec<f32>,
}

impl TransitionTables {
    /// None yet, for slots with tables of so many rows.
    pub fn new(slots: usize, rows: usize, (inputs, labels): (usize, usize)) -> Self {
        let (width, known) = (inputs + labels, vec![0; slots]);
        Self { slots, rows, inputs, width, buffer: None, known, staging: Vec::new() }
    }

    /// Makes the tables larger if these do not hold the transitions; whether they were too small.
    pub fn grow(&mut self, reals: &[Option<&Replay>]) -> bool {
        let longest = reals.iter().flatten().map(|real| real.len()).max().unwrap_or(0);
        let grows = longest > self.rows;
        if grows {
            self.rows = longest.next_power_of_two();
            self.buffer = None;
        }
        grows
    }

    /// The program that brings rows. Arguments: tables, rows `[slots, ROWS_OF_A_CALL, width]`, and where each slot's begin. It returns the
    /// tables.
    pub fn program(&self, precision: ProductPrecision) -> Program {
        let graph = Graph::new();
        let Self { slots, rows, width, .. } = *self;
        let tables = graph.argument(&[slots, rows, width], Number::Single);
        let new = graph.argument(&[slots, ROWS_OF_A_CALL, width], Number::Single);
        let starts = graph.argument(&[slots, 1], Number::Index);
        graph.program(&[tables.replace_rows(new, starts)], &[(tables, 0)], precision)
    }

    /// The tables as of the last update.
    pub fn buffer(&self) -> &Buffer {
        self.buffer.as_ref().expect("transitions were brought before a training")
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> Result<u64, DeviceError> {
        self.buffer.as_ref().map_or(Ok(0), Buffer::bytes)
    }

    /// Brings what the runs that are there have stored since the last time, with the compiled [`TransitionTables::program`].
    pub fn update(
        &mut self,
        device: &Device,
        program: &Executable,
        reals: &[Option<&Replay>],
    ) -> Result<(), DeviceError> {
        for slot in 0..self.slots {
            if reals.get(slot).copied().flatten().is_none() {
                self.known[slot] = 0;
            }
        }
        let calls = reals.iter().zip(&self.known).map(|(real, &known)| {
            real.map_or(0, |real| (real.pushed() - known).div_ceil(ROWS_OF_A_CALL as u64))
        });
        let calls = calls.max().unwrap_or(0);
        let Some(mut tables) = self.buffer.take().filter(|_| calls <= MOST_CALLS as u64) else {
            return self.bring_all(device, reals);
        };
        let behind = |known: &[u64]| {
            reals.iter().zip(known).any(|(real, &known)| real.is_some_and(|r| known < r.pushed()))
        };
        while behind(&self.known) {
            let starts = self.stage(reals);
            let rows = [self.slots, ROWS_OF_A_CALL, self.width];
            let rows = device.upload(&self.staging, &rows)?;
            let starts = device.upload(&starts, &[self.slots, 1])?;
            tables = program.run(&[&tables, &rows, &starts])?.pop().expect("it returns the tables");
        }
        self.buffer = Some(tables);
        Ok(())
    }

    /// Brings the tables whole.
    fn bring_all(&mut self, device: &Device, reals: &[Option<&Replay>]) -> Result<(), DeviceError> {
        let Self { slots, rows, inputs, width, .. } = *self;
        let mut tables = vec![0.0_f32; slots * rows * width];
        tables.par_chunks_mut(rows * width).zip(reals).for_each(|(table, real)| {
            real.iter().for_each(|real| write_rows(table, real, 0, (inputs, width)));
        });
        self.buffer = Some(device.upload(&tables, &[slots, rows, width])?);
        for (known, real) in self.known.iter_mut().zip(reals) {
            *known = real.map_or(0, Replay::pushed);
        }
        Ok(())
    }

    /// Stages the next rows of every slot; where they begin. A call writes so many rows of each, so that some are written again as they
    /// are, and beyond the transitions zeros, which nobody reads.
    fn stage(&mut self, reals: &[Option<&Replay>]) -> Vec<i32> {
        let Self { slots, rows, inputs, width, known, staging, .. } = self;
        let each = ROWS_OF_A_CALL * *width;
        staging.clear();
        staging.resize(*slots * each, 0.0);
        let mut starts = vec![0_i32; *slots];
        let of_slots = staging.chunks_exact_mut(each).zip(&mut starts).zip(known).zip(reals);
        for (((staging, start), known), real) in of_slots {
            let Some(real) = real.filter(|real| *known < real.pushed()) else {
                // What is there stays, or is written again as it is.
                if let Some(real) = real {
                    write_rows(staging, real, 0, (*inputs, *width));
                }
                continue;
            };
            // The oldest have given way to newer ones.
            let next = (*known).max(real.pushed() - real.len() as u64);
            let row = real.row_of(next);
            let first = row.min(*rows - ROWS_OF_A_CALL);
            write_rows(staging, real, first, (*inputs, *width));
            // A ring goes on at its beginning.
            let end = (first + ROWS_OF_A_CALL).min(real.capacity());
            *known = real.pushed().min(next + (end - row) as u64);
            *start = first as i32;
        }
        starts
    }
}

/// Writes a replay's rows from `first` on into rows of a table, as many as it has and there is room for.
fn write_rows(to: &mut [f32], real: &Replay, first: usize, (inputs, width): (usize, usize)) {
    for (row, to) in (first..real.len()).zip(to.chunks_exact_mut(width)) {
        let t = real.get(row);
        let (x, y) = to.split_at_mut(inputs);
        x.iter_mut().enumerate().for_each(|(d, x)| *x = t.input(d));
        y.iter_mut().enumerate().for_each(|(d, y)| *y = t.label(d));
    }
}
