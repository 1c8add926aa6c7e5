//! Timing the parts of a run on random data, through the very code that a run executes (issue 4).
//!
//! A [`Bench`] holds one task's sizes; [`Bench::measure`] times one [`Piece`] against this machine's own speed at matrix
//! products ([`peak::Peak`]). [`twin`] times the same pieces in PyTorch or JAX, for comparison.

mod environment;
mod flops;
pub mod peak;
mod pieces;
pub mod twin;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::suggest;
use crate::config::{Config, ConfigError};
use crate::env::{EnvironmentError, Task};
use crate::methods::ddppo::DdppoConfig;
use crate::nn::LearnError;
use crate::run::storage::StorageError;
use crate::train::TrainError;
use peak::Peak;
use pieces::Timed;

/// A part of a run that is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Twin critic, its targets and the temperature, one minibatch.
    CriticUpdate,
    /// The policy through both models, one minibatch.
    PolicyUpdate,
    /// All members of the gradient model, one minibatch of likelihood and one of R.
    GradientModelStep,
    /// A sampled step of 10 000 rows through one member.
    ModelForward10k,
    /// Neighbour lists after 250 new transitions, window full.
    NeighbourUpdate,
    /// A rollout of one step from 100 000 states into the model buffer.
    Rollout100k,
    /// The policy acts once, the world steps, the transition is stored.
    EnvironmentStep,
    /// The task's evaluation episodes at their full length.
    Evaluation,
    /// Saving everything learned with 10 250 real and 400 000 imagined transitions, of which 250 and 100 000 are new.
    Checkpoint,
}

impl Piece {
    /// All pieces, those that a [`twin`] has first.
    pub const ALL: [Self; 9] = [
        Self::CriticUpdate,
        Self::PolicyUpdate,
        Self::GradientModelStep,
        Self::ModelForward10k,
        Self::NeighbourUpdate,
        Self::Rollout100k,
        Self::EnvironmentStep,
        Self::Evaluation,
        Self::Checkpoint,
    ];
    /// The pieces that a [`twin`] has too.
    pub const IN_TWIN: usize = 4;

    /// Name on the command line and in the output.
    pub fn name(self) -> &'static str {
        match self {
            Self::CriticUpdate => "critic_update",
            Self::PolicyUpdate => "policy_update",
            Self::GradientModelStep => "gradient_model_step",
            Self::ModelForward10k => "model_forward_10k",
            Self::NeighbourUpdate => "neighbour_update",
            Self::Rollout100k => "rollout_100k",
            Self::EnvironmentStep => "environment_step",
            Self::Evaluation => "evaluation",
            Self::Checkpoint => "checkpoint",
        }
    }

    /// The piece of this name among `choices`.
    ///
    /// # Errors
    /// When there is none: the message lists the choices.
    pub fn parse(name: &str, choices: &[Self]) -> Result<Self, BenchError> {
        choices.iter().copied().find(|piece| piece.name() == name).ok_or_else(|| {
            let names = || choices.iter().map(|piece| piece.name());
            BenchError::UnknownPiece {
                name: name.to_owned(),
                hint: suggest::hint(name, names()),
                known: names().collect::<Vec<_>>().join(", "),
            }
        })
    }
}

/// A measurement that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A setting cannot be changed.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No piece has this name.
    #[error("there is no piece `{name}`{hint}; the pieces are {known}")]
    UnknownPiece {
        /// The name asked for.
        name: String,
        /// " (did you mean `X`?)" or nothing.
        hint: String,
        /// All names, separated by commas.
        known: String,
    },
    /// A number of directions that the task's neighbours cannot give.
    #[error(
        "--directions {wanted}: {task} has {neighbours} neighbours a row, so 1 to {neighbours} directions"
    )]
    Directions {
        /// The number asked for.
        wanted: usize,
        /// Task name.
        task: String,
        /// n.
        neighbours: usize,
    },
    /// The twins know the sizes of the MuJoCo tasks only.
    #[error("--against {kind} knows {known}, not {task}")]
    NoTwin {
        /// Name of the twin's kind.
        kind: &'static str,
        /// Task name.
        task: String,
        /// All tasks that it knows.
        known: String,
    },
    /// torch.compile writes C++.
    #[error(
        "--against torch-compile needs a C++ compiler, and there is no `{compiler}`: install it, or name yours in CXX"
    )]
    NoCompiler {
        /// What was looked for.
        compiler: String,
    },
    /// The world refused.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// Numbers broke.
    #[error(transparent)]
    Learn(#[from] LearnError),
    /// The loop stopped.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A checkpoint could not be written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A twin could not be installed or asked.
    #[error("{0}")]
    Twin(String),
    /// A file operation failed.
    #[error("{path}: {reason}")]
    File {
        /// What it was about.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
}

impl BenchError {
    /// Whether another command line would have helped.
    pub fn is_mistake(&self) -> bool {
        matches!(
            self,
            Self::UnknownPiece { .. }
                | Self::Directions { .. }
                | Self::NoTwin { .. }
                | Self::NoCompiler { .. }
        )
    }
}

/// How often a piece is run.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Measured runs, if they fit into `limit`.
    pub runs: usize,
    /// Time after which no further run starts, once there are [`Effort::LEAST`].
    pub limit: Duration,
}

