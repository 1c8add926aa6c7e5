//! Environments: what a task is, and the loop that runs one.
//!
//! A [`Task`] is the fixed description (sizes, bounds, when an imagined state ends an episode) shared by all threads;
//! an [`Environment`] is one running instance of it, and an [`Episode`] owns one while it is acted in. Implement the
//! first two to train in an environment of your own: see `examples/custom_environment.rs`.

mod analytic;
mod builtin;
mod episode;
pub mod jacobian;
mod mujoco;
mod picture;
pub mod robot;
mod task;
mod trace;
pub mod trajectory;

pub use builtin::{files, names, task};
pub use episode::{Episode, EpisodeState, Outcome};
pub use mujoco::MujocoTask;
pub use picture::Frame;
pub use task::{Environment, EnvironmentError, Step, Task};
pub use trace::{TraceError, trace, uniform_actions};
