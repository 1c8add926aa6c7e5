//! Minibatches of a step on the host, on their way to the device: the same memory at each step.

use crate::device::pjrt::{Buffer, Device, DeviceError};
use crate::device::programs::{FIT_FACTORS, FitRowSizes};

/// The arrays of a step, those of all places one after the other.
#[derive(Debug, Default)]
pub(super) struct FitStaging {
    factors: Vec<f32>,
    rows: Vec<i32>,
    shares: Vec<f32>,
    own: Vec<i32>,
    neighbours: Vec<i32>,
    weights: Vec<f32>,
}

/// A run's part of them.
#[derive(Debug)]
pub(super) struct FitMinibatch<'s> {
    /// Adam's, and that the run takes the step.
    pub factors: &'s mut [f32],
    /// `[members, batch]`.
    pub rows: &'s mut [i32],
    /// `[batch]`.
    pub shares: &'s mut [f32],
    /// R's rows, `[members, window batch]`; empty without R, as the next two are.
    pub own: &'s mut [i32],
    /// `[m, members, window batch]`.
    pub neighbours: &'s mut [i32],
    /// Of the squared residuals in the loss, `[members, window batch, m]`.
    pub weights: &'s mut [f32],
}

fn clear<T: Clone + Default>(array: &mut Vec<T>, sizes: Option<&[usize]>) {
    array.clear();
    array.resize(sizes.map_or(0, |sizes| sizes.iter().product()), T::default());
}

/// The first `n` of what is left.
fn next<'s, T>(rest: &mut &'s mut [T], n: usize) -> &'s mut [T] {
    let (first, others) = std::mem::take(rest).split_at_mut(n);
    *rest = others;
    first
}

impl FitStaging {
    /// Zeros, as many as steps of these sizes take.
    pub fn begin(&mut self, sizes: &FitRowSizes) {
        let of_r = sizes.directions.as_ref();
        clear(&mut self.factors, Some(&sizes.factors));
        clear(&mut self.rows, Some(&sizes.rows));
        clear(&mut self.shares, Some(&sizes.shares));
        clear(&mut self.own, of_r.map(|of| &of.rows[..]));
        clear(&mut self.neighbours, of_r.map(|of| &of.neighbours[..]));
        clear(&mut self.weights, of_r.map(|of| &of.weights[..]));
    }

    /// The parts of all places. Who does not write into its own takes no part.
    pub fn places(&mut self) -> Vec<FitMinibatch<'_>> {
        let count = self.factors.len() / FIT_FACTORS;
        self.factors.fill(0.0);
        let Self { factors, rows, shares, own, neighbours, weights } = self;
        let each = |n: usize| n / count;
        let sizes = [rows.len(), shares.len(), own.len(), neighbours.len(), weights.len()];
        let [of_rows, of_shares, of_own, of_neighbours, of_weights] = sizes.map(each);
        let (mut factors, mut rows, mut shares) =
            (&mut factors[..], &mut rows[..], &mut shares[..]);
        let (mut own, mut neighbours, mut weights) =
            (&mut own[..], &mut neighbours[..], &mut weights[..]);
        let place = |_| FitMinibatch {
            factors: next(&mut factors, FIT_FACTORS),
            rows: next(&mut rows, of_rows),
            shares: next(&mut shares, of_shares),
            own: next(&mut own, of_own),
            neighbours: next(&mut neighbours, of_neighbours),
            weights: next(&mut weights, of_weights),
        };
        (0..count).map(place).collect()
    }

    /// Brings them to the device.
    pub fn upload(&self, device: &Device, sizes: &FitRowSizes) -> Result<Vec<Buffer>, DeviceError> {
        let mut given = vec![
            device.upload(&self.factors, &sizes.factors)?,
            device.upload(&self.rows, &sizes.rows)?,
            device.upload(&self.shares, &sizes.shares)?,
        ];
        if let Some(of) = &sizes.directions {
            given.push(device.upload(&self.own, &of.rows)?);
            given.push(device.upload(&self.neighbours, &of.neighbours)?);
            given.push(device.upload(&self.weights, &of.weights)?);
        }
        Ok(given)
    }
}
