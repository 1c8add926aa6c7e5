//! DDPPO in Rust. Read downwards: `train` (the loop) → `algo` (the algorithm) → `model`, `agent` → `nn` (arithmetic).

pub mod config;
pub mod env;
pub mod nn;
pub mod report;
pub mod rng;
pub mod run;
pub mod suggest;
