//! Programs for accelerators, on XLA's CPU plugin.

#[path = "../support/plugin.rs"]
mod plugin;

mod graph;
