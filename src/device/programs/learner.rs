//! What an actor and its critic are learned by: policy, critic with targets, temperature, and the step of the critic and the temperature.

use super::network::{AdamFactors, StackShape, TrainedStack, all_finite, step_together};
use super::policy::PolicyShape;
use crate::device::graph::{Graph, Number, Value};

/// Sizes and settings that are the same for all runs of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct LearnerShape {
    /// π.
    pub policy: PolicyShape,
    /// The networks Q(s, a).
    pub critic: StackShape,
    /// Rows of a minibatch.
    pub batch: usize,
    /// γ.
    pub discount: f64,
    /// Entries of the policy's gradient are clipped to ± this.
    pub policy_clip: f64,
    /// Entries of the critic's gradients are clipped to ± this.
    pub critic_clip: f64,
    /// τ of the targets.
    pub target_rate: f64,
    /// Entropy aimed at; `None` where α is fixed.
    pub target_entropy: Option<f64>,
}

/// The learned arrays.
#[derive(Clone, Debug)]
pub struct LearnerState<'g> {
    /// π.
    pub policy: TrainedStack<'g>,
    /// Q.
    pub critic: TrainedStack<'g>,
    /// Q̄.
    pub targets: Vec<Value<'g>>,
    /// log α and its moments, in double precision as on the CPU, `[runs, 1, 1, 3]`.
    pub temperature: Value<'g>,
}

/// Columns of [`LearnerShape::factors`].
pub const FACTORS: usize = 7;

/// What the updates of a call depend on beside their draws.
#[derive(Clone, Copy, Debug)]
pub struct LearnerFactors<'g> {
    /// Of the policy's step.
    pub policy: AdamFactors<'g>,
    /// Of the critic's steps.
    pub critic: AdamFactors<'g>,
    /// Of log α's.
    pub temperature: AdamFactors<'g>,
}

/// A critic's minibatch, `[runs, 1, rows, …]`.
#[derive(Clone, Copy, Debug)]
pub struct TransitionRows<'g> {
    /// s.
    pub states: Value<'g>,
    /// a.
    pub actions: Value<'g>,
    /// r.
    pub rewards: Value<'g>,
    /// s'.
    pub next_states: Value<'g>,
    /// 1 − d.
    pub alive: Value<'g>,
    /// Of the policy's action in s, for the temperature.
    pub noise: Value<'g>,
    /// Of the policy's action in s'.
    pub next_noise: Value<'g>,
}

impl LearnerShape {
    /// |S|.
    pub fn observation_dim(&self) -> usize {
        self.policy.stack.sizes[0]
    }

    /// Runs of the group.
    pub fn runs(&self) -> usize {
        self.critic.runs
    }

    /// Sizes of the array of the temperatures and their moments.
    pub fn temperature_sizes(&self) -> [usize; 4] {
        [self.runs(), 1, 1, 3]
    }

    /// Numbers of a row of a critic's minibatch.
    pub fn transition_width(&self) -> usize {
        2 * self.observation_dim() + 3 * self.policy.action_dim() + 2
    }

