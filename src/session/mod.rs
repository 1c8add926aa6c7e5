//! A run's life: start, resume, stop, signals.
//!
//! [`start`] finds or makes the folder of a run, [`run::Session`] trains in it, [`sink::Sink`]s are told what happens.
//! Nothing that only reports can stop a run: what a sink cannot do is a notice to the others.

mod error;
pub mod memory;
pub mod progress;
pub mod run;
pub mod saved;
pub mod signals;
pub mod sink;
pub mod start;

pub use error::SessionError;
pub use run::{Observer, Session, SessionOutcome};
pub use sink::{Answer, End, Sink, SinkError};
