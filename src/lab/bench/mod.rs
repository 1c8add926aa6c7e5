//! Timing the parts of a run on random data, through the very code that a run executes.
//!
//! A [`Bench`] holds one task's sizes; [`Bench::measure`] times one [`Piece`] against this machine's own speed at matrix
//! products ([`peak::Peak`]). [`twin`] times the same pieces in PyTorch or JAX, for comparison.

pub mod cost;
mod device_twin;
mod environment;
mod error;
mod flops;
pub mod on_device;
pub mod peak;
mod piece;
mod pieces;
pub mod twin;
mod twin_process;

pub use error::BenchError;
pub use piece::Piece;

use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::env::Task;
use crate::methods::ddppo::DdppoConfig;
use peak::Peak;
use pieces::Timed;

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
pub struct Timing {
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
    pub fn hear(&mut self, answer: &twin::TwinAnswer) {
        self.peak.hear(answer.gflops / answer.fraction_of_peak);
    }

    /// Runs a piece and tells what it took, on the threads of the rayon pool that this is called in.
    ///
    /// # Errors
    /// When the piece cannot be built or run.
    pub fn measure(&mut self, piece: Piece, effort: Effort) -> Result<Timing, BenchError> {
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
        Ok(Timing {
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
