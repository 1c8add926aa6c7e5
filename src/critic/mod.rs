//! The critic: networks Q(s, a) with their targets, their least value with its slopes, and their update; and a critic of states, V(s).

mod action_gradient;
mod least;
mod minibatch;
mod networks;
mod range;
mod slope_term;
mod target;
mod update;
mod value;
mod value_update;

pub use action_gradient::{ActionGradient, huber};
pub use least::{LeastTape, least};
pub use minibatch::CriticWorkspace;
pub use networks::{Critic, CriticConfig, QNetwork};
pub use range::ValueRange;
pub use slope_term::{SlopeRows, SlopeTerm};
pub use target::TargetRule;
pub use update::{CriticReport, CriticUpdate};
pub use value::ValueNetwork;
pub use value_update::{ValueReport, ValueWorkspace};
