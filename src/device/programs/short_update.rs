//! The update of critic, policy and temperature on short paths: both objectives are written down on the paths, and their gradients are the
//! graph's (`src/path/short_adjoint.rs` has the ways back by hand).

use super::actor::PathDraws;
use super::learner::{LearnerFactors, LearnerState};
use super::network::{StackShape, all_finite, step_together};
use super::policy::DrawnActions;
use super::short_path::{FollowedPaths, ShortPathModels, ShortPathShape, ShortPathState};
use super::value_range::{middle_and_half_width, noted};
use crate::device::graph::{Graph, Number, Value};

/// What an update is on.
#[derive(Clone, Copy, Debug)]
pub struct ShortPathRows<'g> {
    /// Rows of `ShortPathShape::draws_width` numbers; where some are dealt out, they are those in `ShortPathShape::dealt_columns`.
    pub draws: PathDraws<'g>,
    /// The two target networks that targets are the least of, `[runs, 2]`.
    pub pair: Value<'g>,
    /// Of the three optimisers.
    pub factors: LearnerFactors<'g>,
}

/// What an update is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShortPathUpdate {
    /// The critic.
    Critic,
    /// Critic, policy and temperature.
    All,
    /// As `All`, and the part of the policy's gradient is looked at that comes from so many first rows.
    Looked(usize),
}

/// Numbers that an update of the critic tells.
pub const CRITIC_NUMBERS: usize = 8;
/// Numbers that an update tells of the policy, after those of the critic.
pub const POLICY_NUMBERS: usize = 6;

/// A path's state and action as a critic's input.
fn point<'g>(states: Value<'g>, drawn: &DrawnActions<'g>) -> Value<'g> {
    Value::concatenate(&[states, drawn.normalised], 3)
}

/// As a constant in double precision.
fn double(x: Value<'_>) -> Value<'_> {
    x.convert(Number::Double).held()
}

impl<'g> ShortPathState<'g> {
    /// α in double precision, `[runs, 1, 1, 1]`.
    fn alpha(&self) -> Value<'g> {
        self.learner.temperature.slice(3, 0, 1).exp()
    }
}

