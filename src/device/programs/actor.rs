//! The policy's step (eq. 11): its objective is written down, and its gradient is the graph's.

use super::imagination::{Elites, ElitesShape};
use super::learner::{LearnerFactors, LearnerShape, LearnerState};
use super::members::DrawnMembers;
use super::network::all_finite;
use crate::device::graph::{Graph, Value};
use crate::path::GradientSource;

/// The models of a policy's step, and how they are used.
#[derive(Clone, Debug)]
pub struct PathModels<'g> {
    /// M^p.
    pub prediction: Elites<'g>,
    /// M^g; `None` where M^p gives the derivatives.
    pub gradient: Option<Elites<'g>>,
}

/// What is fixed about imagined paths.
#[derive(Clone, Debug, PartialEq)]
pub struct PathShape {
    /// H.
    pub horizon: usize,
    /// Whose derivatives are used.
    pub source: GradientSource,
    /// M^p's elites.
    pub prediction: ElitesShape,
    /// M^g's; `None` where M^p gives the derivatives.
    pub gradient: Option<ElitesShape>,
}

impl PathShape {
    /// Arguments for the models' arrays.
    pub fn arguments<'g>(&self, graph: &'g Graph) -> PathModels<'g> {
        PathModels {
            prediction: self.prediction.arguments(graph),
            gradient: self.gradient.as_ref().map(|shape| shape.arguments(graph)),
        }
    }

    /// Models that a step runs through.
    pub fn roles(&self) -> usize {
        1 + usize::from(self.gradient.is_some())
    }

    /// The column of the draws in which the elite of a step and of a role, 0 or 1, is drawn.
    pub fn elite_column(&self, action_dim: usize, step: usize, role: usize) -> usize {
        let s = self.prediction.observation_dim();
        s + (self.horizon + 1) * action_dim + step * (3 + s) + role
    }

    /// [`draws_width`] of these paths.
    pub fn draws_width(&self, action_dim: usize) -> usize {
        draws_width(self.prediction.observation_dim(), action_dim, self.horizon)
    }
}

/// Numbers of a row of draws: the start state, noise of H + 1 actions, and for each step the places of two elites and noise of (r, Δs).
pub fn draws_width(observation_dim: usize, action_dim: usize, horizon: usize) -> usize {
    observation_dim + (horizon + 1) * action_dim + horizon * (3 + observation_dim)
}

/// What an update along imagined paths is on.
#[derive(Clone, Copy, Debug)]
pub struct PathDraws<'g> {
    /// `[runs, 1, rows, draws_width]`.
    pub rows: Value<'g>,
    /// Where rows are dealt out to members: the row in each place, `[runs, H·models, members·places]`, step by step, and for each step model
    /// by model; the draws have places instead of members then. The models are M^p, and M^g if it has a part.
    pub dealt: Option<Value<'g>>,
}

/// The costs along a path, and what is reported of it.
struct Path<'g> {
    /// Σ_j γʲ·m_j·c_j, `[runs, 1, rows, 1]`.
    cost: Value<'g>,
    /// States at steps 1..=H.
    states: Vec<Value<'g>>,
    /// m_H.
    alive: Value<'g>,
    /// 1 for each living row whose next state was not finite, summed.
    broken: Value<'g>,
}

