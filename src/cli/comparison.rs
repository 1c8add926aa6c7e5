//! Flags of `ddppo figure 1`.

use std::path::PathBuf;

use clap::Args;
use ddppo::report::published;

use super::session_args::SessionArgs;
use super::words;

#[derive(Debug, Args)]
#[command(after_help = "\
Trains every method on every task with every seed, one run after the other, in folders that `ddppo resume` and `ddppo plot` know
too; then draws a panel a task. Ctrl-C saves; the same command goes on. At the paper's length this takes weeks: see --dry-run first.
With --runs nothing is trained: what the given runs have measured is drawn, and what has no run says so. Tables that `ddppo plot`
wrote stand for the runs in them.

Examples:
  ddppo figure 1 --dry-run
  ddppo figure 1 --tasks Hopper --methods ddppo,sac --seeds 2 --steps 25000
  ddppo figure 1 --runs runs/* results/hopper/curve.csv -o figures/so-far")]
pub struct ComparisonArgs {
    /// Tasks [default: the paper's six]
    #[arg(long, value_name = "A,B", value_delimiter = ',', value_parser = words::task)]
    pub tasks: Vec<String>,
    /// Methods [default: all]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub methods: Vec<String>,
    /// Seeds: 0, 1, … up to this many
    #[arg(long, value_name = "N", default_value_t = 5, allow_negative_numbers = true, value_parser = words::count::<u16, 1, 1000>)]
    #[arg(conflicts_with = "runs")]
    pub seeds: u16,
    /// Environment steps of every run [default: the task's preset]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = words::count::<u64, 1, 1_000_000_000>)]
    #[arg(conflicts_with = "runs")]
    pub steps: Option<u64>,
    /// Say what would be trained and how long it would take, and train nothing
    #[arg(long, conflicts_with = "runs")]
    pub dry_run: bool,
    /// Draw the runs in these folders and .csv tables, and train nothing
    #[arg(long, value_name = "DIR", num_args = 1..)]
    pub runs: Vec<PathBuf>,
    /// Published curves to lay under, or `none`
    #[arg(long, value_name = "METHOD,…", value_delimiter = ',', default_value = published::USUAL)]
    pub published: Vec<String>,
    /// Folder of the runs and the figure
    #[arg(short, long, value_name = "DIR", default_value = "figures/figure1")]
    pub output: PathBuf,
    #[command(flatten)]
    pub session: SessionArgs,
}
