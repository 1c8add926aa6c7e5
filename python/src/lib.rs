//! `ddppo._native`: the library and the program for Python. What Python does better (spaces, numpy, notebooks) is in `ddppo/`.
//!
//! The program's commands are compiled in from its own files: the words of `ddppo.train` are those of `ddppo train`, and
//! `python -m ddppo` is the program.

#[path = "../../src/cli/mod.rs"]
mod cli;
#[path = "../../src/commands/mod.rs"]
mod commands;

mod environment;
mod error;
mod policy;
mod program;
mod run;
mod training;
mod watch;

use pyo3::prelude::*;

/// As in the program. A library that is loaded late needs another kind of thread-local storage.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[pymodule]
mod _native {
    #[pymodule_export]
    use super::environment::Task;
    #[pymodule_export]
    use super::policy::Policy;
    #[pymodule_export]
    use super::program::main;
    #[pymodule_export]
    use super::run::{configuration, evaluate, plot, task_names};
    #[pymodule_export]
    use super::training::{resume, train};
}
