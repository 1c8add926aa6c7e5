//! The learned state of a group on the device, and its way there and back: policies, critics, targets, temperatures.

use rayon::prelude::*;

use super::arrays::{FetchedStack, StackDownload, stack, upload_stack};
use super::parts::LearnedParts;
use super::recipe::Recipe;
use crate::critic::TargetRule;
use crate::device::pjrt::{Buffer, Device, DeviceError, Download};
use crate::device::programs::{FACTORS, LearnerShape, PolicyShape, StackShape};
use crate::nn::Shape;

/// Arrays of the learned state, in the order of the programs' arguments.
pub(super) struct LearnedArrays {
    pub shape: LearnerShape,
    pub buffers: Vec<Buffer>,
    policy: Shape,
    critic: Shape,
}

/// What comes back after each step, on its way.
pub(super) struct PoliciesDownload {
    policies: StackDownload,
    temperatures: Download<f64>,
}

/// The programs' sizes and settings for runs like this one.
pub(super) fn learner_shape(
    parts: &LearnedParts<'_>,
    recipe: &Recipe,
    slots: usize,
) -> LearnerShape {
    let LearnedParts { policy, critic, temperature, .. } = parts;
    let TargetRule::Polyak(target_rate) = critic.target_rule() else {
        unreachable!("the parts have been checked")
    };
    LearnerShape {
        policy: PolicyShape {
            stack: stack(slots, 1, policy.network.shape()),
            head: policy.head,
            scale: policy.scale.clone(),
            bias: policy.bias.clone(),
            log_prob_offset: policy.log_prob_offset,
        },
        critic: stack(slots, critic.networks.len(), critic.shape()),
        batch: recipe.batch(),
        discount: recipe.experience.discount,
        policy_clip: policy.gradient_clip,
        critic_clip: critic.gradient_clip(),
        target_rate,
        target_entropy: temperature.automatic.then_some(temperature.target_entropy),
    }
}