impl ShortPathShape {
    /// One update. What it saw, `[runs, 1, 1, …]`: rows broken, the critic's loss, mean value, mean target, mean log π, share of rows alive
    /// at the end, share of targets clipped, and whether the critics' gradients were finite; then, with the policy, its loss, mean |λ|, whether
    /// its gradient g was finite, ‖g‖², and, where that is looked at, ‖h‖² and h·g of the part h of the first rows, else 0.
    pub fn update<'g>(
        &self,
        graph: &'g Graph,
        state: &mut ShortPathState<'g>,
        models: &ShortPathModels<'g>,
        of: ShortPathUpdate,
        on: ShortPathRows<'g>,
    ) -> Value<'g> {
        let path = self.follow(graph, &state.learner, models, on.draws);
        let live = on.factors.critic.live;
        let range = self.note(state, &path);
        state.range = live.select(range, state.range).held();
        let (loss, mut seen) = self.critic_loss(state, &path, on.pair);
        let by_critic = graph.gradient(loss, &state.learner.critic.parameters);
        seen.push(all_finite(&by_critic));
        // Both are differentiated at the weights from before the update.
        let of_policy = match of {
            ShortPathUpdate::Critic => None,
            ShortPathUpdate::All => Some(self.policy_gradient(graph, state, &path, None)),
            ShortPathUpdate::Looked(rows) => {
                Some(self.policy_gradient(graph, state, &path, Some(rows)))
            }
        };
        let LearnerState { policy, critic, targets, temperature } = &mut state.learner;
        let learner = &self.learner;
        critic.step(&by_critic, |_| 0.0, learner.critic_clip, on.factors.critic);
        for (target, &own) in targets.iter_mut().zip(&critic.parameters) {
            let moved = *target + (own - *target) * learner.target_rate;
            *target = live.select(moved, *target).held();
        }
        if let Some((by_policy, of_policy)) = of_policy {
            policy.step(&by_policy, |_| 0.0, learner.policy_clip, on.factors.policy);
            if let Some(entropy) = learner.target_entropy {
                let log_prob = self.mean(path.drawn[0].log_probs);
                let gradient = -(log_prob.convert(Number::Double) + entropy);
                *temperature = step_together(*temperature, 3, gradient, on.factors.temperature);
            }
            seen.extend(of_policy);
        }
        Value::concatenate(&seen, 3)
    }

    /// The mean over a minibatch's rows, `[runs, 1, 1, 1]`.
    fn mean<'g>(&self, rows: Value<'g>) -> Value<'g> {
        rows.sum_from(1) / self.learner.batch as f64
    }

    /// The range of values after r − α·log π of all living steps.
    fn note<'g>(&self, state: &ShortPathState<'g>, path: &FollowedPaths<'g>) -> Value<'g> {
        let steps = path.rewards.iter().zip(&path.drawn);
        let all = steps.map(|(&r, drawn)| double(r) - state.alpha() * double(drawn.log_probs));
        let rewards = Value::concatenate(&all.collect::<Vec<_>>(), 2);
        let living: Vec<_> = path.alive[..self.horizon].iter().map(|&m| double(m)).collect();
        noted(state.range, rewards, Value::concatenate(&living, 2), self.learner.discount)
    }

    /// Every row's target, clipped to the range of values, in single precision; and the share that was clipped.
    fn targets<'g>(
        &self,
        state: &ShortPathState<'g>,
        path: &FollowedPaths<'g>,
        pair: Value<'g>,
    ) -> (Value<'g>, Value<'g>) {
        let (learner, horizon) = (&self.learner, self.horizon);
        let [centre, half_width] = middle_and_half_width(state.range);
        let two = StackShape { networks: 2, ..learner.critic.clone() };
        let networks: Vec<Value<'g>> = state
            .learner
            .targets
            .iter()
            .zip(two.arrays())
            .map(|(all, [runs, _, inputs, outputs])| {
                let table = all.reshape(&[runs, learner.critic.networks, inputs * outputs]);
                table.gather(pair).reshape(&[runs, 2, inputs, outputs])
            })
            .collect();
        let values = two.forward(&networks, point(path.states[horizon], &path.drawn[horizon]));
        let least = double(values.slice(1, 0, 1).min(values.slice(1, 1, 2)));
        let entropy = |j: usize| state.alpha() * double(path.drawn[j].log_probs);
        let mut y = double(path.rewards[0]) * double(path.alive[0]);
        for j in 1..horizon {
            let weight = double(path.alive[j]) * learner.discount.powi(j as i32);
            y = y + weight * (double(path.rewards[j]) - entropy(j));
        }
        let weight = double(path.alive[horizon]) * learner.discount.powi(horizon as i32);
        let y = y + weight * (centre + half_width * least - entropy(horizon));
        let (low, high) = (centre - half_width, centre + half_width);
        let clipped = y.less(low).indicator() + high.less(y).indicator();
        (y.max(low).min(high).convert(Number::Single), self.mean(clipped))
    }

    /// Σ over the networks of mean (Q(s₀, a₀) − y)², in units of the range; and what is told of the critic but whether its gradient is finite.
    fn critic_loss<'g>(
        &self,
        state: &ShortPathState<'g>,
        path: &FollowedPaths<'g>,
        pair: Value<'g>,
    ) -> (Value<'g>, Vec<Value<'g>>) {
        let critic = &self.learner.critic;
        let [centre, half_width] = middle_and_half_width(state.range);
        let (targets, clipped) = self.targets(state, path, pair);
        let scaled = ((double(targets) - centre) / half_width).convert(Number::Single);
        let start = point(path.states[0], &path.drawn[0]);
        let values = critic.forward(&state.learner.critic.parameters, start);
        let errors = values - scaled;
        let loss = self.mean(errors * errors);
        let [centre, half_width] = [centre, half_width].map(|x| x.convert(Number::Single));
        let value = centre + half_width * (self.mean(values) / critic.networks as f64);
        let log_prob = self.mean(path.drawn[0].log_probs);
        let alive = self.mean(path.alive[self.horizon]);
        (loss, vec![path.broken, loss, value, self.mean(targets), log_prob, alive, clipped])
    }

    /// The gradient of the policy's objective, which is minimised, and what is told of it.
    fn policy_gradient<'g>(
        &self,
        graph: &'g Graph,
        state: &ShortPathState<'g>,
        path: &FollowedPaths<'g>,
        looked_at: Option<usize>,
    ) -> (Vec<Value<'g>>, Vec<Value<'g>>) {
        let (learner, horizon) = (&self.learner, self.horizon);
        let alpha = state.learner.alpha();
        let weight = |j: usize| path.alive[j] * learner.discount.powi(j as i32);
        let mut cost = path.alive[0].filled(0.0);
        for j in 0..horizon {
            cost = cost + weight(j) * (alpha * path.drawn[j].log_probs - path.rewards[j]);
        }
        let [centre, half_width] =
            middle_and_half_width(state.range).map(|x| x.convert(Number::Single));
        let end = point(path.states[horizon], &path.drawn[horizon]);
        let values = learner.critic.forward(&state.learner.critic.parameters, end);
        let value = centre + half_width * (values.sum(1) / learner.critic.networks as f64);
        let cost = cost + weight(horizon) * (alpha * path.drawn[horizon].log_probs - value);
        let loss = self.mean(cost);
        // One way back serves both: the adjoints of the path's states lie on the way to the parameters.
        let parameters = &state.learner.policy.parameters;
        let by: Vec<_> = parameters.iter().chain(&path.states[1..]).copied().collect();
        let mut gradient = graph.gradient(loss, &by);
        let adjoints = gradient.split_off(parameters.len());
        let sizes = learner.adjoint_sizes(loss, &adjoints);
        let product = |a: &[Value<'g>], b: &[Value<'g>]| {
            let products = a.iter().zip(b).map(|(&a, &b)| (a * b).sum_from(1));
            products.reduce(|sum, product| sum + product).expect("a policy has parameters")
        };
        let half = match looked_at {
            Some(rows) => {
                let part = self.mean(cost.slice(2, 0, rows));
                let part = graph.gradient(part, parameters);
                [product(&part, &part), product(&part, &gradient)]
            }
            None => [loss.filled(0.0); 2],
        };
        let square = product(&gradient, &gradient);
        let seen = [loss, sizes, all_finite(&gradient), square].into_iter().chain(half);
        let seen = seen.collect();
        (gradient, seen)
    }
}
