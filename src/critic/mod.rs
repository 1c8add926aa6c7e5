//! The critic: networks Q(s, a) with their targets, their least value with its slopes, and their update.

mod action_gradient;
mod least;
mod minibatch;
mod networks;
mod slope_term;
mod update;

pub use action_gradient::{ActionGradient, huber};
pub use least::{LeastTape, least};
pub use minibatch::CriticWorkspace;
pub use networks::{Critic, CriticConfig, QNetwork};
pub use slope_term::{SlopeRows, SlopeTerm};
pub use update::{CriticReport, CriticUpdate};
