//! Trials of the off-line study (`study.rs`): which losses are compared, what decides a trial, and what comes of it.

use serde::{Deserialize, Serialize};

use crate::lab::analysis::horizons::{HORIZONS, PathBias};
use crate::lab::kept::TrialResult;
use crate::model::{GradientLossConfig, SecantConfig};

/// The losses that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StudiedLoss {
    /// Likelihood alone.
    Likelihood,
    /// The paper's R with the task's preset.
    Paper,
    /// R in standardised coordinates, outputs by their deviation, along unit directions.
    Standardised,
    /// The same by secants.
    Secant,
    /// By secants, with outputs by the critic's slope.
    SecantByValue,
}

impl StudiedLoss {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 5] =
        [Self::Likelihood, Self::Paper, Self::Standardised, Self::Secant, Self::SecantByValue];

    /// Name in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Likelihood => "likelihood",
            Self::Paper => "paper's R",
            Self::Standardised => "standardised R",
            Self::Secant => "secant",
            Self::SecantByValue => "secant by value",
        }
    }
}

/// The settings of a loss, as the run's kind of model knows them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossSettings {
    /// R and its estimators; w = 0 is likelihood alone.
    Ddppo(GradientLossConfig),
    /// Secants; w = 0 is likelihood alone.
    DdppoPlus(SecantConfig),
}

impl LossSettings {
    /// n.
    pub fn neighbours(&self) -> usize {
        match self {
            Self::Ddppo(settings) => settings.neighbours,
            Self::DdppoPlus(settings) => settings.neighbours,
        }
    }
}

/// What a trial is; together with the run it decides everything but the seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EstimatorTrial {
    /// Task name.
    pub task: String,
    /// Seed of the run.
    pub run_seed: u64,
    /// Environment steps that the run had done.
    pub run_step: u64,
    /// The loss.
    pub loss: StudiedLoss,
    /// Its settings.
    pub settings: LossSettings,
    /// Seed of split, minibatches and fresh weights.
    pub seed: u64,
    /// Members, the run's best or, where all are alike to it, its first.
    pub members: usize,
    /// Whether networks begin anew instead of with the prediction model's weights.
    pub fresh: bool,
    /// Minibatches, at least.
    pub steps: u64,
    /// Seconds of training, at least.
    pub seconds: f64,
    /// Start states of the paths.
    pub states: usize,
}

/// A model after some training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EstimatorMeasurement {
    /// Minibatches done.
    pub steps: u64,
    /// Seconds of training.
    pub seconds: f64,
    /// Horizon and bias, shortest first.
    pub biases: Vec<(usize, PathBias)>,
    /// Σ‖J−J*‖² / Σ‖J*‖² over the smooth states: no measure of what a policy is told (docs/analysis.md, "What matters").
    pub relative_jacobian_error: f64,
    /// Mean squared prediction error over the same states.
    pub prediction_error: f64,
}

/// A finished trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EstimatorOutcome {
    /// What was done.
    pub trial: EstimatorTrial,
    /// At parts of the steps, in the order of steps; the last is that at all steps.
    pub by_steps: Vec<EstimatorMeasurement>,
    /// At the seconds.
    pub at_seconds: EstimatorMeasurement,
}

impl TrialResult for EstimatorOutcome {
    type Trial = EstimatorTrial;

    fn trial(&self) -> &EstimatorTrial {
        &self.trial
    }

    fn is_whole(&self) -> bool {
        let all = self.by_steps.iter().chain([&self.at_seconds]);
        let horizons = |m: &EstimatorMeasurement| m.biases.iter().map(|(h, _)| *h).eq(HORIZONS);
        !self.by_steps.is_empty() && all.into_iter().all(horizons)
    }
}
