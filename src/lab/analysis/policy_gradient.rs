//! How far the policy gradient is off because the models' derivatives are: the adjoint (docs/algorithm.md, "The policy's gradient") along *real*
//! trajectories of K steps, with the models' Jacobians and with the true ones. Start states, noise, critic and
//! temperature are the same, so that nothing but the derivative differs.

use serde::Serialize;

use super::end_values::EndValues;
use super::gradient_error::cosine;
use super::learned_steps::{LearnedSteps, StepJacobians};
use super::real_objective::RealObjective;
use super::real_path::live;
use super::theorem1_terms::{ModelTerms, Terms};
use crate::env::{EnvironmentError, Task};
use crate::lab::precision;
use crate::model::Models;
use crate::path::Valuation;

/// Shares of M^g in the mixtures, beside 0 (M^p) and 1 (M^g).
pub const SHARES: [f64; 3] = [0.25, 0.5, 0.75];

/// The distance of a gradient g from the true one g*.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct GradientBias {
    /// ‖g − g*‖ / ‖g*‖.
    pub relative: f64,
    /// Cosine of the angle between them.
    pub cosine: f64,
}

/// The bias with (1 − c)·J(M^p) + c·J(M^g) as the derivative of each step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Mixture {
    /// c, the share of M^g.
    pub share: f64,
    /// What comes of it.
    #[serde(flatten)]
    pub bias: GradientBias,
}

/// Both models' policy-gradient bias, and what Theorem 1 holds to be its causes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PolicyGradientBias {
    /// K.
    pub horizon: usize,
    /// Trajectories in the gradient's mean: those that met neither a contact event nor an episode's end.
    pub trajectories: usize,
    /// M^p.
    pub prediction_model: GradientBias,
    /// M^g; `None` where the prediction model plays its role.
    pub gradient_model: Option<GradientBias>,
    /// In between, one for each of [`SHARES`]; none where there is one model.
    pub mixtures: Vec<Mixture>,
    /// At the states of these trajectories.
    pub theorem1: Terms,
}

/// (1 − c)·a + c·b.
fn mixed(a: &StepJacobians, b: &StepJacobians, c: f64) -> Vec<Vec<Vec<f64>>> {
    let entries = |a: &[f64], b: &[f64]| -> Vec<f64> {
        a.iter().zip(b).map(|(a, b)| (1.0 - c) * a + c * b).collect()
    };
    let steps = |a: &[Vec<f64>], b: &[Vec<f64>]| -> Vec<Vec<f64>> {
        a.iter().zip(b).map(|(a, b)| entries(a, b)).collect()
    };
    a.iter().zip(b).map(|(a, b)| steps(a, b)).collect()
}

/// Measures the bias over trajectories from `starts` states of the run's stochastic policy. `None` if none of them is free
/// of contact events and ends.
///
/// # Errors
/// When the environment fails, or cannot be displaced.
pub fn policy_gradient_bias(
    of: Valuation<'_, f32>,
    models: Models<'_>,
    task: &dyn Task,
    horizon: usize,
    starts: usize,
    seed: u64,
) -> Result<Option<PolicyGradientBias>, EnvironmentError> {
    let policy = precision::policy(of.policy);
    let values = EndValues::new(of);
    let (alpha, discount) = (of.alpha, of.discount);
    let objective = RealObjective { policy: &policy, values: &values, alpha, discount };
    let trajectories = live(of.policy, task, &policy, (horizon, starts), seed)?;
    if trajectories.is_empty() {
        return Ok(None);
    }
    let truth: Vec<Vec<Vec<f64>>> = trajectories.iter().map(|t| t.truth.clone()).collect();
    let g_true = objective.gradient(&trajectories, &truth);
    let bias = |jacobians: &StepJacobians| {
        let g = objective.gradient(&trajectories, jacobians);
        let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>().sqrt();
        let off = norm(&mut g.iter().zip(&g_true).map(|(a, b)| a - b));
        GradientBias {
            relative: off / norm(&mut g_true.iter().copied()),
            cosine: cosine(&g, &g_true).unwrap_or(0.0),
        }
    };
    let learned = |model| LearnedSteps::new(model, task, &trajectories);
    let by_p = learned(models.prediction);
    let by_g = models.gradient.map(learned);
    let mixtures = by_g.iter().flat_map(|by_g| {
        SHARES.map(|share| Mixture {
            share,
            bias: bias(&mixed(&by_p.jacobians, &by_g.jacobians, share)),
        })
    });
    Ok(Some(PolicyGradientBias {
        horizon,
        trajectories: trajectories.len(),
        prediction_model: bias(&by_p.jacobians),
        gradient_model: by_g.as_ref().map(|by_g| bias(&by_g.jacobians)),
        mixtures: mixtures.collect(),
        theorem1: Terms {
            states: horizon * trajectories.len(),
            prediction_model: ModelTerms::new(&by_p, &trajectories),
            gradient_model: by_g.as_ref().map(|by_g| ModelTerms::new(by_g, &trajectories)),
        },
    }))
}
