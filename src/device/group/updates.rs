//! Programs that make updates: how many a call makes, and its draws on their way to the device.

use rayon::prelude::*;

use super::dealing::{DealtColumns, DealtProgram};
use super::draws::Columns;
use super::learned::LearnedArrays;
use super::parts::LearnedParts;
use super::recipe::Recipe;
use super::update_kind::UpdateKind;
use crate::device::graph::ProductPrecision;
use crate::device::pjrt::{Buffer, Device, DeviceError};
use crate::device::programs::{FACTORS, LearnerShape};

/// A compiled program that makes some updates in a row. Arguments: the learned arrays, those of models, rows
/// `[slots, updates, batch, width]`, factors `[slots, updates, 1, FACTORS]`, and where rows are dealt out to elites,
/// `[slots, updates·H·models, elites·places]` of them. It returns the learned arrays and what the updates saw.
pub(super) struct UpdateProgram {
    pub kind: UpdateKind,
    pub shape: LearnerShape,
    precision: ProductPrecision,
    program: DealtProgram,
    /// Updates of a call.
    pub per_call: usize,
    width: usize,
    staged: Staged,
}

/// The draws of a call on the host.
#[derive(Default)]
struct Staged {
    rows: Vec<f32>,
    factors: Vec<f32>,
}

/// The draws of a call on the device.
pub(super) struct DrawnCall {
    arrays: Vec<Buffer>,
    dealt: bool,
}

/// Updates of a call, out of those of a step. A longer program takes longer to compile, which processors do slowly; on accelerators it
/// saves starts where updates are short, as the critic's are.
fn per_call(platform: &str, kind: &UpdateKind, updates: usize) -> usize {
    let most = match kind {
        _ if platform == "cpu" => 2,
        UpdateKind::Path(_) => 1,
        UpdateKind::Critic | UpdateKind::Together => 5,
    };
    (1..=most.min(updates)).rev().find(|&n| updates.is_multiple_of(n)).unwrap_or(1)
}

impl UpdateProgram {
    /// The program for a step of so many updates.
    pub fn compile(
        device: &Device,
        shape: &LearnerShape,
        kind: UpdateKind,
        updates: usize,
        precision: ProductPrecision,
    ) -> Result<Self, DeviceError> {
        let per_call = per_call(&device.platform, &kind, updates);
        let text = |dealt: Option<&DealtColumns>| kind.program(shape, per_call, dealt, precision);
        let program = DealtProgram::compile(device, kind.dealt(shape), text)?;
        let (shape, width, staged) = (shape.clone(), kind.width(shape), Staged::default());
        Ok(Self { kind, shape, precision, program, per_call, width, staged })
    }

    /// The phase of a step that its time counts to.
    pub fn phase(&self) -> &'static str {
        match self.kind {
            UpdateKind::Path(_) => "policy",
            UpdateKind::Critic => "critic",
            UpdateKind::Together => "updates",
        }
    }

    /// Draws so many updates of the runs that are there, and has them made; what they saw is there when the device is that far.
    pub fn run(
        &mut self,
        device: &Device,
        recipe: &Recipe,
        arrays: &mut LearnedArrays,
        models: &[&Buffer],
        runs: &mut [Option<LearnedParts<'_>>],
        updates: usize,
    ) -> Result<Vec<Buffer>, DeviceError> {
        let mut seen = Vec::new();
        for _ in 0..updates / self.per_call {
            let drawn = self.draw(device, recipe, runs)?;
            seen.push(self.call(device, arrays, models, &drawn)?);
        }
        Ok(seen)
    }

    /// Numbers that a call tells of a slot.
    pub fn seen(&self) -> usize {
        self.per_call * self.kind.seen()
    }

    /// Draws the updates of a call and brings them to the device.
    pub fn draw(
        &mut self,
        device: &Device,
        recipe: &Recipe,
        runs: &mut [Option<LearnedParts<'_>>],
    ) -> Result<DrawnCall, DeviceError> {
        let Self { kind, shape, per_call: k, width, staged, program, .. } = self;
        let (k, width, slots, batch) = (*k, *width, shape.runs(), shape.batch);
        staged.rows.resize(slots * k * batch * width, 0.0);
        staged.factors.resize(slots * k * FACTORS, 0.0);
        // A slot whose run is not there makes no step, on whatever numbers.
        staged.factors.fill(0.0);
        let each = staged.rows.par_chunks_mut(k * batch * width);
        let places = each.zip(staged.factors.par_chunks_mut(k * FACTORS));
        runs.par_iter_mut().zip(places).for_each(|(run, (rows, factors))| {
            let Some(parts) = run else { return };
            for (ahead, factors) in factors.chunks_exact_mut(FACTORS).enumerate() {
                factors.copy_from_slice(&LearnedArrays::factors(parts, ahead as u64));
            }
            for out in rows.chunks_exact_mut(batch * width) {
                kind.draw(parts, recipe, shape, &mut Columns { out, width });
            }
            kind.count(parts, k as u64);
        });
        let learns: Vec<bool> = runs.iter().map(Option::is_some).collect();
        let Staged { rows, factors } = staged;
        let places = program.deal(device, k, &learns, rows)?;
        let dealt = places.is_some();
        let mut arrays = vec![
            device.upload(rows, &[slots, k, batch, width])?,
            device.upload(factors, &[slots, k, 1, FACTORS])?,
        ];
        arrays.extend(places);
        Ok(DrawnCall { arrays, dealt })
    }

    /// Makes the updates of a call; what they saw.
    pub fn call(
        &mut self,
        device: &Device,
        arrays: &mut LearnedArrays,
        models: &[&Buffer],
        drawn: &DrawnCall,
    ) -> Result<Buffer, DeviceError> {
        let Self { kind, shape, precision, program, per_call, .. } = self;
        let text = |dealt: Option<&DealtColumns>| kind.program(shape, *per_call, dealt, *precision);
        let program = program.of(device, drawn.dealt, text)?;
        let learned = arrays.buffers.iter();
        let arguments: Vec<&Buffer> =
            learned.chain(models.iter().copied()).chain(&drawn.arrays).collect();
        let mut outputs = program.run(&arguments)?;
        let seen = outputs.pop().expect("a program tells what it saw");
        arrays.buffers = outputs;
        Ok(seen)
    }
}
