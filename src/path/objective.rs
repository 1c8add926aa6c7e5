//! What a policy is improved on (eq. 11): H imagined steps, then the critic. H = 0 is soft actor-critic's objective.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::critic::Critic;
use crate::model::{DynamicsModel, Ending};
use crate::nn::LearnError;
use crate::policy::Policy;
use crate::run::Tally;

/// Where the derivatives of the policy update come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GradientSource {
    /// The gradient model's mean head at the prediction model's states (DDPPO).
    GradientModel,
    /// The prediction model's own mean head (MAAC's actor as an adjoint).
    PredictionModel,
    /// The prediction model's sampled step, through its noise too: back-propagation through time (MAAC's actor).
    SampledStep,
}

/// The imagined steps of a policy update.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PathConfig {
    /// Model steps before the critic takes over, H (Table 1).
    #[schemars(range(min = 1, max = 1000))]
    pub horizon: usize,
    /// Which model gives the derivatives.
    pub gradient_source: GradientSource,
}

/// All that the policy's objective is made of, fixed during an update.
#[derive(Clone, Copy)]
pub struct Objective<'a, T> {
    /// π, being improved.
    pub policy: &'a Policy<T>,
    /// Where the H steps lead; `None` where H = 0.
    pub imagination: Option<Imagination<'a, T>>,
    /// Takes over after the last model step.
    pub critic: &'a Critic<T>,
    /// α.
    pub alpha: f64,
    /// γ.
    pub discount: f64,
}

/// The learned models that the policy is imagined in.
#[derive(Clone, Copy)]
pub struct Imagination<'a, T> {
    /// H.
    pub horizon: usize,
    /// M^p: where the imagined states come from.
    pub prediction_model: &'a DynamicsModel<T>,
    /// M^g: where the derivatives come from; M^p itself where there is no other.
    pub gradient_model: &'a DynamicsModel<T>,
    /// Which model's derivatives are used after all.
    pub gradient_source: GradientSource,
    /// k: the derivative of a step is the mean of this many elites', at most all of them.
    pub derivative_members: usize,
    /// Ends imagined episodes.
    pub ending: Ending<'a, T>,
}

impl<'a, T> Objective<'a, T> {
    /// Soft actor-critic's: the critic's least value with the entropy, and nothing imagined.
    pub fn of_values(
        policy: &'a Policy<T>,
        critic: &'a Critic<T>,
        alpha: f64,
        discount: f64,
    ) -> Self {
        Self { policy, imagination: None, critic, alpha, discount }
    }

    /// H.
    pub fn horizon(&self) -> usize {
        self.imagination.as_ref().map_or(0, |imagination| imagination.horizon)
    }
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
    /// Mean |λ_j| over rows, steps 1..=H and state dimensions.
    pub mean_abs_adjoint: f64,
    /// Mean share of rows still alive at the last step.
    pub alive: f64,
    /// Living rows whose next state the prediction model made non-finite, over all steps.
    pub broken: u64,
}

impl PolicyReport {
    /// Refuses numbers that cannot be learned from, or a loss beyond the guard `limit`; `finite_gradient` is asked last.
    ///
    /// # Errors
    /// As said.
    pub fn check(
        &self,
        limit: f64,
        finite_gradient: impl FnOnce() -> bool,
    ) -> Result<(), LearnError> {
        if self.broken > 0 {
            return Err(LearnError::NonFinite("the prediction model's output"));
        }
        LearnError::check("the policy's loss", self.loss, limit)?;
        if !self.mean_abs_adjoint.is_finite() {
            return Err(LearnError::NonFinite("the policy's adjoint"));
        }
        if !finite_gradient() {
            return Err(LearnError::NonFinite("the policy's gradient"));
        }
        Ok(())
    }

    /// Tells `tally` of an update; `imagined`, whether it had a path.
    pub fn tell(&self, imagined: bool, tally: &mut Tally) {
        tally.mean("policy_loss", self.loss);
        if imagined {
            tally.mean("mean_abs_adjoint", self.mean_abs_adjoint);
            tally.mean("imagined_alive", self.alive);
        }
        tally.count("policy_updates", 1);
    }
}
