//! The learned networks in another float type, so that what runs in `f32` can be checked in `f64`.

use crate::critic::TwinCritic;
use crate::critic::update::QNetwork;
use crate::model::dynamics::Member;
use crate::model::{DynamicsModel, Standardiser};
use crate::nn::{Adam, Mlp, Real};
use crate::policy::Policy;

fn numbers<T: Real, U: Real>(values: &[T]) -> Vec<U> {
    values.iter().map(|v| U::from_f64(v.to_f64())).collect()
}

fn network<T: Real, U: Real>(network: &Mlp<T>) -> Mlp<U> {
    let mut other = Mlp::new(network.shape().clone(), |_| 0.0);
    other.update(|parameters, _| parameters.copy_from_slice(&numbers(network.parameters())));
    other
}

/// The same policy in another float type, its optimiser fresh.
pub fn policy<T: Real, U: Real>(policy: &Policy<T>) -> Policy<U> {
    Policy {
        network: network(&policy.network),
        adam: Adam::new(policy.network.parameters().len(), 0.0),
        scale: numbers(&policy.scale),
        bias: numbers(&policy.bias),
        log_prob_offset: U::from_f64(policy.log_prob_offset.to_f64()),
    }
}

/// The same critic in another float type, its optimisers fresh.
pub fn critic<T: Real, U: Real>(critic: &TwinCritic<T>) -> TwinCritic<U> {
    critic.with_twins(critic.twins.each_ref().map(|twin| QNetwork {
        network: network(&twin.network),
        target: network(&twin.target),
        adam: Adam::new(twin.network.parameters().len(), 0.0),
    }))
}

/// The same model in another float type, its optimisers fresh.
pub fn model<T: Real, U: Real>(model: &DynamicsModel<T>) -> DynamicsModel<U> {
    let member = |member: &Member<T>| Member {
        network: network(&member.network),
        adam: Adam::new(member.network.parameters().len(), 0.0),
    };
    let standardiser = Standardiser {
        mean: numbers(&model.standardiser.mean),
        deviation: numbers(&model.standardiser.deviation),
    };
    model.with_members(model.members.iter().map(member).collect(), standardiser)
}