    /// A critic's minibatch in one array, `[runs, 1, rows, transition_width]`.
    pub fn transition_rows<'g>(&self, rows: Value<'g>) -> TransitionRows<'g> {
        let (s, a) = (self.observation_dim(), self.policy.action_dim());
        let mut at = 0;
        let mut take = |width: usize| {
            at += width;
            rows.slice(3, at - width, at)
        };
        TransitionRows {
            states: take(s),
            actions: take(a),
            rewards: take(1),
            next_states: take(s),
            alive: take(1),
            noise: take(a),
            next_noise: take(a),
        }
    }

    /// The factors of an update in one array, `[runs, 1, 1, FACTORS]`: for policy, critic and temperature, rate and scale of the second
    /// moments; and 1 for a run that is updated, else 0.
    pub fn factors<'g>(&self, factors: Value<'g>) -> LearnerFactors<'g> {
        let of = |k: usize| AdamFactors::of_columns(factors, k);
        LearnerFactors { policy: of(0), critic: of(2), temperature: of(4) }
    }

    /// Arguments for the learned arrays, in the order of [`LearnerState::arrays`].
    pub fn arguments<'g>(&self, graph: &'g Graph) -> LearnerState<'g> {
        LearnerState {
            policy: TrainedStack::arguments(&self.policy.stack, graph),
            critic: TrainedStack::arguments(&self.critic, graph),
            targets: self.critic.arguments(graph),
            temperature: graph.argument(&self.temperature_sizes(), Number::Double),
        }
    }

    /// The least of the networks' values, `[runs, 1, rows, 1]`.
    pub fn least<'g>(
        &self,
        networks: &[Value<'g>],
        states: Value<'g>,
        actions: Value<'g>,
    ) -> Value<'g> {
        self.least_of(self.values(networks, states, actions))
    }

    /// Each network's values, `[runs, networks, rows, 1]`.
    fn values<'g>(
        &self,
        networks: &[Value<'g>],
        states: Value<'g>,
        actions: Value<'g>,
    ) -> Value<'g> {
        self.critic.forward(networks, Value::concatenate(&[states, actions], 3))
    }

    fn least_of<'g>(&self, values: Value<'g>) -> Value<'g> {
        let one = |q: usize| values.slice(1, q, q + 1);
        (1..self.critic.networks).fold(one(0), |least, q| least.min(one(q)))
    }

    /// One step of critic, targets and temperature (eq. 12, 13). What it saw, `[runs, 1, 1, 4]`: the loss, mean least value, mean log π,
    /// and whether the gradient was finite.
    pub fn critic_step<'g>(
        &self,
        graph: &'g Graph,
        state: &mut LearnerState<'g>,
        rows: TransitionRows<'g>,
        factors: LearnerFactors<'g>,
    ) -> Value<'g> {
        let TransitionRows { states, actions, rewards, next_states, alive, .. } = rows;
        let policy = &state.policy.parameters;
        let present = self.policy.sample(graph, policy, states, rows.noise);
        let next = self.policy.sample(graph, policy, next_states, rows.next_noise);
        let alpha = state.alpha();
        let ahead = self.least(&state.targets, next_states, next.actions) - alpha * next.log_probs;
        let targets = (rewards + alive * self.discount * ahead).held();
        let networks = &state.critic.parameters;
        let values = self.values(networks, states, actions);
        let errors = values - targets;
        let share = 1.0 / self.batch as f64;
        let loss = (errors * errors).sum_from(1) * share;
        let gradient = graph.gradient(loss, networks);
        let least = self.least_of(values);
        let log_prob = present.log_probs.sum_from(1) * share;
        let seen = [loss, least.sum_from(1) * share, log_prob, all_finite(&gradient)];
        state.critic.step(&gradient, |_| 0.0, self.critic_clip, factors.critic);
        let live = factors.critic.live;
        for (target, &own) in state.targets.iter_mut().zip(&state.critic.parameters) {
            let moved = *target + (own - *target) * self.target_rate;
            *target = live.select(moved, *target).held();
        }
        if let Some(entropy) = self.target_entropy {
            state.temperature_step(log_prob, entropy, factors.temperature);
        }
        Value::concatenate(&seen, 3)
    }
}

impl<'g> LearnerState<'g> {
    /// α, `[runs, 1, 1, 1]`.
    pub fn alpha(&self) -> Value<'g> {
        self.temperature.slice(3, 0, 1).exp().convert(Number::Single)
    }

    /// All arrays in the order of the arguments.
    pub fn arrays(&self) -> Vec<Value<'g>> {
        let networks = self.policy.arrays().chain(self.critic.arrays());
        networks.chain(self.targets.iter().copied()).chain([self.temperature]).collect()
    }

    /// One step of log α down −log α·(mean log π + target entropy).
    fn temperature_step(&mut self, log_prob: Value<'g>, entropy: f64, factors: AdamFactors<'g>) {
        let gradient = -(log_prob.convert(Number::Double) + entropy);
        self.temperature = step_together(self.temperature, 3, gradient, factors);
    }
}
