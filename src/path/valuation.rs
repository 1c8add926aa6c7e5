//! A policy and what values the end of its paths: all that its gradient along *real* paths needs of a method.

use super::objective::Objective;
use crate::critic::Critic;
use crate::policy::Policy;

/// How a critic's networks say one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EndValue {
    /// The least of them, of raw states and actions (eq. 11).
    Least,
    /// The mean of them, times `half_width` plus `centre`. They read states through the policy's standardiser, and actions scaled to [−1, 1].
    Mean {
        /// Value where all networks say 0.
        centre: f64,
        /// What an output of 1 adds to it.
        half_width: f64,
    },
}

/// What a policy is improved on, but for where its paths lead.
#[derive(Clone, Copy)]
pub struct Valuation<'a, T> {
    /// π. It may read states through a standardiser of its own.
    pub policy: &'a Policy<T>,
    /// Takes over after the last step.
    pub critic: &'a Critic<T>,
    /// How it does.
    pub end: EndValue,
    /// α.
    pub alpha: f64,
    /// γ.
    pub discount: f64,
    /// H.
    pub horizon: usize,
}

impl<'a, T> Valuation<'a, T> {
    /// Of an objective whose steps are imagined and whose networks read raw states; `None` of others.
    pub fn of(objective: Objective<'a, T>) -> Option<Self> {
        let horizon = objective.horizon();
        let Objective { policy, imagination, critic, alpha, discount } = objective;
        let raw = imagination.is_some() && policy.input.is_none();
        raw.then_some(Self { policy, critic, end: EndValue::Least, alpha, discount, horizon })
    }
}
