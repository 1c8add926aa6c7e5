//! What all commands that work on runs take.

use clap::Args;

use super::words;

/// How a process works on a run, whatever the run is.
#[derive(Clone, Copy, Debug, Args)]
pub struct SessionArgs {
    /// Worker threads, at most one a core; their number does not change the result [default: all cores]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = words::count::<u16, 1, 1024>)]
    pub threads: Option<u16>,
    /// Write an event file for TensorBoard into the run's folder, now and whenever it goes on
    #[arg(long)]
    pub tensorboard: bool,
    /// Show nothing while training
    #[arg(short, long)]
    pub quiet: bool,
}
