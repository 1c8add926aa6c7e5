//! Rows of a policy's minibatch dealt out to the members of a model that were drawn for them, so that each member runs on its own rows alone: a
//! fifth of all rows where there are five, and some places more, since draws are uneven.

use rayon::prelude::*;

use crate::device::graph::Program;
use crate::device::pjrt::{Buffer, Device, DeviceError, Executable};

/// How likely the rows of one member may outnumber its places, at most: hardly once in 10⁵ runs of 10⁵ steps. Where they do, all members run
/// on all rows.
const OVERFLOW: f64 = 1e-12;
/// Places are a multiple of it, as products' tiles are.
const STEP: usize = 8;
/// Places over rows of a member above which dealing is not worth its gathers.
const WORTH: f64 = 0.75;

/// What is dealt: draws of so many rows, and so many places for each member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dealing {
    pub rows: usize,
    pub members: usize,
    /// Places of a member.
    pub places: usize,
}

impl Dealing {
    /// For minibatches of so many rows; `None` where all members may as well run on all rows.
    pub fn of(rows: usize, members: usize) -> Option<Self> {
        let fits = |places: &usize| overflow(rows, members, *places) < OVERFLOW;
        let places = (STEP..=rows).step_by(STEP).find(fits)?;
        let worth = places as f64 <= WORTH * rows as f64;
        worth.then_some(Self { rows, members, places })
    }

    /// Places of all members.
    pub fn all(&self) -> usize {
        self.members * self.places
    }

    /// Whether each member has places for its rows: `numbers` are those of a minibatch's rows, `width` each, of which the one in `column` is the
    /// row's member.
    fn fits(&self, numbers: &[f32], width: usize, column: usize) -> bool {
        let mut counts = vec![0; self.members];
        numbers.chunks_exact(width).for_each(|row| counts[row[column] as usize] += 1);
        counts.iter().all(|&count| count <= self.places)
    }

    /// Deals a minibatch that [fits](Self::fits) out: each row's member becomes its place, and `rows`, one for each place, the row that has it, or the
    /// number of rows where none has.
    fn deal(&self, numbers: &mut [f32], width: usize, column: usize, rows: &mut [i32]) {
        rows.fill(self.rows as i32);
        let mut next: Vec<usize> = (0..self.members).map(|member| member * self.places).collect();
        for (i, row) in numbers.chunks_exact_mut(width).enumerate() {
            let next = &mut next[row[column] as usize];
            rows[*next] = i as i32;
            row[column] = *next as f32;
            *next += 1;
        }
    }
}

/// The columns of a call's draws that are dealt out.
#[derive(Clone, Debug)]
pub(super) struct DealtColumns {
    pub dealing: Dealing,
    /// Of a row's numbers, those that are drawn members.
    pub columns: Vec<usize>,
    /// Numbers of a row.
    pub width: usize,
}

impl DealtColumns {
    /// Deals the rows of a call's updates out, `[slots, updates, rows, width]`. `dealt` becomes the row in each place,
    /// `[slots, updates·columns, members·places]`; of a slot that does not learn it means nothing. False, and nothing is dealt, where a member was drawn
    /// too often in a slot that learns.
    pub fn deal(
        &self,
        updates: usize,
        learns: &[bool],
        rows: &mut [f32],
        dealt: &mut Vec<i32>,
    ) -> bool {
        let Self { dealing, columns, width } = self;
        let minibatch = dealing.rows * width;
        let slot = updates * minibatch;
        let fits = learns.par_iter().zip(rows.par_chunks(slot)).all(|(learns, rows)| {
            let of = |rows: &[f32]| columns.iter().all(|&c| dealing.fits(rows, *width, c));
            !learns || rows.chunks_exact(minibatch).all(of)
        });
        if !fits {
            return false;
        }
        let each = updates * columns.len() * dealing.all();
        dealt.resize(rows.len() / slot * each, 0);
        let slots = rows.par_chunks_mut(slot).zip(dealt.par_chunks_mut(each));
        learns.par_iter().zip(slots).filter(|(learns, _)| **learns).for_each(
            |(_, (rows, dealt))| {
                let mut dealt = dealt.chunks_exact_mut(dealing.all());
                for rows in rows.chunks_exact_mut(minibatch) {
                    for (&column, dealt) in columns.iter().zip(&mut dealt) {
                        dealing.deal(rows, *width, column, dealt);
                    }
                }
            },
        );
        true
    }
}

/// A program of updates whose rows are dealt out, where that is worth it and the draws have places.
pub(super) struct DealtProgram {
    columns: Option<DealtColumns>,
    program: Executable,
    /// The same without dealing, for draws that have no places: compiled when it is needed, which is hardly ever.
    undealt: Option<Executable>,
    /// The row in each place, of the last call's draws.
    rows: Vec<i32>,
}

impl DealtProgram {
    /// Compiles what `text` says for these columns, which may be none.
    pub fn compile(
        device: &Device,
        columns: Option<DealtColumns>,
        text: impl Fn(Option<&DealtColumns>) -> Program,
    ) -> Result<Self, DeviceError> {
        let text = text(columns.as_ref());
        let program = device.compile(&text.text, text.outputs)?;
        Ok(Self { columns, program, undealt: None, rows: Vec::new() })
    }

