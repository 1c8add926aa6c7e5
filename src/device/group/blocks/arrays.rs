//! What a block changes on the device, and its way there and back: policies, critics, targets, temperatures, ranges of values; and the
//! models, which its updates only read.

use crate::critic::{TargetRule, ValueRange};
use crate::device::group::arrays::{FetchedStack, stack, upload_stack};
use crate::device::pjrt::{Buffer, Device, DeviceError};
use crate::device::programs::{
    FACTORS, LearnerShape, NormalisedShape, PolicyShape, ShortPathShape, StackShape,
};
use crate::env::Task;
use crate::methods::ddppo_plus::{BlockParts, DdppoPlusConfig};
use crate::model::NormalisedModel;
use crate::nn::Shape;
use crate::path::DerivativeSource;

/// The sizes of a block's updates for runs like this one.
pub(super) fn short_path_shape(
    parts: &BlockParts<'_>,
    config: &DdppoPlusConfig,
    slots: usize,
) -> Result<ShortPathShape, DeviceError> {
    let BlockParts { policy, critic, temperature, prediction_model, task, .. } = parts;
    let TargetRule::Polyak(target_rate) = critic.target_rule() else {
        return Err(DeviceError::Unsupported("these runs have no device programs".to_owned()));
    };
    let learner = LearnerShape {
        policy: PolicyShape {
            stack: stack(slots, 1, policy.network.shape()),
            head: policy.head,
            scale: policy.scale.clone(),
            bias: policy.bias.clone(),
            log_prob_offset: policy.log_prob_offset,
        },
        critic: stack(slots, critic.networks.len(), critic.shape()),
        batch: config.training.experience.batch_size,
        discount: config.training.experience.discount,
        policy_clip: policy.gradient_clip,
        critic_clip: critic.gradient_clip(),
        target_rate,
        target_entropy: temperature.automatic.then_some(temperature.target_entropy),
    };
    Ok(ShortPathShape {
        learner,
        horizon: config.policy.path.horizon,
        derivative_members: config.policy.path.derivative_members,
        model: NormalisedShape {
            stack: stack(slots, prediction_model.members.len(), prediction_model.shape()),
            healthy: healthy_ranges(*task)?,
        },
        gradient_model: config.policy.path.gradient_source == DerivativeSource::Gradient,
    })
}

fn healthy_ranges(task: &dyn Task) -> Result<Vec<(f32, f32)>, DeviceError> {
    task.healthy_ranges().ok_or_else(|| {
        DeviceError::Unsupported(format!(
            "task `{}` ends episodes by a rule that no device program has: train it on the processor, without --device",
            task.name()
        ))
    })
}

/// What some runs change in a block, in the order of the programs' arguments.
pub(super) struct BlockArrays {
    pub learned: Vec<Buffer>,
    /// Units, then networks and log σ of M^p.
    prediction: Vec<Buffer>,
    /// Networks of M^g; none where M^p gives the derivatives.
    gradient: Vec<Buffer>,
    policy: Shape,
    critic: Shape,
}

