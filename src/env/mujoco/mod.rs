//! MuJoCo tasks: an MJCF model, and a task file that says what is seen, rewarded and survived.
//!
//! Upwards: the model's files ([`files`], [`format`]) are compiled in a process of their own ([`compile`], [`child`]); the
//! task file ([`task_file`]) is resolved against the model ([`definition`], with [`control`], [`observation`], [`reward`],
//! [`healthy`], [`start`]); an [`environment`] steps a [`simulation`] of it, and [`drawing`] shows it.

mod child;
mod compile;
mod control;
mod definition;
mod drawing;
mod environment;
mod files;
mod format;
mod healthy;
mod names;
mod observation;
mod plugins;
mod reward;
mod simulation;
mod start;
mod task;
mod task_file;

pub(in crate::env) use files::{ModelFiles, read_file};
pub use task::MujocoTask;
pub(in crate::env) use task::task_text;
