//! What updates saw, fetched from the device.

use crate::device::pjrt::{Buffer, DeviceError};

/// What the updates of a step saw.
pub(super) struct Readings {
    /// Of each call, `[slots, numbers]`.
    calls: Vec<Vec<f32>>,
    numbers: usize,
}

impl Readings {
    /// Waits for calls of which each tells so many numbers of a slot.
    pub fn fetch(calls: &[Buffer], slots: usize, numbers: usize) -> Result<Self, DeviceError> {
        let fetch = |call: &Buffer| {
            let mut seen = vec![0.0_f32; slots * numbers];
            call.download(&mut seen)?;
            Ok(seen)
        };
        Ok(Self { calls: calls.iter().map(fetch).collect::<Result<_, _>>()?, numbers })
    }

    /// What a slot's saw, call by call.
    pub fn of(&self, slot: usize) -> impl Iterator<Item = &[f32]> {
        self.calls.iter().map(move |call| &call[slot * self.numbers..][..self.numbers])
    }
}
