//! The learned networks in another float type, so that what runs in `f32` can be checked in `f64`.

use crate::critic::{Critic, QNetwork, ValueNetwork};
use crate::data::Standardiser;
use crate::methods::mage::Agent;
use crate::model::dynamics::Member;
use crate::model::{
    DynamicsModel, NormalisedMember, NormalisedModel, StandardisedModel, TerminationHead,
};
use crate::nn::{Adam, Mlp, Real};
use crate::policy::Policy;

fn numbers<T: Real, U: Real>(values: &[T]) -> Vec<U> {
    values.iter().map(|v| U::from_f64(v.to_f64())).collect()
}

/// The same network in another float type.
pub fn network<T: Real, U: Real>(network: &Mlp<T>) -> Mlp<U> {
    let mut other = Mlp::new(network.shape().clone(), |_| 0.0);
    other.update(|parameters, _| parameters.copy_from_slice(&numbers(network.parameters())));
    other
}

fn standardiser<T: Real, U: Real>(standardiser: &Standardiser<T>) -> Standardiser<U> {
    Standardiser { mean: numbers(&standardiser.mean), deviation: numbers(&standardiser.deviation) }
}

/// The same agent in another float type, its optimisers fresh.
pub fn agent<T: Real, U: Real>(agent: &Agent<T>) -> Agent<U> {
    Agent {
        policy: policy(&agent.policy),
        target_policy: network(&agent.target_policy),
        critic: critic(&agent.critic),
        target_rate: agent.target_rate,
    }
}

/// The same ensemble in another float type, its optimisers fresh.
pub fn standardised_model<T: Real, U: Real>(model: &StandardisedModel<T>) -> StandardisedModel<U> {
    StandardisedModel {
        members: model.members.iter().map(member).collect(),
        input: standardiser(&model.input),
        label: standardiser(&model.label),
        head: model.head.to(),
    }
}

fn member<T: Real, U: Real>(member: &Member<T>) -> Member<U> {
    Member {
        network: network(&member.network),
        adam: Adam::new(member.network.parameters().len(), 0.0),
    }
}

/// The same policy in another float type, its optimiser fresh.
pub fn policy<T: Real, U: Real>(policy: &Policy<T>) -> Policy<U> {
    Policy {
        network: network(&policy.network),
        adam: Adam::new(policy.network.parameters().len(), 0.0),
        scale: numbers(&policy.scale),
        bias: numbers(&policy.bias),
        log_prob_offset: U::from_f64(policy.log_prob_offset.to_f64()),
        gradient_clip: policy.gradient_clip,
        head: policy.head,
        exploration: policy.exploration,
        input: policy.input.as_ref().map(standardiser),
    }
}

/// The same critic in another float type, its optimisers fresh.
pub fn critic<T: Real, U: Real>(critic: &Critic<T>) -> Critic<U> {
    let convert = |q: &QNetwork<T>| QNetwork {
        network: network(&q.network),
        target: network(&q.target),
        adam: Adam::new(q.network.parameters().len(), 0.0),
    };
    critic.with_networks(critic.networks.iter().map(convert).collect())
}

/// The same critic of states in another float type, its optimiser fresh.
pub fn value<T: Real, U: Real>(value: &ValueNetwork<T>) -> ValueNetwork<U> {
    let adam = Adam::new(value.network.parameters().len(), 0.0);
    value.with_networks((network(&value.network), network(&value.target)), adam)
}

/// The same termination head in another float type.
pub fn termination<T: Real, U: Real>(head: &TerminationHead<T>) -> TerminationHead<U> {
    TerminationHead {
        network: network(&head.network),
        standardiser: standardiser(&head.standardiser),
    }
}

/// The same ensemble of standardised numbers with one deviation an output in another float type.
pub fn normalised_model<T: Real, U: Real>(model: &NormalisedModel<T>) -> NormalisedModel<U> {
    let convert = |member: &NormalisedMember<T>| NormalisedMember {
        network: network(&member.network),
        log_sigma: numbers(&member.log_sigma),
    };
    let standardisers = (standardiser(&model.inputs), standardiser(&model.labels));
    model.with_members(model.members.iter().map(convert).collect(), standardisers)
}

/// The same model in another float type, its optimisers fresh.
pub fn model<T: Real, U: Real>(model: &DynamicsModel<T>) -> DynamicsModel<U> {
    let standardiser = standardiser(&model.standardiser);
    model.with_members(model.members.iter().map(member).collect(), standardiser)
}
