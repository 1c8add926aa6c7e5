//! What stops learning: numbers that are not finite, a loss beyond the user's limit, or somebody who asks.

/// Learning that cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// A number is NaN or infinite.
    #[error("{0} is not finite")]
    NonFinite(&'static str),
    /// A loss is beyond the guard that the user has set.
    #[error("{what} is {value:.4e}, beyond `guards.max_loss` ({limit})")]
    Guarded {
        /// Which loss.
        what: &'static str,
        /// Its value.
        value: f64,
        /// `guards.max_loss`.
        limit: f64,
    },
    /// Somebody asked ([`StopFlag`](super::StopFlag)). What was being learned is half done: only a state from before is of use.
    #[error("learning was broken off")]
    BrokenOff,
}

impl LearnError {
    /// Refuses a loss that is no number, or beyond the guard `limit`.
    ///
    /// # Errors
    /// As said.
    pub fn check(what: &'static str, value: f64, limit: f64) -> Result<(), Self> {
        if !value.is_finite() {
            Err(Self::NonFinite(what))
        } else if value.abs() > limit {
            Err(Self::Guarded { what, value, limit })
        } else {
            Ok(())
        }
    }
}
