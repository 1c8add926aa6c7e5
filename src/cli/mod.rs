//! The command line: subcommands and their flags, nothing else.

mod checkpoint_args;
mod comparison;
mod figure;
mod inspect;
mod run_parts;
mod session_args;
mod take_away;
mod words;

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use ddppo::device::DeviceChoice;
use ddppo::methods;
use ddppo::report::published;

pub use checkpoint_args::CheckpointArgs;
pub use comparison::ComparisonArgs;
pub use figure::{
    DirectionsArgs, EstimatorsArgs, Figure, FigureArgs, ModelsArgs, RunFigureArgs, TheoryArgs,
    TrialArgs,
};
pub use inspect::{AnalyzeArgs, Precision, ProbeArgs, RecordArgs, TraceArgs};
pub use run_parts::{MOST_RUNS, RunPart, RunParts};
pub use session_args::SessionArgs;
pub use take_away::{CompletionsArgs, ExportArgs, ManArgs, SchemaArgs};
pub use words::SeedList;

/// "Method: a, b or c".
fn methods() -> String {
    let names: Vec<&str> = methods::all().iter().map(|info| info.name).collect();
    let (last, others) = names.split_last().expect("there are methods");
    format!("Method: {} or {last}", others.join(", "))
}

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Learns to control simulated robots from few steps, through the derivatives of a learned model (DDPPO, ICLR 2022).
#[derive(Debug, Parser)]
#[command(name = "ddppo", version, styles = STYLES, after_help = "\
Examples:
  ddppo train --steps 3000                 train on InvertedPendulum, a matter of minutes
  ddppo train Hopper --seed 1              another task and seed
  ddppo train Hopper --algo sac            another method
  ddppo train Hopper --set policy.horizon=3 --set gradient_loss.weight=10
  ddppo resume runs/Hopper-seed1-1         go on after Ctrl-C or a crash, to the bit
  ddppo evaluate runs/Hopper-seed1-1       play ten episodes with the trained policy
  ddppo plot runs/Hopper-* -o hopper.svg   mean and deviation over seeds
  ddppo export runs/Hopper-seed1-1 -o hopper.onnx    the policy for other programs")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a policy on a task
    Train(TrainArgs),
    /// Continue an interrupted run from its newest checkpoint
    Resume(ResumeArgs),
    /// Play episodes with the policy of a run
    Evaluate(EvaluateArgs),
    /// Draw learning curves of runs, or any other metric
    Plot(PlotArgs),
    /// Write a run's policy for other programs: ONNX, safetensors or C
    Export(ExportArgs),
    /// Time the parts of a run on this machine
    Bench(BenchArgs),
    /// List the tasks that can be trained on
    Tasks,
    /// Write what an environment did, step by step, as JSON lines
    Trace(TraceArgs),
    /// Film an episode
    Record(RecordArgs),
    /// Write a policy update out whole, to be recomputed elsewhere
    Probe(ProbeArgs),
    /// Compare the learned models and their derivatives with the environment
    Analyze(AnalyzeArgs),
    /// Reproduce a figure of the paper
    Figure(FigureArgs),
    /// Check the paper's two theorems by numbers
    Theory(TheoryArgs),
    /// Print a JSON schema of the settings
    Schema(SchemaArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Write manual pages
    Man(ManArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ddppo train
  ddppo train --until-return 950 --film               until the pole is balanced, and a film of it
  ddppo train Hopper --seed 1 --steps 15000 --out runs/hopper-1
  ddppo train Hopper --set gradient_loss.directions_per_row=25
  ddppo train Hopper --algo sac                       another method
  ddppo train Hopper --variant no-gradient-loss
  ddppo train --mjcf arm.xml --task arm.toml          a robot of your own
  ddppo train Hopper --algo sac --seeds 0..11 --device gpu    twelve runs at once on one card
  ddppo train Hopper --runs ddppo:4,no-gradient-loss:4,maac:4 --device gpu --out runs/compared
  ddppo train Hopper --out runs/h --resume            start, or go on: the same line for schedulers and scripts

All settings are described in docs/configuration.md. Ctrl-C saves and stops; `ddppo resume RUN` goes on. TERM, HUP, USR1,
USR2 and XCPU save and stop, too; the exit code is 75 (to be tried again) after those that schedulers send.")]
pub struct TrainArgs {
    /// Task, see `ddppo tasks`
    #[arg(default_value = "InvertedPendulum", value_parser = words::task)]
    pub task: String,
    #[arg(long, value_name = "METHOD", default_value = "ddppo", help = methods())]
    pub algo: String,
    /// Model of a robot of your own, see docs/own-robot.md
    #[arg(long, value_name = "FILE.xml", requires = "task_file", conflicts_with = "task")]
    pub mjcf: Option<PathBuf>,
    /// What it is to do
    #[arg(long = "task", value_name = "FILE.toml", requires = "mjcf", conflicts_with = "task")]
    pub task_file: Option<PathBuf>,
    /// Variant of the method, such as no-gradient-loss or secant: those of each method are in docs/configuration.md
    #[arg(long, value_name = "NAME")]
    pub variant: Option<String>,
    /// Seed of all random streams: equal seeds give equal runs [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = words::seed)]
    pub seed: Option<u64>,
    /// Train several runs at once on one device: 0..11 are twelve, 0,3,7 three
    #[arg(long, value_name = "A..B", allow_negative_numbers = true, value_parser = words::seeds, conflicts_with = "seed")]
    pub seeds: Option<SeedList>,
    /// Train runs of several methods or variants at once on one device, N of each: ddppo:4,no-gradient-loss:4 (of --algo's variants)
    #[arg(long, value_name = "NAME:N,…", value_parser = run_parts::parts, requires = "out", conflicts_with = "variant")]
    pub runs: Option<RunParts>,
    /// What learns: cpu, gpu, or pjrt:FILE for a plugin of your own, see docs/devices.md
    #[arg(long, value_name = "DEVICE", default_value = "cpu", value_parser = words::device)]
    pub device: DeviceChoice,
    /// Let an NVIDIA card multiply in TF32: faster, with 10 bits of the factors' mantissas
    #[arg(long)]
    pub tf32: bool,
    /// Environment steps in all [default: the task's preset]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = words::count::<u64, 1, 1_000_000_000>)]
    pub steps: Option<u64>,
    /// Stop when the mean of the last three evaluations (`evaluation.stop_evaluations`) is at least R: the task is solved
    #[arg(long, value_name = "R", allow_negative_numbers = true, value_parser = words::stop)]
    pub until_return: Option<f64>,
    /// Folder of the run, with --seeds that of their folders seed0, seed1, …, with --runs that of a folder of these for each name [default: runs/TASK-seedN-1, or the next free number]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Change a setting of the preset; may be given more than once
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// Go on with the run in --out where there is one, which must have the same settings
    #[arg(long, requires = "out")]
    pub resume: bool,
    /// Say what would be trained, and how much memory it takes, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Film an episode of the trained policy at the end, into policy.gif in the run's folder
    #[arg(long)]
    pub film: bool,
    #[command(flatten)]
    pub session: SessionArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ddppo resume runs/Hopper-seed0-1
  ddppo resume runs/Hopper-seed0-1 --steps 125000     train for longer than was planned
  ddppo resume runs/Hopper-seed0-1 --until-return inf go on with a run that had solved its task")]
pub struct ResumeArgs {
    /// Folder of the run
    pub run: PathBuf,
    /// Environment steps in all, those already done included [default: as planned]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = words::count::<u64, 1, 1_000_000_000>)]
    pub steps: Option<u64>,
    /// Stop when the mean of the last evaluations is at least R; inf: do all steps [default: as planned]
    #[arg(long, value_name = "R", allow_negative_numbers = true, value_parser = words::stop)]
    pub until_return: Option<f64>,
    #[command(flatten)]
    pub session: SessionArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ddppo evaluate runs/Hopper-seed0-1
  ddppo evaluate runs/Hopper-seed0-1 --best --episodes 100 --seed 7
  ddppo evaluate runs/Hopper-seed0-1 --step 15000 --json > scores.json
  ddppo evaluate runs/Hopper-seed0-1 --stochastic     with the noise that it explores by")]
pub struct EvaluateArgs {
    /// Folder of the run
    pub run: PathBuf,
    /// Episodes to play
    #[arg(long, value_name = "N", default_value_t = 10, allow_negative_numbers = true, value_parser = words::count::<u32, 1, 1_000_000>)]
    pub episodes: u32,
    /// Seed of the episodes' initial states
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true, value_parser = words::seed)]
    pub seed: u64,
    /// Act as in training, with the policy's noise, instead of by its deterministic action
    #[arg(long)]
    pub stochastic: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub checkpoint: CheckpointArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Runs of one task whose settings differ in nothing but the seed become one curve, with a band of one standard
deviation around their mean. Each task gets a panel of its own. Without -o, a single run's curve goes into its folder.
Metrics are named as in docs/metrics.md, with the kind of their lines or without: critic_loss, train/critic_loss,
time.models. Runs that have not measured the metric are left out.

Examples:
  ddppo plot runs/InvertedPendulum-seed0-1
  ddppo plot runs/* -o curves.png
  ddppo plot runs/Hopper-* --published -o hopper.svg       over the published curves of MBPO and SAC
  ddppo plot runs/Hopper-* --published=REDQ -o hopper.svg
  ddppo plot runs/* -o curves.csv      the numbers behind the picture
  ddppo plot runs/Hopper-* --metric critic_loss -o critic.svg")]
pub struct PlotArgs {
    /// Folders of the runs
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Draw published curves too, in dashes [default methods: MBPO,SAC]
    #[arg(long, value_name = "METHOD,…", num_args = 0..=1, require_equals = true)]
    #[arg(value_delimiter = ',', default_missing_value = published::USUAL)]
    pub published: Vec<String>,
    /// Draw this metric over the steps instead of the evaluation return
    #[arg(long, value_name = "NAME")]
    pub metric: Option<String>,
    /// Picture to write, .svg or .png, or table, .csv [default: curve.svg and .png, or NAME's]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Pieces: critic_update, policy_update, gradient_model_step, model_forward_10k, secant_step, neighbour_update,
standardised_neighbours, rollout_100k, environment_step, evaluation, checkpoint. They run on random data, so that they say how fast learning is, not how good.
What they mean, and what was measured, is in docs/performance.md. Terms that a ReLU made zero are counted but left out, so a
piece can pass 100 % of the peak.

Examples:
  ddppo bench
  ddppo bench --task Hopper --threads 1 --pieces policy_update,critic_update --json
  ddppo bench --threads 2 --against pytorch       installs PyTorch (4 GB) at the first time
  ddppo bench --threads 2 --against jax           installs JAX (0.6 GB) at the first time
  ddppo bench --device gpu --runs 1,4,12,48       the programs of a group of runs on a card, docs/devices.md
  ddppo bench --device gpu --against jax          in alternation with the JAX of the path's python3")]
#[command(group = ArgGroup::new("race").args(["against", "against_pytorch"]))]
pub struct BenchArgs {
    /// Task whose sizes are used
    #[arg(long, value_name = "TASK", default_value = "HalfCheetah", value_parser = words::task)]
    pub task: String,
    /// Worker threads, at most one a core [default: all cores]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = words::count::<u16, 1, 1024>)]
    pub threads: Option<u16>,
    /// Only these pieces
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub pieces: Vec<String>,
    /// Time the programs of a group of runs instead, on gpu or pjrt:FILE
    #[arg(long, value_name = "DEVICE", default_value = "cpu", value_parser = words::device)]
    pub device: DeviceChoice,
    /// So many runs at once, one number after the other [default: 1,4,12,48]
    #[arg(long, value_name = "N,…", value_delimiter = ',', allow_negative_numbers = true, value_parser = words::count::<usize, 1, 1024>)]
    pub runs: Vec<usize>,
    /// Let an NVIDIA card multiply in TF32
    #[arg(long)]
    pub tf32: bool,
    /// Directions a row in the gradient loss [default: all neighbours, the paper's loss]
    #[arg(long, value_name = "M")]
    pub directions: Option<u16>,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Time the first four pieces in alternation with another framework
    #[arg(long, value_name = "FRAMEWORK")]
    pub against: Option<Against>,
    /// The same as --against pytorch
    #[arg(long)]
    pub against_pytorch: bool,
    /// Rounds of that alternation, or of a device's timing [default: 10]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = words::count::<u16, 1, 1000>)]
    pub rounds: Option<u16>,
}

/// A framework to race against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Against {
    /// PyTorch as it is, with fused Adam
    #[value(name = "pytorch")]
    PyTorch,
    /// PyTorch through torch.compile; needs g++
    TorchCompile,
    /// JAX under jit
    Jax,
}
