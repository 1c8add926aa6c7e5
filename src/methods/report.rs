//! What a method tells of its learning after one environment step.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::critic::CriticReport;
use crate::model::FitReport;
use crate::model::rollout::RolloutReport;
use crate::path::objective::PolicyReport;

/// Learning that cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// A number is NaN or infinite.
    #[error("{0} is not finite")]
    NonFinite(&'static str),
    /// A loss is beyond the guard that the user has set.
    #[error("{what} is {value:.4e}, beyond `guards.max_loss` ({limit})")]
    Guarded {
        /// Which loss.
        what: &'static str,
        /// Its value.
        value: f64,
        /// `guards.max_loss`.
        limit: f64,
    },
}

impl LearnError {
    /// Refuses a loss that is no number, or beyond the guard `limit`.
    pub(crate) fn check(what: &'static str, value: f64, limit: f64) -> Result<(), Self> {
        if !value.is_finite() {
            Err(Self::NonFinite(what))
        } else if value.abs() > limit {
            Err(Self::Guarded { what, value, limit })
        } else {
            Ok(())
        }
    }
}

/// Everything learned after one environment step.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    /// Where the models were trained.
    pub models: Option<ModelReport>,
    /// Where rollouts refilled the model buffer.
    pub rollout: Option<RolloutReport>,
    /// Policy updates.
    pub policy: PolicySums,
    /// Critic updates.
    pub critic: CriticSums,
    /// Wall-clock seconds.
    pub seconds: Seconds,
}

impl Learned {
    /// Does a policy update, and notes what it saw and how long it took.
    ///
    /// # Errors
    /// Those of `update`.
    pub fn policy_update(
        &mut self,
        update: impl FnOnce() -> Result<Option<PolicyReport>, LearnError>,
    ) -> Result<(), LearnError> {
        let started = Instant::now();
        if let Some(report) = update()? {
            self.policy.add(&report);
        }
        self.seconds.policy += started.elapsed().as_secs_f64();
        Ok(())
    }

    /// Does a critic update, and notes what it saw and how long it took.
    ///
    /// # Errors
    /// Those of `update`.
    pub fn critic_update(
        &mut self,
        update: impl FnOnce() -> Result<CriticReport, LearnError>,
    ) -> Result<(), LearnError> {
        let started = Instant::now();
        self.critic.add(&update()?);
        self.seconds.critic += started.elapsed().as_secs_f64();
        Ok(())
    }
}

/// One training of the models: reports, and the mean holdout error of the elites.
#[derive(Clone, Debug)]
pub struct ModelReport {
    /// M^p.
    pub prediction: (FitReport, f64),
    /// M^g, where there is one.
    pub gradient: Option<(FitReport, f64)>,
}

/// Wall-clock seconds by phase.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seconds {
    /// Policy updates.
    pub policy: f64,
    /// Critic and temperature updates.
    pub critic: f64,
    /// Model training.
    pub models: f64,
    /// Imagined rollouts.
    pub rollout: f64,
}

/// Sums of [`PolicyReport`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PolicySums {
    /// Updates.
    pub updates: u64,
    /// Of [`PolicyReport::loss`].
    pub loss: f64,
    /// Of [`PolicyReport::mean_abs_adjoint`].
    pub mean_abs_adjoint: f64,
    /// Of [`PolicyReport::alive`].
    pub alive: f64,
}

impl PolicySums {
    /// Adds one update.
    pub fn add(&mut self, report: &PolicyReport) {
        self.merge(&Self {
            updates: 1,
            loss: report.loss,
            mean_abs_adjoint: report.mean_abs_adjoint,
            alive: report.alive,
        });
    }

    /// Adds other sums.
    pub fn merge(&mut self, other: &Self) {
        self.updates += other.updates;
        self.loss += other.loss;
        self.mean_abs_adjoint += other.mean_abs_adjoint;
        self.alive += other.alive;
    }
}

/// Sums of [`CriticReport`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CriticSums {
    /// Updates.
    pub updates: u64,
    /// Of [`CriticReport::loss`].
    pub loss: f64,
    /// Of [`CriticReport::value`].
    pub value: f64,
    /// Of [`CriticReport::entropy`].
    pub entropy: f64,
}

impl CriticSums {
    /// Adds one update.
    pub fn add(&mut self, report: &CriticReport) {
        self.merge(&Self {
            updates: 1,
            loss: report.loss,
            value: report.value,
            entropy: report.entropy,
        });
    }

    /// Adds other sums.
    pub fn merge(&mut self, other: &Self) {
        self.updates += other.updates;
        self.loss += other.loss;
        self.value += other.value;
        self.entropy += other.entropy;
    }
}