impl BlockArrays {
    /// Brings all of it to the device. A slot without a run has another's numbers, and never learns; a run is there in at least one.
    pub fn upload(
        device: &Device,
        shape: &ShortPathShape,
        runs: &[Option<BlockParts<'_>>],
    ) -> Result<Self, DeviceError> {
        let any = runs.iter().flatten().next().expect("there is a run");
        let at = |slot: usize| runs[slot].as_ref().unwrap_or(any);
        let (policy, critic) = (any.policy.network.shape().clone(), any.critic.shape().clone());
        let slots = shape.learner.runs();
        let mut learned = Vec::new();
        let mut put = |stack: &StackShape, shape: &Shape, of: &dyn Fn(usize, usize) -> Vec<f32>| {
            // Vectors are gathered first: parts lend them mutably, one at a time.
            let all: Vec<Vec<f32>> = (0..slots * stack.networks)
                .map(|k| of(k / stack.networks, k % stack.networks))
                .collect();
            upload_stack(device, stack, shape, |slot, n| &all[slot * stack.networks + n])
                .map(|arrays| learned.extend(arrays))
        };
        let of_policy = &shape.learner.policy.stack;
        put(of_policy, &policy, &|slot, _| at(slot).policy.network.parameters().to_vec())?;
        put(of_policy, &policy, &|slot, _| at(slot).policy.adam.first.clone())?;
        put(of_policy, &policy, &|slot, _| at(slot).policy.adam.second.clone())?;
        let (of_critic, q) =
            (&shape.learner.critic, |slot: usize, n: usize| &at(slot).critic.networks[n]);
        put(of_critic, &critic, &|slot, n| q(slot, n).network.parameters().to_vec())?;
        put(of_critic, &critic, &|slot, n| q(slot, n).adam.first.clone())?;
        put(of_critic, &critic, &|slot, n| q(slot, n).adam.second.clone())?;
        put(of_critic, &critic, &|slot, n| q(slot, n).target.parameters().to_vec())?;
        let threes = |of: &dyn Fn(&BlockParts<'_>) -> [f64; 3]| {
            let numbers: Vec<f64> = (0..slots).flat_map(|slot| of(at(slot))).collect();
            device.upload(&numbers, &[slots, 1, 1, 3])
        };
        learned.push(threes(&|parts| {
            let temperature = &parts.temperature;
            [temperature.log_alpha, temperature.adam.first[0], temperature.adam.second[0]]
        })?);
        learned.push(threes(&|parts| parts.range.numbers())?);
        let model = |slot: usize| -> &NormalisedModel<f32> { at(slot).prediction_model };
        let rows = |of: &dyn Fn(&NormalisedModel<f32>) -> &[f32]| {
            let rows: Vec<f32> = (0..slots).flat_map(|slot| of(model(slot)).to_vec()).collect();
            device.upload(&rows, &[slots, 1, 1, rows.len() / slots])
        };
        let mut prediction = vec![
            rows(&|model| &model.inputs.mean)?,
            rows(&|model| &model.inputs.deviation)?,
            rows(&|model| &model.labels.mean)?,
            rows(&|model| &model.labels.deviation)?,
        ];
        let (of_model, members) = (&shape.model.stack, shape.model.stack.networks);
        prediction.extend(upload_stack(device, of_model, model(0).shape(), |slot, m| {
            model(slot).members[m].network.parameters()
        })?);
        let sigmas: Vec<f32> = (0..slots)
            .flat_map(|slot| model(slot).members.iter().flat_map(|m| m.log_sigma.clone()))
            .collect();
        prediction.push(device.upload(&sigmas, &[slots, members, 1, shape.model.labels()])?);
        let mut gradient = Vec::new();
        if shape.gradient_model {
            gradient = upload_stack(device, of_model, model(0).shape(), |slot, m| {
                let model = at(slot).gradient_model.as_deref().unwrap_or(model(slot));
                model.members[m].network.parameters()
            })?;
        }
        Ok(Self { learned, prediction, gradient, policy, critic })
    }

    /// The policies' parameters.
    pub fn policies(&self) -> &[Buffer] {
        &self.learned[..2 * self.policy.layers.len()]
    }

    /// M^p: units, networks, log σ.
    pub fn prediction(&self) -> &[Buffer] {
        &self.prediction
    }

    /// The models of an update.
    pub fn models(&self) -> impl Iterator<Item = &Buffer> {
        self.prediction.iter().chain(&self.gradient)
    }

    /// Adam's factors of a run's next update, `ahead` updates of the critic from now; of the policy and the temperature, where they are
    /// updated along, likewise.
    pub fn factors(parts: &BlockParts<'_>, ahead: u64) -> [f32; FACTORS] {
        let BlockParts { policy, critic, temperature, .. } = parts;
        let of_policy = policy.adam.factors_of(policy.adam.updates + 1 + ahead);
        let critic = &critic.networks[0].adam;
        let of_critic = critic.factors_of(critic.updates + 1 + ahead);
        let of_temperature = temperature.adam.factors_of(temperature.adam.updates + 1 + ahead);
        let [a, b, c] = [of_policy, of_critic, of_temperature];
        [a[0], a[1], b[0], b[1], c[0], c[1], 1.0].map(|x| x as f32)
    }

    /// Brings back what the runs that are there have changed.
    pub fn fetch(
        &self,
        shape: &ShortPathShape,
        runs: &mut [Option<BlockParts<'_>>],
    ) -> Result<(), DeviceError> {
        let mut rest = &self.learned[..];
        let mut take = |stack: &StackShape, shape: &Shape| {
            let (own, others) = rest.split_at(2 * shape.layers.len());
            rest = others;
            FetchedStack::fetch(own, stack)
        };
        let (of_policy, of_critic) = (&shape.learner.policy.stack, &shape.learner.critic);
        let (mut policies, mut critics) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            policies.push(take(of_policy, &self.policy)?);
        }
        for _ in 0..4 {
            critics.push(take(of_critic, &self.critic)?);
        }
        let mut threes = [(); 2].map(|()| vec![0.0_f64; 3 * shape.learner.runs()]);
        for (numbers, buffer) in threes.iter_mut().zip(rest) {
            buffer.download(numbers)?;
        }
        let [temperatures, ranges] = threes;
        for (slot, parts) in runs.iter_mut().enumerate() {
            let Some(BlockParts { policy, critic, temperature, range, .. }) = parts else {
                continue;
            };
            policy.network.update(|vector, shape| policies[0].write(slot, 0, shape, vector));
            policies[1].write(slot, 0, &self.policy, &mut policy.adam.first);
            policies[2].write(slot, 0, &self.policy, &mut policy.adam.second);
            for (n, q) in critic.networks.iter_mut().enumerate() {
                q.network.update(|vector, shape| critics[0].write(slot, n, shape, vector));
                critics[1].write(slot, n, &self.critic, &mut q.adam.first);
                critics[2].write(slot, n, &self.critic, &mut q.adam.second);
                q.target.update(|vector, shape| critics[3].write(slot, n, shape, vector));
            }
            let three = |of: &[f64]| [of[3 * slot], of[3 * slot + 1], of[3 * slot + 2]];
            let [log_alpha, first, second] = three(&temperatures);
            temperature.log_alpha = log_alpha;
            (temperature.adam.first[0], temperature.adam.second[0]) = (first, second);
            **range = ValueRange::of_numbers(three(&ranges));
        }
        Ok(())
    }
}