impl LearnerShape {
    /// One step of the policy down −min Q + α·log π in `states` (SAC). What it saw, `[runs, 1, 1, 5]`: the loss, 0, 1, 0, and whether
    /// the gradient was finite.
    pub fn policy_step<'g>(
        &self,
        graph: &'g Graph,
        state: &mut LearnerState<'g>,
        states: Value<'g>,
        noise: Value<'g>,
        factors: LearnerFactors<'g>,
    ) -> Value<'g> {
        let cost = self.last_cost(graph, state, states, noise);
        let none = cost.sum_from(1).filled(0.0);
        let path = Path { cost, states: Vec::new(), alive: cost.filled(1.0), broken: none };
        self.update(graph, state, &path, factors)
    }

    /// One step of the policy through models. What it saw, `[runs, 1, 1, 5]`: the loss, the mean |λ| of steps 1..=H, the share of rows alive at
    /// the last step, living rows with a next state that was not finite, and whether the gradient was finite.
    pub fn path_step<'g>(
        &self,
        graph: &'g Graph,
        state: &mut LearnerState<'g>,
        shape: &PathShape,
        models: &PathModels<'g>,
        draws: PathDraws<'g>,
        factors: LearnerFactors<'g>,
    ) -> Value<'g> {
        let path = self.follow(graph, state, shape, models, draws);
        self.update(graph, state, &path, factors)
    }

    /// c_H = −min_i Q_i(s, a) + α·log π(a|s).
    fn last_cost<'g>(
        &self,
        graph: &'g Graph,
        state: &LearnerState<'g>,
        states: Value<'g>,
        noise: Value<'g>,
    ) -> Value<'g> {
        let drawn = self.policy.sample(graph, &state.policy.parameters, states, noise);
        let value = self.least(&state.critic.parameters, states, drawn.actions);
        state.alpha() * drawn.log_probs - value
    }

    /// H imagined steps, then the critic.
    fn follow<'g>(
        &self,
        graph: &'g Graph,
        state: &LearnerState<'g>,
        shape: &PathShape,
        models: &PathModels<'g>,
        PathDraws { rows: draws, dealt }: PathDraws<'g>,
    ) -> Path<'g> {
        let (s, a, h) = (self.observation_dim(), self.policy.action_dim(), shape.horizon);
        let noise = |j: usize| draws.slice(3, s + j * a, s + (j + 1) * a);
        let of_step = |j: usize, from: usize, to: usize| {
            let start = s + (h + 1) * a + j * (3 + s);
            draws.slice(3, start + from, start + to)
        };
        let roles = shape.roles();
        let elite = |j: usize, role: usize| {
            let drawn = of_step(j, role, role + 1);
            DrawnMembers::of(drawn, dealt.map(|dealt| (dealt, roles * j + role)))
        };
        let mut here = draws.slice(3, 0, s);
        let mut alive = draws.slice(3, 0, 1).filled(1.0);
        let mut broken = alive.sum_from(1).filled(0.0);
        let (mut cost, mut states) = (alive.filled(0.0), Vec::new());
        for j in 0..h {
            let drawn = self.policy.sample(graph, &state.policy.parameters, here, noise(j));
            let prediction = &models.prediction;
            let output = shape.prediction.forward(prediction, here, drawn.actions, elite(j, 0));
            let sampled =
                shape.prediction.sampled_step(prediction, output, here, of_step(j, 2, 3 + s));
            let differentiated = match (&shape.gradient, &models.gradient, shape.source) {
                (Some(of), Some(model), GradientSource::GradientModel) => {
                    let output = of.forward(model, here, drawn.actions, elite(j, 1));
                    of.mean_step(output, here)
                }
                (_, _, GradientSource::SampledStep) => sampled,
                _ => shape.prediction.mean_step(output, here),
            };
            let weight = alive * self.discount.powi(j as i32);
            let own = state.alpha() * drawn.log_probs - differentiated.rewards;
            cost = cost + weight * own;
            // Where M^p leads, with the derivative of the model that gives it. A state that is not finite stays where it was.
            let unfit = sampled.states.is_finite().not().indicator().sum(3);
            let fits = unfit.equals(unfit.filled(0.0));
            broken = broken + fits.select(alive.filled(0.0), alive).sum_from(1);
            let next = sampled.states.with_derivative_of(differentiated.states);
            here = fits.select(next, here.held());
            let goes_on = shape.prediction.goes_on(graph, here);
            alive = (alive * goes_on * fits.indicator()).held();
            states.push(here);
        }
        let weight = alive * self.discount.powi(h as i32);
        let cost = cost + weight * self.last_cost(graph, state, here, noise(h));
        Path { cost, states, alive, broken }
    }

    fn update<'g>(
        &self,
        graph: &'g Graph,
        state: &mut LearnerState<'g>,
        path: &Path<'g>,
        factors: LearnerFactors<'g>,
    ) -> Value<'g> {
        let share = 1.0 / self.batch as f64;
        let loss = path.cost.sum_from(1) * share;
        // One way back serves both: the adjoints of the path's states lie on the way to the parameters.
        let by: Vec<Value<'g>> =
            state.policy.parameters.iter().chain(&path.states).copied().collect();
        let mut gradient = graph.gradient(loss, &by);
        let adjoints = gradient.split_off(state.policy.parameters.len());
        let sizes = self.adjoint_sizes(loss, &adjoints);
        let alive = path.alive.sum_from(1) * share;
        let seen = [loss, sizes, alive, path.broken, all_finite(&gradient)];
        state.policy.step(&gradient, |_| 0.0, self.policy_clip, factors.policy);
        Value::concatenate(&seen, 3)
    }

    /// Mean |λ_j| over rows, steps 1..=H and entries of the state; the loss's derivative by s_j is γʲ·λ_j/B.
    pub(super) fn adjoint_sizes<'g>(&self, loss: Value<'g>, adjoints: &[Value<'g>]) -> Value<'g> {
        let sizes = adjoints.iter().enumerate().map(|(j, adjoint)| {
            let weight = self.discount.powi(j as i32 + 1);
            let unscale = if weight as f32 == 0.0 { 0.0 } else { 1.0 / weight };
            adjoint.abs().sum_from(1) * unscale
        });
        let numbers = (adjoints.len() * self.observation_dim()).max(1);
        sizes.fold(loss.filled(0.0), |sum, size| sum + size) / numbers as f64
    }
}
