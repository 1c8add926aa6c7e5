//! What a device learns in place of a method: the method's parts, and the order of its updates.

use crate::config::Config;
use crate::critic::{Critic, TargetRule};
use crate::data::Replay;
use crate::device::pjrt::DeviceError;
use crate::methods::Method;
use crate::methods::sac::{Sac, SacConfig};
use crate::policy::{Exploration, Head, Policy, Temperature};
use crate::rng::Rng;

/// The parts of a method that the programs know.
pub(super) struct LearnedParts<'m> {
    pub policy: &'m mut Policy<f32>,
    pub critic: &'m mut Critic<f32>,
    pub temperature: &'m mut Temperature,
    /// Real transitions.
    pub real: &'m Replay,
    /// Draws of the policy's updates.
    pub policy_stream: &'m mut Rng,
    /// Draws of the critic's updates.
    pub critic_stream: &'m mut Rng,
}

impl<'m> LearnedParts<'m> {
    /// Those of a method; `None` where no program is for it.
    pub fn of(method: &'m mut dyn Method) -> Option<Self> {
        let Sac { policy, critic, temperature, real, policy_update, critic_update, .. } =
            method.downcast_mut::<Sac>()?;
        Some(Self {
            policy,
            critic,
            temperature,
            real,
            policy_stream: policy_update.stream_mut(),
            critic_stream: critic_update.stream_mut(),
        })
    }

    /// Whether the programs compute what these parts do.
    pub fn check(&self) -> Result<(), DeviceError> {
        let Policy { head, exploration, input, adam, .. } = &*self.policy;
        let fits = *head == Head::Gaussian
            && *exploration == Exploration::Sampled
            && input.is_none()
            && !adam.is_rectified()
            && matches!(self.critic.target_rule(), TargetRule::Polyak(_));
        let problem = "no device program is for this policy or critic".to_owned();
        fits.then_some(()).ok_or(DeviceError::Unsupported(problem))
    }
}

/// The order of a method's updates, and what is the same for all runs of a group.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Recipe {
    /// Rows of a minibatch.
    pub batch: usize,
    /// γ.
    pub discount: f64,
    /// `guards.max_loss`.
    pub max_loss: f64,
    /// Updates after each step: of critic and temperature, each followed by one of the policy on the same minibatch.
    pub updates: usize,
}

impl Recipe {
    /// That of a configuration.
    pub fn of(config: &Config) -> Result<Self, DeviceError> {
        match config.algorithm() {
            "sac" => {
                let SacConfig { run, training, .. } = config.view();
                let experience = &training.experience;
                Ok(Self {
                    batch: experience.batch_size,
                    discount: experience.discount,
                    max_loss: run.guards.max_loss,
                    updates: training.critic_updates_per_step,
                })
            }
            other => Err(DeviceError::Unsupported(format!(
                "`{other}` has no device programs yet, `sac` has: train it with `--device cpu`"
            ))),
        }
    }

    /// Whether there is something to learn after a step, of so many transitions.
    pub fn is_due(&self, transitions: usize) -> bool {
        transitions > self.batch
    }
}
