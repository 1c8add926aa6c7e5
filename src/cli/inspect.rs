//! Flags of the commands that look at tasks and at runs.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::words;

#[derive(Debug, Args)]
#[command(after_help = "\
Writes JSON lines: {\"episode\", \"step\", \"qpos\", \"qvel\", \"action\", \"observation\", \"reward\", \"terminated\",
\"truncated\", \"broke\"}. Step 0 of an episode is the state after the reset; a later line holds the action and what followed it.
Without a policy, actions are drawn uniformly from the control range.

Examples:
  ddppo trace Hopper --steps 1000 --seed 1 > hopper.jsonl
  ddppo trace --policy runs/Hopper-seed0-1 --steps 200")]
pub struct TraceArgs {
    /// Task, see `ddppo tasks`; may be left out where --policy is given
    #[arg(required_unless_present = "policy", value_parser = words::task)]
    pub task: Option<String>,
    /// Steps to take
    #[arg(long, value_name = "N", default_value_t = 1000, allow_negative_numbers = true, value_parser = words::count::<u64, 1, 1_000_000_000>)]
    pub steps: u64,
    /// Seed of the initial states and of the random actions
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true, value_parser = words::seed)]
    pub seed: u64,
    /// Run whose policy acts, without noise
    #[arg(long, value_name = "RUN")]
    pub policy: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A run is filmed with its policy, a task with random actions. MP4 needs ffmpeg; GIF needs nothing.

Examples:
  ddppo record runs/Hopper-seed0-1 -o hopper.gif
  ddppo record Walker2d -o walker.gif --seconds 2 --seed 3")]
pub struct RecordArgs {
    /// Folder of a run, or a task
    #[arg(value_name = "RUN|TASK", value_parser = words::run_or_task)]
    pub subject: String,
    /// Film to write, .gif or .mp4
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Seed of the episode's initial state
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true, value_parser = words::seed)]
    pub seed: u64,
    /// Longest duration, in seconds of simulated time
    #[arg(long, value_name = "S", default_value_t = 8.0, allow_negative_numbers = true, value_parser = words::seconds)]
    pub seconds: f64,
    /// Camera of the model's to film with; its first one if there is any, or else a view of the whole robot
    #[arg(long, value_name = "NAME")]
    pub camera: Option<String>,
    /// Take the checkpoint with the best evaluation instead of the newest
    #[arg(long)]
    pub best: bool,
}

/// A float type to compute in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Precision {
    /// As training does
    F32,
    /// The same code in double precision
    F64,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Writes one policy update and one gradient-loss step (of ddppo-plus also the critics' update) with all that went into them
and came out of them, for anyone to recompute in another framework. docs/probe.md documents every name.

Examples:
  ddppo probe runs/Hopper-seed0-1 --seed 7 -o probe.safetensors
  ddppo probe runs/Hopper-seed0-1 -o probe.safetensors --precision f32")]
pub struct ProbeArgs {
    /// Folder of the run
    pub run: PathBuf,
    /// File to write, in the safetensors format
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Seed of the draws
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true, value_parser = words::seed)]
    pub seed: u64,
    /// Float type of the computation and of the file
    #[arg(long, value_name = "TYPE", default_value = "f64")]
    pub precision: Precision,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The run's policy meets new real states; there both models are compared with what really follows, over one step and over
up to ten, and with the true derivative of the environment. docs/analysis.md says what each figure is.

Examples:
  ddppo analyze runs/Hopper-seed0-1
  ddppo analyze runs/Hopper-seed0-1 --states 1000 --json > hopper.json
  ddppo analyze runs/Hopper-seed0-1 -o errors.svg")]
pub struct AnalyzeArgs {
    /// Folder of the run
    pub run: PathBuf,
    /// Real states to look at
    #[arg(long, value_name = "N", default_value_t = 200, allow_negative_numbers = true, value_parser = words::count::<u32, 1, 1_000_000>)]
    pub states: u32,
    /// Seed of the states
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true, value_parser = words::seed)]
    pub seed: u64,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
    /// Picture to write, .svg or .png
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Take the checkpoint with the best evaluation instead of the newest
    #[arg(long)]
    pub best: bool,
}
