//! What has happened since the last line of metrics. Part of the state: a resumed run writes the same lines.

use serde::{Deserialize, Serialize};

use crate::methods::report::{CriticSums, Learned, ModelReport, PolicySums};
use crate::model::rollout::RolloutReport;
use crate::run::metrics::Record;

/// Sums since the last `train` record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Policy updates.
    pub policy: PolicySums,
    /// Critic updates.
    pub critic: CriticSums,
    /// Episodes ended.
    pub episodes: u64,
    /// Sum of their returns.
    pub returns: f64,
    /// Sum of their lengths.
    pub lengths: u64,
}

/// Wall-clock seconds since the last `train` record. Not part of the state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Phases {
    /// Acting in the environment.
    pub environment: f64,
    /// Policy updates.
    pub policy: f64,
    /// Critic updates.
    pub critic: f64,
    /// Model training.
    pub models: f64,
    /// Imagined rollouts.
    pub rollout: f64,
}

impl Phases {
    /// Adds what a method spent.
    pub fn add(&mut self, learned: &Learned) {
        self.policy += learned.seconds.policy;
        self.critic += learned.seconds.critic;
        self.models += learned.seconds.models;
        self.rollout += learned.seconds.rollout;
    }
}

impl Summary {
    /// The `train` record; sums and seconds start anew. Means without a count are left out, and what only a policy update
    /// that imagines knows where none does.
    pub fn take_record(
        &mut self,
        step: u64,
        alpha: f64,
        imagines: bool,
        phases: &mut Phases,
    ) -> Record {
        let Self { policy, critic, episodes, returns, lengths } = std::mem::take(self);
        let mut record = Record::new("train", step);
        let mut mean = |name: &str, sum: f64, count: u64| {
            if count > 0 {
                record.put(name, sum / count as f64);
            }
        };
        mean("policy_loss", policy.loss, policy.updates);
        let imagined = if imagines { policy.updates } else { 0 };
        mean("mean_abs_adjoint", policy.mean_abs_adjoint, imagined);
        mean("imagined_alive", policy.alive, imagined);
        mean("critic_loss", critic.loss, critic.updates);
        mean("q_value", critic.value, critic.updates);
        mean("entropy", critic.entropy, critic.updates);
        mean("episode_return", returns, episodes);
        mean("episode_length", lengths as f64, episodes);
        record.put("alpha", alpha);
        record.put_count("episodes", episodes);
        record.put_count("policy_updates", policy.updates);
        record.put_count("critic_updates", critic.updates);
        let seconds = std::mem::take(phases);
        record.put_seconds("environment", seconds.environment);
        record.put_seconds("policy", seconds.policy);
        record.put_seconds("critic", seconds.critic);
        record.put_seconds("models", seconds.models);
        record.put_seconds("rollout", seconds.rollout);
        record
    }
}

/// The `model` record of one training of both models.
pub fn model_record(step: u64, transitions: usize, report: &ModelReport) -> Record {
    let mut record = Record::new("model", step);
    record.put_count("transitions", transitions as u64);
    let (prediction, error) = &report.prediction;
    record.put_count("prediction_epochs", prediction.epochs);
    record.put("prediction_nll", prediction.nll);
    record.put("prediction_holdout_error", *error);
    if let Some(r) = prediction.gradient_loss {
        record.put("gradient_loss", r);
    }
    if let Some((gradient, error)) = &report.gradient {
        record.put_count("gradient_epochs", gradient.epochs);
        record.put("gradient_nll", gradient.nll);
        record.put("gradient_holdout_error", *error);
        if let Some(r) = gradient.gradient_loss {
            record.put("gradient_loss", r);
        }
    }
    record
}

/// The `rollout` record of one refill of the model buffer.
pub fn rollout_record(step: u64, report: &RolloutReport) -> Record {
    let mut record = Record::new("rollout", step);
    record.put_count("imagined_transitions", report.transitions);
    record.put("imagined_reward", report.mean_reward);
    record.put("imagined_terminated", report.terminated);
    record
}