impl LearnedArrays {
    /// Brings the state of all runs to the device. Slots beyond the runs get the first one's, and never learn.
    pub fn upload<'r>(
        device: &Device,
        shape: LearnerShape,
        runs: &'r [LearnedParts<'_>],
    ) -> Result<Self, DeviceError> {
        let at = |slot: usize| runs.get(slot).unwrap_or(&runs[0]);
        let policy = runs[0].policy.network.shape().clone();
        let critic = runs[0].critic.shape().clone();
        let mut buffers = Vec::new();
        let mut put = |stack, shape, of: &dyn Fn(usize, usize) -> &'r [f32]| {
            upload_stack(device, stack, shape, of).map(|arrays| buffers.extend(arrays))
        };
        let stack = &shape.policy.stack;
        put(stack, &policy, &|slot, _| at(slot).policy.network.parameters())?;
        put(stack, &policy, &|slot, _| &at(slot).policy.adam.first)?;
        put(stack, &policy, &|slot, _| &at(slot).policy.adam.second)?;
        let (stack, q) = (&shape.critic, |slot: usize, n: usize| &at(slot).critic.networks[n]);
        put(stack, &critic, &|slot, n| q(slot, n).network.parameters())?;
        put(stack, &critic, &|slot, n| &q(slot, n).adam.first)?;
        put(stack, &critic, &|slot, n| &q(slot, n).adam.second)?;
        put(stack, &critic, &|slot, n| q(slot, n).target.parameters())?;
        let temperatures = (0..shape.runs()).flat_map(|slot| {
            let temperature = &at(slot).temperature;
            [temperature.log_alpha, temperature.adam.first[0], temperature.adam.second[0]]
        });
        let temperatures: Vec<f64> = temperatures.collect();
        buffers.push(device.upload(&temperatures, &shape.temperature_sizes())?);
        Ok(Self { shape, buffers, policy, critic })
    }

    /// Adam's factors of the next update of a run, `ahead` updates from now, and that it is live.
    pub fn factors(parts: &LearnedParts<'_>, ahead: u64) -> [f32; FACTORS] {
        let LearnedParts { policy, critic, temperature, .. } = parts;
        let of_policy = policy.adam.factors_of(policy.adam.updates + 1 + ahead);
        let critic = &critic.networks[0].adam;
        let of_critic = critic.factors_of(critic.updates + 1 + ahead);
        let of_temperature = temperature.adam.factors_of(temperature.adam.updates + 1 + ahead);
        let [a, b, c] = [of_policy, of_critic, of_temperature];
        [a[0], a[1], b[0], b[1], c[0], c[1], 1.0].map(|x| x as f32)
    }

    /// The policies' parameters on the device.
    pub fn policies(&self) -> &[Buffer] {
        &self.buffers[..2 * self.policy.layers.len()]
    }

    /// Begins to fetch what is used or told between steps: the policies, which act, and log α.
    pub fn begin_policies(&self) -> Result<PoliciesDownload, DeviceError> {
        let policies = FetchedStack::begin(self.policies(), &self.shape.policy.stack)?;
        Ok(PoliciesDownload { policies, temperatures: self.begin_temperatures()? })
    }

    /// Waits for it, and gives it to the runs that are there.
    pub fn fetch_policies(
        &self,
        download: PoliciesDownload,
        runs: &mut [Option<LearnedParts<'_>>],
    ) -> Result<(), DeviceError> {
        let policies = download.policies.wait()?;
        let temperatures = download.temperatures.wait()?;
        runs.par_iter_mut().enumerate().for_each(|(slot, parts)| {
            let Some(parts) = parts else { return };
            parts.temperature.log_alpha = temperatures[3 * slot];
            // The way back is renewed when all is fetched: acting needs none.
            parts.policy.network.update_forward_only(|parameters| {
                policies.write(slot, 0, &self.policy, parameters);
            });
        });
        Ok(())
    }

    /// log α and its moments of each slot.
    fn begin_temperatures(&self) -> Result<Download<f64>, DeviceError> {
        let buffer = self.buffers.last().expect("the temperatures are the last array");
        buffer.download_later(vec![0.0; 3 * self.shape.runs()])
    }

    /// Brings back everything of the runs that are there.
    pub fn fetch(&self, runs: &mut [Option<LearnedParts<'_>>]) -> Result<(), DeviceError> {
        let mut rest = &self.buffers[..];
        let mut take = |stack: &StackShape, shape: &Shape| {
            let (own, others) = rest.split_at(2 * shape.layers.len());
            rest = others;
            FetchedStack::begin(own, stack)
        };
        let (of_policy, of_critic) = (&self.shape.policy.stack, &self.shape.critic);
        let (mut policies, mut critics) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            policies.push(take(of_policy, &self.policy)?);
        }
        for _ in 0..4 {
            critics.push(take(of_critic, &self.critic)?);
        }
        let temperatures = self.begin_temperatures()?;
        let arrived = |all: Vec<StackDownload>| {
            all.into_iter().map(StackDownload::wait).collect::<Result<Vec<_>, _>>()
        };
        let (policies, critics) = (arrived(policies)?, arrived(critics)?);
        let temperatures = temperatures.wait()?;
        for (slot, parts) in runs.iter_mut().enumerate() {
            let Some(LearnedParts { policy, critic, temperature, .. }) = parts else { continue };
            policy
                .network
                .update(|parameters, shape| policies[0].write(slot, 0, shape, parameters));
            policies[1].write(slot, 0, &self.policy, &mut policy.adam.first);
            policies[2].write(slot, 0, &self.policy, &mut policy.adam.second);
            for (n, q) in critic.networks.iter_mut().enumerate() {
                q.network.update(|parameters, shape| critics[0].write(slot, n, shape, parameters));
                critics[1].write(slot, n, &self.critic, &mut q.adam.first);
                critics[2].write(slot, n, &self.critic, &mut q.adam.second);
                q.target.update(|parameters, shape| critics[3].write(slot, n, shape, parameters));
            }
            let own = &temperatures[3 * slot..][..3];
            temperature.log_alpha = own[0];
            temperature.adam.first[0] = own[1];
            temperature.adam.second[0] = own[2];
        }
        Ok(())
    }
}
