//! DDPPO in Rust. A room uses only rooms below it; CONTRIBUTING.md has the map, and a test compares it with the imports.

pub mod config;
pub mod critic;
pub mod data;
pub mod device;
pub mod env;
pub mod export;
pub mod lab;
pub mod machine;
pub mod methods;
pub mod model;
pub mod nn;
pub mod path;
pub mod policy;
pub mod report;
pub mod rng;
pub mod run;
pub mod session;
pub mod sweep;
pub mod train;
