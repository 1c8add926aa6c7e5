//! Timing the parts of a group's learning on a device (docs/devices.md, "What was measured").

use std::sync::Arc;
use std::time::Duration;

pub use super::device_twin::{GroupTwin, GroupTwinSettings};
use super::error::BenchError;
use super::pieces::{Timed, learner_with, neighbour_update};
use crate::config::{Config, suggest};
use crate::device::graph::ProductPrecision;
use crate::device::group::pieces::{DevicePiece, DevicePieces, PieceCourse};
pub use crate::device::group::precision::GradientDifferences;
use crate::device::pjrt::Device;
use crate::env::Task;
use crate::methods::Method;
use crate::methods::ddppo::DdppoConfig;

/// Imagined transitions of a run: what a minibatch is drawn from.
const IMAGINED_ROWS: usize = 10_000;
/// Start states of a rollout.
const STARTS: usize = 8192;

/// A part of a group's learning, or of what the host does for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceRow {
    /// On the device.
    Piece(DevicePiece),
    /// Neighbour lists of all runs after 250 new transitions, window full: on the host's cores.
    Neighbours,
}

impl DeviceRow {
    /// All rows, for a configuration of `neighbours` neighbours a row.
    pub fn all(neighbours: usize) -> Vec<Self> {
        let mut rows = vec![
            Self::Piece(DevicePiece::PolicyUpdate),
            Self::Piece(DevicePiece::CriticUpdate),
            Self::Piece(DevicePiece::StepUpdates),
            Self::Piece(DevicePiece::LikelihoodStep),
            Self::Piece(DevicePiece::GradientModelStep(1)),
        ];
        if neighbours > 1 {
            rows.push(Self::Piece(DevicePiece::GradientModelStep(neighbours)));
        }
        rows.extend([
            Self::Piece(DevicePiece::ModelForward),
            Self::Piece(DevicePiece::Rollout),
            Self::Neighbours,
        ]);
        rows
    }

    /// Name on the command line and in the output.
    pub fn name(self) -> String {
        match self {
            Self::Piece(DevicePiece::PolicyUpdate) => "policy_update".to_owned(),
            Self::Piece(DevicePiece::CriticUpdate) => "critic_update".to_owned(),
            Self::Piece(DevicePiece::StepUpdates) => "step_updates".to_owned(),
            Self::Piece(DevicePiece::LikelihoodStep) => "likelihood_step".to_owned(),
            Self::Piece(DevicePiece::GradientModelStep(m)) => format!("gradient_model_step_{m}"),
            Self::Piece(DevicePiece::ModelForward) => "model_forward_10k".to_owned(),
            Self::Piece(DevicePiece::Rollout) => "rollout_8k".to_owned(),
            Self::Neighbours => "neighbour_update".to_owned(),
        }
    }

    /// The row of this name among `choices`.
    ///
    /// # Errors
    /// When there is none: the message lists the choices.
    pub fn parse(name: &str, choices: &[Self]) -> Result<Self, BenchError> {
        choices.iter().copied().find(|row| row.name() == name).ok_or_else(|| {
            let names: Vec<String> = choices.iter().map(|row| row.name()).collect();
            BenchError::UnknownPiece {
                name: name.to_owned(),
                hint: suggest::hint(name, names.iter().map(String::as_str)),
                known: names.join(", "),
            }
        })
    }
}

/// Some runs of DDPPO on a device, as in the middle of a training on random data.
pub struct DeviceBench {
    pieces: DevicePieces,
    config: Config,
    task: Arc<dyn Task>,
    runs: usize,
    /// The runs' neighbour lists, made when they are asked for.
    lists: Vec<Timed>,
}

impl DeviceBench {
    /// So many runs of a configuration, each with networks of its own.
    ///
    /// # Errors
    /// When the device refuses.
    pub fn new(
        device: Device,
        config: &Config,
        task: Arc<dyn Task>,
        runs: usize,
        precision: ProductPrecision,
    ) -> Result<Self, BenchError> {
        let config = config.with_settings(&[format!("rollout.starts={STARTS}")])?;
        let mut methods: Vec<Box<dyn Method>> = Vec::new();
        for seed in 0..runs {
            let config = config.with_settings(&[format!("seed={seed}")])?;
            methods.push(Box::new(learner_with(&config, &task, IMAGINED_ROWS)));
        }
        let pieces = DevicePieces::new(device, &config, methods, precision)?;
        Ok(Self { pieces, config, task, runs, lists: Vec::new() })
    }

    /// All its rows.
    pub fn rows(config: &Config) -> Vec<DeviceRow> {
        DeviceRow::all(config.view::<DdppoConfig>().gradient_loss.neighbours)
    }

    /// Whether a row can be timed so.
    pub fn has(row: DeviceRow, course: PieceCourse) -> bool {
        match row {
            DeviceRow::Piece(piece) => DevicePieces::has(piece, course),
            DeviceRow::Neighbours => course == PieceCourse::Training,
        }
    }

    /// Updates that a call of a row's program makes, once it is compiled: of the critic's where the row has several.
    pub fn per_call(&self, row: DeviceRow) -> usize {
        let piece = match row {
            DeviceRow::Piece(DevicePiece::PolicyUpdate) => DevicePiece::PolicyUpdate,
            _ => DevicePiece::CriticUpdate,
        };
        self.pieces.per_call(piece)
    }

    /// Bytes of the device's memory that were in use at most; `None` where the plugin does not count.
    pub fn most_memory(&self) -> Option<u64> {
        self.pieces.device().memory().and_then(|(_, most)| most)
    }

    /// Makes a row at least `times` times for all runs; milliseconds of one. The first compiles its programs.
    ///
    /// # Errors
    /// When the device fails, or numbers break.
    pub fn measure(
        &mut self,
        row: DeviceRow,
        course: PieceCourse,
        times: usize,
    ) -> Result<f64, BenchError> {
        let (time, times) = match row {
            DeviceRow::Piece(piece) => {
                let times = times.next_multiple_of(self.pieces.per_call(piece).max(1));
                (self.pieces.time(piece, course, times)??, times)
            }
            DeviceRow::Neighbours => (self.neighbours(times)?, times),
        };
        Ok(1e3 * time.as_secs_f64() / times as f64)
    }

    /// What TF32 does to the policies' gradients.
    ///
    /// # Errors
    /// When the device fails, or numbers break.
    pub fn gradient_differences(self) -> Result<GradientDifferences, BenchError> {
        Ok(self.pieces.gradient_differences()??)
    }

    /// One run after the other, as in a training.
    fn neighbours(&mut self, times: usize) -> Result<Duration, BenchError> {
        if self.lists.is_empty() {
            for seed in 0..self.runs {
                let config = self.config.with_settings(&[format!("seed={seed}")])?;
                let learner = learner_with(&config, &self.task, 0);
                self.lists.push(neighbour_update(&*self.task, learner));
            }
        }
        let mut sum = Duration::ZERO;
        for _ in 0..times {
            for lists in &mut self.lists {
                sum += lists()?;
            }
        }
        Ok(sum)
    }
}
