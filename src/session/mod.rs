//! A run's life: start, resume, stop, signals.
//!
//! [`start`] finds or makes the folder of a run, [`run::Session`] trains in it, [`sink::Sink`]s are told what happens.
//! Nothing that only reports can stop a run: what a sink cannot do is a notice to the others.

mod error;
mod goal;
pub mod group;
pub mod memory;
pub mod progress;
pub mod run;
pub mod saved;
pub mod signals;
pub mod sink;
pub mod start;
mod work;

pub use error::SessionError;
pub use group::GroupSession;
pub use run::Session;
pub use sink::{Answer, End, Sink, SinkError};
pub use work::{Observer, SessionOutcome};