impl Effort {
    /// Measured runs, however long they take.
    pub const LEAST: usize = 3;
    /// Unmeasured runs before a piece's first.
    const WARM_UP: usize = 3;
}

/// What the runs of a piece took.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// Milliseconds of one run, median.
    pub ms_median: f64,
    /// Milliseconds of one run, 10th percentile.
    pub ms_p10: f64,
    /// 10⁹ operations a second at the median, where operations are counted.
    pub gflops: Option<f64>,
    /// The same as a share of the best rate known of this machine, a [`Peak`].
    pub fraction_of_peak: Option<f64>,
}

/// One task's pieces, each built when it is first asked for.
pub struct Bench {
    config: Config,
    task: Arc<dyn Task>,
    peak: Peak,
    built: Vec<(Piece, Timed)>,
}

impl Bench {
    /// The pieces of a configuration, R with `directions` directions a row (all n if `None`, the paper's loss).
    ///
    /// # Errors
    /// When the task has not that many directions.
    pub fn new(
        config: &Config,
        task: Arc<dyn Task>,
        directions: Option<usize>,
    ) -> Result<Self, BenchError> {
        let neighbours = config.view::<DdppoConfig>().gradient_loss.neighbours;
        let wanted = directions.unwrap_or(neighbours);
        if !(1..=neighbours).contains(&wanted) {
            let task = config.task().to_owned();
            return Err(BenchError::Directions { wanted, task, neighbours });
        }
        let wanted = format!("gradient_loss.directions_per_row={wanted}");
        let config = config.with_settings(&[wanted])?;
        Ok(Self { config, task, peak: Peak::new(), built: Vec::new() })
    }

    /// Directions a row in R.
    pub fn directions(&self) -> usize {
        self.config.view::<DdppoConfig>().gradient_loss.directions_per_row
    }

    /// The machine's speed at matrix products, the best seen so far.
    pub fn peak(&self) -> &Peak {
        &self.peak
    }

    /// Takes into account what a twin said of its own products at their best: a share of the peak then means the same for both sides.
    pub fn hear(&mut self, answer: &twin::Answer) {
        self.peak.hear(answer.gflops / answer.fraction_of_peak);
    }

    /// Runs a piece and tells what it took, on the threads of the rayon pool that this is called in.
    ///
    /// # Errors
    /// When the piece cannot be built or run.
    pub fn measure(&mut self, piece: Piece, effort: Effort) -> Result<Measurement, BenchError> {
        self.peak.measure();
        let at = match self.built.iter().position(|(built, _)| *built == piece) {
            Some(at) => at,
            None => {
                let mut run = pieces::build(piece, &self.config, &self.task)?;
                for _ in 0..Effort::WARM_UP {
                    run()?;
                }
                self.built.push((piece, run));
                self.built.len() - 1
            }
        };
        let run = &mut self.built[at].1;
        let mut times: Vec<Duration> = Vec::new();
        let mut spent = Duration::ZERO;
        while times.len() < Effort::LEAST || (times.len() < effort.runs && spent < effort.limit) {
            let time = run()?;
            spent += time;
            times.push(time);
        }
        let mut ms: Vec<f64> = times.iter().map(|time| 1e3 * time.as_secs_f64()).collect();
        ms.sort_by(f64::total_cmp);
        let ms_median = quantile(&ms, 0.5);
        let gflops =
            flops::of(piece, &self.config.view(), &*self.task).map(|n| n / ms_median * 1e-6);
        Ok(Measurement {
            ms_median,
            ms_p10: quantile(&ms, 0.1),
            gflops,
            fraction_of_peak: gflops.map(|rate| rate / self.peak.gflops()),
        })
    }
}

/// The q-quantile of sorted numbers, the nearest of them. There must be one.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * q).round() as usize]
}
