//! Which of a run's saved states a command takes.

use clap::Args;

use super::words;

/// Which state; the newest unless one of them is given.
#[derive(Clone, Copy, Debug, Args)]
pub struct CheckpointArgs {
    /// Take the checkpoint with the best evaluation instead of the newest
    #[arg(long)]
    pub best: bool,
    /// Take the checkpoint of this step instead of the newest
    #[arg(long, value_name = "N", conflicts_with = "best", allow_negative_numbers = true)]
    #[arg(value_parser = words::count::<u64, 1, 1_000_000_000>)]
    pub step: Option<u64>,
}
