//! All that is measured on a saved run.

use serde::Serialize;

use super::calibration::{Calibration, calibration};
use super::gradient_error::{GradientErrors, RealStates};
use super::gradient_noise::{GradientNoise, gradient_noise};
use super::horizons::{HorizonBias, PairedPaths};
use super::multi_step::{StepError, multi_step_errors};
use super::policy_gradient::{PolicyGradientBias, policy_gradient_bias};
use super::suitable::{Unsuitable, trained_models};
use crate::env::{EnvironmentError, Task};
use crate::methods::Method;
use crate::train::Trainer;

/// Why a run was not analysed.
#[derive(Debug, thiserror::Error)]
pub enum AnalysisError {
    /// It cannot be looked into.
    #[error(transparent)]
    Unsuitable(#[from] Unsuitable),
    /// Its environment failed, or has no true derivative.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
}

/// The policy gradient's bias along the same paths, horizon by horizon.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PairedBias {
    /// Paths, those with contact events and ends left out.
    pub paths: usize,
    /// Whether the second of each horizon's models is M^g; where not, M^p is the only one.
    pub gradient_model: bool,
    /// Shortest horizon first.
    pub horizons: Vec<HorizonBias>,
}

/// All that was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Analysis {
    /// Task name.
    pub task: String,
    /// Environment steps that the run had done.
    pub step: u64,
    /// Seed of everything that was drawn for it.
    pub seed: u64,
    /// By horizon; `None` where the run differentiates no model, or no path is free of events.
    pub policy_gradient_by_horizon: Option<PairedBias>,
    /// In the run's own minibatches; `None` where the run differentiates no model, the models diverge, or its paths are not the paper's (ddppo-plus
    /// measures it while it trains).
    pub policy_gradient_noise: Option<GradientNoise>,
    /// The critic; `None` where the run differentiates no model.
    pub calibration: Option<Calibration>,
    /// Of one step.
    #[serde(flatten)]
    pub errors: GradientErrors,
    /// Of several.
    pub multi_step: Vec<StepError>,
    /// At the run's own horizon, with mixtures of the models and the terms of Theorem 1.
    pub policy_gradient: Option<PolicyGradientBias>,
}

/// Compares a run's models with its environment at `states` new states.
///
/// # Errors
/// When the run has no trained model, or the environment fails.
pub fn analyse(run: &Trainer, states: usize, seed: u64) -> Result<Analysis, AnalysisError> {
    let (method, task): (&dyn Method, &dyn Task) = (run.method(), run.task());
    let models = trained_models(method, run.config().algorithm())?;
    let errors = RealStates::meet(method.policy(), task, states, seed)?.errors(models, task);
    let multi_step = multi_step_errors(method.policy(), models, task, states, seed)?;
    let mut analysis = Analysis {
        task: task.name().to_owned(),
        step: run.step(),
        seed,
        policy_gradient_by_horizon: None,
        policy_gradient_noise: None,
        calibration: None,
        errors,
        multi_step,
        policy_gradient: None,
    };
    let Some(of) = method.valuation() else { return Ok(analysis) };
    let all: Vec<_> = std::iter::once(models.prediction).chain(models.gradient).collect();
    let paths = PairedPaths::meet(of, task, states, seed)?;
    analysis.policy_gradient_by_horizon = paths.map(|paths| PairedBias {
        paths: paths.count(),
        gradient_model: models.gradient.is_some(),
        horizons: paths.biases(&all, task),
    });
    let batch = run.config().get("training.batch_size").and_then(toml::Value::as_integer);
    let batch = batch.map_or(256, |rows| rows as usize);
    let noise = method.objective().zip(method.starts());
    analysis.policy_gradient_noise =
        noise.and_then(|(of, starts)| gradient_noise(of, starts, batch, seed));
    analysis.calibration = Some(calibration(of, task, seed)?);
    analysis.policy_gradient = policy_gradient_bias(of, models, task, of.horizon, states, seed)?;
    Ok(analysis)
}