    /// [Deals](DealtColumns::deal) the rows of a call's updates out and brings the row in each place to the device; `None` where nothing is
    /// dealt.
    pub fn deal(
        &mut self,
        device: &Device,
        updates: usize,
        learns: &[bool],
        rows: &mut [f32],
    ) -> Result<Option<Buffer>, DeviceError> {
        let Some(columns) = &self.columns else { return Ok(None) };
        if !columns.deal(updates, learns, rows, &mut self.rows) {
            return Ok(None);
        }
        let DealtColumns { dealing, columns, width } = columns;
        let slots = rows.len() / (updates * dealing.rows * width);
        let sizes = [slots, updates * columns.len(), dealing.all()];
        device.upload(&self.rows, &sizes).map(Some)
    }

    /// The program for draws that were dealt out, or were not.
    pub fn of(
        &mut self,
        device: &Device,
        dealt: bool,
        text: impl Fn(Option<&DealtColumns>) -> Program,
    ) -> Result<&Executable, DeviceError> {
        if dealt || self.columns.is_none() {
            return Ok(&self.program);
        }
        if self.undealt.is_none() {
            let text = text(None);
            self.undealt = Some(device.compile(&text.text, text.outputs)?);
        }
        Ok(self.undealt.as_ref().expect("it has just been compiled"))
    }
}

/// A bound of the probability that one of the members is drawn for more than `places` of some rows (Chernoff).
fn overflow(rows: usize, members: usize, places: usize) -> f64 {
    let (n, p) = (rows as f64, 1.0 / members as f64);
    let q = (places + 1) as f64 / n;
    if q >= 1.0 {
        return 0.0;
    }
    if q <= p {
        return 1.0;
    }
    let divergence = q * (q / p).ln() + (1.0 - q) * ((1.0 - q) / (1.0 - p)).ln();
    members as f64 * (-n * divergence).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::graph::{Graph, Number, ProductPrecision};
    use crate::rng::Rng;

    /// XLA's plugin for processors, fetched on first use.
    fn device() -> Device {
        let tool = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/pjrt-cpu");
        let output = std::process::Command::new(tool).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
        Device::open(String::from_utf8(output.stdout).unwrap().trim().as_ref()).unwrap()
    }

    #[test]
    fn places_are_enough_and_fewer_than_rows() {
        let dealing = Dealing::of(256, 5).unwrap();
        assert_eq!(dealing.places, 104);
        // One member, or few rows: nothing is saved.
        assert_eq!((Dealing::of(256, 1), Dealing::of(16, 5)), (None, None));
        // Of 20 000 draws none is near; the largest count of an member is about 51 + 4.5·6.4.
        let mut rng = Rng::new(1, "dealing");
        for _ in 0..20_000 {
            let mut counts = [0; 5];
            (0..256).for_each(|_| counts[rng.below(5)] += 1);
            assert!(counts.iter().all(|&n| n < 95), "{counts:?}");
        }
    }

    #[test]
    fn each_row_has_a_place_of_its_member() {
        let dealing = Dealing { rows: 5, members: 2, places: 3 };
        let drawn = [1.0, 0.0, 1.0, 1.0, 0.0];
        let mut numbers: Vec<f32> = drawn.iter().flat_map(|&member| [7.0, member]).collect();
        let mut rows = [0; 6];
        assert!(dealing.fits(&numbers, 2, 1));
        assert!(!Dealing { places: 2, ..dealing }.fits(&numbers, 2, 1));
        dealing.deal(&mut numbers, 2, 1, &mut rows);
        assert_eq!(rows, [1, 4, 5, 0, 2, 3]);
        assert_eq!(numbers, [7.0, 3.0, 7.0, 0.0, 7.0, 4.0, 7.0, 5.0, 7.0, 1.0]);
    }

    #[test]
    fn draws_without_places_run_undealt_and_the_next_are_dealt_again() {
        let device = &device();
        let dealing = Dealing { rows: 4, members: 2, places: 3 };
        let columns = DealtColumns { dealing, columns: vec![0], width: 1 };
        // Programs that say which of the two they are.
        let text = |columns: Option<&DealtColumns>| {
            let graph = Graph::new();
            let value = if columns.is_some() { 1.0 } else { 2.0 };
            let said = graph.argument(&[2], Number::Single).filled(value);
            graph.program(&[said], &[], ProductPrecision::Single)
        };
        let mut program = DealtProgram::compile(device, Some(columns), text).unwrap();
        let mut says = |drawn: [f32; 8], learns: [bool; 2]| {
            let mut rows = drawn;
            let dealt = program.deal(device, 1, &learns, &mut rows).unwrap();
            let any = device.upload(&[0.0_f32; 2], &[2]).unwrap();
            let program = program.of(device, dealt.is_some(), text).unwrap();
            let mut said = [0.0_f32; 2];
            program.run(&[&any]).unwrap()[0].download(&mut said).unwrap();
            (said[0], rows == drawn)
        };
        let (even, uneven) = ([0.0, 1.0, 0.0, 1.0], [1.0; 4]);
        let both = |a: [f32; 4], b: [f32; 4]| [a, b].concat().try_into().unwrap();
        assert_eq!(says(both(even, even), [true; 2]), (1.0, false));
        // One run's draws suffice, if it learns; the draws stay as they were.
        assert_eq!(says(both(even, uneven), [true; 2]), (2.0, true));
        assert_eq!(says(both(even, uneven), [true, false]), (1.0, false));
        assert_eq!(says(both(even, even), [true; 2]), (1.0, false));
    }
}
