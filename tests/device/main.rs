//! Programs for accelerators, on XLA's CPU plugin.

#[path = "../support/plugin.rs"]
mod plugin;
#[path = "../support/small_runs.rs"]
mod small_runs;

mod bits;
mod graph;
mod learns;
mod memory;
mod models;
mod plus;
mod runs;
mod sac;
mod trainings;
