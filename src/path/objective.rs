//! What a policy is improved on (eq. 11): K imagined steps, then the critic. K = 0 is soft actor-critic's objective.

use crate::config::GradientSource;
use crate::critic::TwinCritic;
use crate::env::Task;
use crate::model::DynamicsModel;
use crate::policy::Policy;

/// All that the policy's objective is made of, fixed during an update.
#[derive(Clone, Copy)]
pub struct Objective<'a, T> {
    /// π, being improved.
    pub policy: &'a Policy<T>,
    /// Where the K steps lead; `None` where K = 0.
    pub imagination: Option<Imagination<'a, T>>,
    /// Takes over after the last model step.
    pub critic: &'a TwinCritic<T>,
    /// α.
    pub alpha: f64,
    /// γ.
    pub discount: f64,
}

/// The learned world that the policy is imagined in.
#[derive(Clone, Copy)]
pub struct Imagination<'a, T> {
    /// M^p: where the imagined states come from.
    pub prediction_model: &'a DynamicsModel<T>,
    /// M^g: where the derivatives come from.
    pub gradient_model: &'a DynamicsModel<T>,
    /// Which model's derivatives are used after all.
    pub gradient_source: GradientSource,
    /// Ends imagined episodes.
    pub task: &'a dyn Task,
}

impl<'a, T> Imagination<'a, T> {
    /// The model whose derivatives are used.
    pub fn differentiated(&self) -> &'a DynamicsModel<T> {
        match self.gradient_source {
            GradientSource::GradientModel => self.gradient_model,
            GradientSource::PredictionModel | GradientSource::SampledStep => self.prediction_model,
        }
    }
}

/// What one update saw, averaged over its minibatch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PolicyReport {
    /// Σ_j γʲ·m_j·c_j, the objective that is minimised.
    pub loss: f64,
    /// Mean |λ_j| over rows, steps 1..=K and state dimensions.
    pub mean_abs_adjoint: f64,
    /// Mean share of rows still alive at the last step.
    pub alive: f64,
    /// Living rows whose next state the prediction model put beyond all numbers, over all steps.
    pub broken: u64,
}
