//! What the parts of a block saw, as metrics: the same whoever computed it, processor or device.

use crate::model::BudgetReport;
use crate::nn::LearnError;
use crate::path::ShortPathReport;
use crate::run::{Record, Tally};

/// Updates between two looks at the noise of the policy's gradient.
pub const LOOK_EVERY: u64 = 250;

/// What an update saw.
#[derive(Clone, Copy, Debug)]
pub struct UpdateSeen {
    /// The paths, the losses and the targets.
    pub paths: ShortPathReport,
    /// The policy's gradient; `None` where the critic alone is updated.
    pub policy: Option<PolicyGradientSeen>,
    /// Whether the critics' gradients are finite.
    pub finite_critic: bool,
}

/// The gradient g of the policy's loss.
#[derive(Clone, Copy, Debug)]
pub struct PolicyGradientSeen {
    /// Whether it is finite.
    pub finite: bool,
    /// ‖g‖².
    pub square: f64,
    /// With h the part of g that comes from the first half of the minibatch: ‖h‖² and h·g, where they are asked for.
    pub half: Option<[f64; 2]>,
}

impl UpdateSeen {
    /// Puts it into the tally.
    ///
    /// # Errors
    /// When a number is not finite, or a loss beyond `max_loss`.
    pub fn tell(&self, max_loss: f64, tally: &mut Tally) -> Result<(), LearnError> {
        let Self { paths, policy, finite_critic } = self;
        if paths.broken > 0 {
            return Err(LearnError::NonFinite("the prediction model's output"));
        }
        LearnError::check("the critic's loss", paths.critic_loss, max_loss)?;
        tally.mean("critic_loss", paths.critic_loss);
        tally.mean("q_value", paths.value);
        tally.mean("q_target", paths.target);
        tally.mean("clipped_targets", paths.clipped);
        tally.mean("imagined_alive", paths.alive);
        if let Some(PolicyGradientSeen { finite, square, half }) = *policy {
            LearnError::check("the policy's loss", paths.policy_loss, max_loss)?;
            if !finite {
                return Err(LearnError::NonFinite("the policy's gradient"));
            }
            tally.mean("policy_loss", paths.policy_loss);
            tally.mean("mean_abs_adjoint", paths.mean_abs_adjoint);
            tally.mean("policy_gradient_norm", square.sqrt());
            tally.mean("entropy", -paths.log_prob);
            if let Some([own, cross]) = half {
                // The other half is what remains of the whole.
                let others = square - 2.0 * cross + own;
                tally.mean("policy_gradient_cosine", (cross - own) / (own * others).sqrt());
            }
        }
        if !finite_critic {
            return Err(LearnError::NonFinite("the critic's gradient"));
        }
        tally.count("critic_updates", 1);
        if policy.is_some() {
            tally.count("policy_updates", 1);
        }
        Ok(())
    }
}

/// The record of a training of both models on so many transitions, `gradient` being that of M^g where there is one.
///
/// # Errors
/// When a loss is not finite.
pub fn models_record(
    step: u64,
    transitions: usize,
    prediction: &BudgetReport,
    gradient: Option<&BudgetReport>,
) -> Result<Record, LearnError> {
    let mut record = Record::new("model", step);
    record.put_count("transitions", transitions as u64);
    let mut put = |name: &str, report: &BudgetReport| {
        record.put(&format!("{name}_nll"), report.nll);
        record.put(&format!("{name}_holdout_loss"), report.holdout_loss);
        record.put(&format!("{name}_holdout_error"), report.holdout_error);
        record.put_count(&format!("{name}_best_step"), report.best_step as u64);
    };
    put("prediction", prediction);
    if !(prediction.nll + prediction.holdout_loss).is_finite() {
        return Err(LearnError::NonFinite("the prediction model's loss"));
    }
    if let Some(report) = gradient {
        put("gradient", report);
        record.put("secant_loss", report.secant_loss);
        if !(report.nll + report.secant_loss + report.holdout_loss).is_finite() {
            return Err(LearnError::NonFinite("the gradient model's loss"));
        }
    }
    Ok(record)
}

/// The record of so many long rollouts in a block, of `starts` states each, which met so many states.
pub fn rollouts_record(step: u64, rollouts: usize, starts: usize, states: u64) -> Record {
    let mut record = Record::new("rollout", step);
    record.put_count("imagined_states", states);
    let rows = (rollouts * starts).max(1);
    record.put("imagined_length", states as f64 / rows as f64);
    record
}
