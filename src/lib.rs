//! DDPPO in Rust. Read downwards: `train` (the loop) → `algo` (the algorithm) → `model`, `agent` → `nn` (arithmetic).

pub mod agent;
pub mod algo;
pub mod analysis;
pub mod bench;
pub mod config;
pub mod env;
pub mod minibatch;
pub mod model;
pub mod nn;
pub mod replay;
pub mod report;
pub mod rng;
pub mod run;
pub mod suggest;
pub mod train;
