//! Arrays on their way to the host, so that several come back while the device works on.

use std::sync::Arc;

use super::api::{BufferToHost, Handle};
use super::client::{Buffer, DeviceElement, PluginClient};
use super::plugin::DeviceError;

const WHAT: &str = "give an array back";

/// An array that is being copied to the host.
#[derive(Debug)]
pub struct Download<T> {
    owner: Arc<PluginClient>,
    /// Where the copy is written until `done`; nobody else has it.
    data: Vec<T>,
    /// Null when it has been waited for.
    done: Handle,
}

// SAFETY: an event may be waited for from any thread, and the numbers are owned.
unsafe impl<T: Send> Send for Download<T> {}

impl Buffer {
    /// Begins to copy the array, row-major, into `data`, which must have as many elements. The copy is made when the array is there.
    ///
    /// # Errors
    /// When the device refuses.
    pub fn download_later<T: DeviceElement>(
        &self,
        mut data: Vec<T>,
    ) -> Result<Download<T>, DeviceError> {
        let arguments = BufferToHost {
            buffer: self.handle,
            layout: std::ptr::null_mut(),
            to: data.as_mut_ptr().cast(),
            to_size: size_of_val(&data[..]),
            done: std::ptr::null_mut(),
        };
        let copied = self.owner.plugin.call(WHAT, arguments)?;
        // The vector's memory stays where it is until the event: a `Download` that is forgotten leaks it.
        Ok(Download { owner: Arc::clone(&self.owner), data, done: copied.done })
    }

    /// Waits for the array and copies it, row-major; `to` must have as many elements.
    ///
    /// # Errors
    /// When what computes it failed.
    pub fn download<T: DeviceElement>(&self, to: &mut [T]) -> Result<(), DeviceError> {
        let arguments = BufferToHost {
            buffer: self.handle,
            layout: std::ptr::null_mut(),
            to: to.as_mut_ptr().cast(),
            to_size: size_of_val(to),
            done: std::ptr::null_mut(),
        };
        let copied = self.owner.plugin.call(WHAT, arguments)?;
        self.owner.plugin.wait(WHAT, copied.done)
    }
}

impl<T> Download<T> {
    /// Waits for the copy.
    ///
    /// # Errors
    /// When what computes the array failed.
    pub fn wait(mut self) -> Result<Vec<T>, DeviceError> {
        let done = std::mem::replace(&mut self.done, std::ptr::null_mut());
        self.owner.plugin.wait(WHAT, done)?;
        Ok(std::mem::take(&mut self.data))
    }
}

impl<T> Drop for Download<T> {
    fn drop(&mut self) {
        // The memory is written to until then. Nobody is left to be told of an error.
        let _ = self.owner.plugin.wait(WHAT, self.done);
    }
}
