//! What updates saw, fetched from the device.

use crate::device::pjrt::{Buffer, DeviceError, Download};

/// What updates saw, on its way to the host.
pub(super) struct ReadingsDownload {
    calls: Vec<Download<f32>>,
    numbers: usize,
}

/// What the updates of a step saw.
pub(super) struct Readings {
    /// Of each call, `[slots, numbers]`.
    calls: Vec<Vec<f32>>,
    numbers: usize,
}

impl Readings {
    /// Begins to fetch what calls saw, of which each tells so many numbers of a slot.
    pub fn fetch(
        calls: &[Buffer],
        slots: usize,
        numbers: usize,
    ) -> Result<ReadingsDownload, DeviceError> {
        let fetch = |call: &Buffer| call.download_later(vec![0.0; slots * numbers]);
        Ok(ReadingsDownload { calls: calls.iter().map(fetch).collect::<Result<_, _>>()?, numbers })
    }

    /// What a slot's saw, call by call.
    pub fn of(&self, slot: usize) -> impl Iterator<Item = &[f32]> {
        self.calls.iter().map(move |call| &call[slot * self.numbers..][..self.numbers])
    }
}

impl ReadingsDownload {
    /// Waits for the calls.
    pub fn wait(self) -> Result<Readings, DeviceError> {
        let calls = self.calls.into_iter().map(Download::wait).collect::<Result<_, _>>()?;
        Ok(Readings { calls, numbers: self.numbers })
    }
}
