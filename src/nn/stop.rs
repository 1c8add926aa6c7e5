//! How long learning is asked to break off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::LearnError;

/// A flag that asks learning to break off. Clones are one flag, on any thread; it is never lowered.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Asks. What the thread has written before is seen by whoever sees the flag.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether somebody has asked.
    #[inline]
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Goes on unless somebody has asked.
    ///
    /// # Errors
    /// [`LearnError::BrokenOff`].
    #[inline]
    pub fn check(&self) -> Result<(), LearnError> {
        if self.is_raised() { Err(LearnError::BrokenOff) } else { Ok(()) }
    }
}
