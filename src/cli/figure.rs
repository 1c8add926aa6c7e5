//! Flags of `ddppo figure`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::comparison::ComparisonArgs;
use super::{SessionArgs, words};

#[derive(Debug, Args)]
#[command(after_help = "\
Runs what is missing of a figure of the paper and draws it: SVG, PNG and the table behind them. What is finished in the
folder is not computed again. docs/figures.md says what each figure shows.")]
pub struct FigureArgs {
    #[command(subcommand)]
    pub figure: Figure,
}

#[derive(Debug, Subcommand)]
pub enum Figure {
    /// Returns of all methods, on all tasks
    #[command(name = "1")]
    Comparison(ComparisonArgs),
    /// Gradient and prediction error of models with and without the gradient loss, on the two analytic tasks
    #[command(name = "2")]
    Models(ModelsArgs),
    /// Returns over n, w and the method, on Hopper and Ant
    #[command(name = "3")]
    Ablations(RunFigureArgs),
    /// Returns without gradient loss and with a single model, on all tasks
    #[command(name = "5")]
    Variants(RunFigureArgs),
    /// Prediction error of the two models during training, on all tasks
    #[command(name = "6")]
    PredictionErrors(RunFigureArgs),
    /// Returns of models with as many parameters (also Figure 4), on all tasks
    #[command(name = "7", visible_alias = "4")]
    Parameters(RunFigureArgs),
    /// Returns over the horizon H (appendix B.2.2), on Hopper
    #[command(name = "h")]
    Horizons(RunFigureArgs),
    /// The policy gradient's bias with models trained by each gradient loss, from a run's own transitions
    Estimators(EstimatorsArgs),
    /// The errors of Figure 2 over the number of directions a row, m
    Directions(DirectionsArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ddppo figure 2 --dry-run
  ddppo figure 2 --seeds 5 -o figures/2
  ddppo figure 2 --tasks Pendulum --weight 100 --directions 10 -o figures/2-w100")]
pub struct ModelsArgs {
    /// Tasks
    #[arg(long, value_name = "A,B", value_delimiter = ',', default_value = "PointMass,Pendulum", value_parser = words::task)]
    pub tasks: Vec<String>,
    /// Directions a row in the gradient loss, m [default: the task's preset]
    #[arg(long, value_name = "M")]
    pub directions: Option<u16>,
    /// Folder of the trials and the figure
    #[arg(short, long, value_name = "DIR", default_value = "figures/2")]
    pub output: PathBuf,
    #[command(flatten)]
    pub trials: TrialArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ddppo figure directions
  ddppo figure directions Hopper --directions 1,2,5 --seeds 3 --epochs 30")]
pub struct DirectionsArgs {
    /// Tasks
    #[arg(value_name = "TASK", default_value = "Pendulum", value_parser = words::task)]
    pub tasks: Vec<String>,
    /// Values of m [default: 1, 2, 5 and n]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub directions: Vec<u16>,
    /// Folder of the trials and the table
    #[arg(short, long, value_name = "DIR", default_value = "figures/directions")]
    pub output: PathBuf,
    #[command(flatten)]
    pub trials: TrialArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ddppo figure estimators runs/Hopper-seed0-1 --dry-run
  ddppo figure estimators runs/Hopper-seed0-1 --seeds 3 -o figures/estimators-hopper")]
pub struct EstimatorsArgs {
    /// Folder of a run of ddppo or ddppo-plus
    pub run: PathBuf,
    /// Minibatches of each trial, at least
    #[arg(long, value_name = "N", default_value_t = 1000, allow_negative_numbers = true, value_parser = words::count::<u32, 1, 10_000_000>)]
    pub steps: u32,
    /// Seconds of training of each trial, at least
    #[arg(long, value_name = "S", default_value_t = 60, allow_negative_numbers = true, value_parser = words::count::<u32, 0, 1_000_000>)]
    pub seconds: u32,
    /// Seeds: 0, 1, … up to this many
    #[arg(long, value_name = "N", default_value_t = 3, allow_negative_numbers = true, value_parser = words::count::<u16, 1, 1000>)]
    pub seeds: u16,
    /// Start states of the real paths that gradients are compared along
    #[arg(long, value_name = "N", default_value_t = 200, allow_negative_numbers = true, value_parser = words::count::<u32, 1, 1_000_000>)]
    pub states: u32,
    /// Networks of the ensemble: the run's best, or its first where it knows no best [default: all]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = words::count::<u16, 1, 1000>)]
    pub members: Option<u16>,
    /// Begin with fresh networks instead of the run's prediction model
    #[arg(long)]
    pub fresh: bool,
    /// Say what would be run and how long it would take here, and run nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Worker threads; their number shows in the seconds only [default: all cores]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = words::count::<u16, 1, 1024>)]
    pub threads: Option<u16>,
    /// Folder of the trials and the figure
    #[arg(short, long, value_name = "DIR", default_value = "figures/estimators")]
    pub output: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Trains every variant with every seed, one after the other, in folders that `ddppo resume` and `ddppo plot` know too.
Ctrl-C saves; the same command goes on. At the paper's length this takes days: see --dry-run first.

Examples:
  ddppo figure 3 --tasks Hopper --seeds 3 --steps 15000 --dry-run
  ddppo figure 5 --tasks PointMass,Pendulum --seeds 5")]
pub struct RunFigureArgs {
    /// Tasks [default: those of the paper's figure]
    #[arg(long, value_name = "A,B", value_delimiter = ',', value_parser = words::task)]
    pub tasks: Vec<String>,
    /// Seeds: 0, 1, … up to this many
    #[arg(long, value_name = "N", default_value_t = 5, allow_negative_numbers = true, value_parser = words::count::<u16, 1, 1000>)]
    pub seeds: u16,
    /// Environment steps of every run [default: the task's preset]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = words::count::<u64, 1, 1_000_000_000>)]
    pub steps: Option<u64>,
    /// Change a setting of all runs; may be given more than once
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// Say what would be trained and how long it would take here, and train nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Folder of the runs and the figure [default: figures/figureN]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub session: SessionArgs,
}

/// How models are learned from a random policy's data.
#[derive(Debug, Args)]
pub struct TrialArgs {
    /// Seeds: 0, 1, … up to this many
    #[arg(long, value_name = "N", default_value_t = 5, allow_negative_numbers = true, value_parser = words::count::<u16, 1, 1000>)]
    pub seeds: u16,
    /// Environment steps of the random policy
    #[arg(long, value_name = "N", default_value_t = 4000, allow_negative_numbers = true, value_parser = words::count::<u32, 256, 1_000_000>)]
    pub steps: u32,
    /// Passes over the training data
    #[arg(long, value_name = "N", default_value_t = 200, allow_negative_numbers = true, value_parser = words::count::<u32, 1, 1_000_000>)]
    pub epochs: u32,
    /// Held-out states at which the errors are measured
    #[arg(long, value_name = "N", default_value_t = 200, allow_negative_numbers = true, value_parser = words::count::<u32, 1, 1_000_000>)]
    pub states: u32,
    /// Networks of the ensemble; R is a mean over them, so that each sees the weight w/N
    #[arg(long, value_name = "N", default_value_t = 1, allow_negative_numbers = true, value_parser = words::count::<u16, 1, 1000>)]
    pub members: u16,
    /// Weight w of the gradient loss [default: the task's preset]
    #[arg(long, value_name = "W")]
    pub weight: Option<f64>,
    /// Neighbours of each row, n [default: the task's preset]
    #[arg(long, value_name = "N")]
    pub neighbours: Option<u16>,
    /// Change another setting of the preset; may be given more than once
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// Say what would be run and how long it would take here, and run nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Worker threads; their number does not change the result [default: all cores]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = words::count::<u16, 1, 1024>)]
    pub threads: Option<u16>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Measures on the point mass, with models of controlled error, what Theorems 1 and 2 of the paper bound, and prints both.
Exits with 1 if a bound does not hold. docs/theory.md says how the paper was read.

Examples:
  ddppo theory
  ddppo theory -o figures/theory --discount 0.95")]
pub struct TheoryArgs {
    /// Discount γ
    #[arg(long, value_name = "G", default_value_t = 0.9)]
    pub discount: f64,
    /// Policy updates for Theorem 2
    #[arg(long, value_name = "T", default_value_t = 16_384, allow_negative_numbers = true, value_parser = words::count::<u32, 1, 10_000_000>)]
    pub updates: u32,
    /// Seed of start states and error directions
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true, value_parser = words::seed)]
    pub seed: u64,
    /// Folder for pictures and tables [default: none]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}
