//! Short paths in standardised coordinates, as `src/path/short.rs` has them. What is made of them is in `short_update.rs`.

use super::actor::PathDraws;
use super::learner::{LearnerShape, LearnerState};
use super::members::DrawnMembers;
use super::normalised::{NormalisedShape, NormalisedUnits, finite_rows};
use super::policy::DrawnActions;
use crate::device::graph::{Graph, Number, Value};

/// What is fixed about short paths.
#[derive(Clone, Debug, PartialEq)]
pub struct ShortPathShape {
    /// What is learned.
    pub learner: LearnerShape,
    /// H.
    pub horizon: usize,
    /// Members whose mean derivative is used.
    pub derivative_members: usize,
    /// Sizes of either model.
    pub model: NormalisedShape,
    /// Whether M^g gives the derivatives; M^p else.
    pub gradient_model: bool,
}

/// The models of an update.
#[derive(Clone, Debug)]
pub struct ShortPathModels<'g> {
    /// Units of both.
    pub units: NormalisedUnits<'g>,
    /// M^p's networks.
    pub prediction: Vec<Value<'g>>,
    /// M^p's log σ, `[runs, members, 1, labels]`.
    pub log_sigma: Value<'g>,
    /// M^g's networks; `None` where M^p gives the derivatives.
    pub gradient: Option<Vec<Value<'g>>>,
}

/// What an update changes.
#[derive(Clone, Debug)]
pub struct ShortPathState<'g> {
    /// Policy, critics, targets, temperature.
    pub learner: LearnerState<'g>,
    /// Where values can lie (`value_range.rs`).
    pub range: Value<'g>,
}

/// Imagined paths.
pub(super) struct FollowedPaths<'g> {
    /// s₀ … s_H, standardised, `[runs, 1, rows, observation_dim]`.
    pub states: Vec<Value<'g>>,
    /// a₀ … a_H.
    pub drawn: Vec<DrawnActions<'g>>,
    /// r₀ … r_{H−1}, `[runs, 1, rows, 1]`.
    pub rewards: Vec<Value<'g>>,
    /// m₀ … m_H, likewise.
    pub alive: Vec<Value<'g>>,
    /// 1 for each living row whose next state was not finite, summed.
    pub broken: Value<'g>,
}

impl<'g> ShortPathState<'g> {
    /// All arrays in the order of the arguments.
    pub fn arrays(&self) -> Vec<Value<'g>> {
        self.learner.arrays().into_iter().chain([self.range]).collect()
    }
}

impl ShortPathShape {
    /// Numbers of a row of draws: the standardised start state, noise of H + 1 actions, and for each step noise of Δs, the member of M^p
    /// that makes it, and the first of those whose derivatives are used.
    pub fn draws_width(&self) -> usize {
        let (s, a) = (self.model.observation_dim(), self.learner.policy.action_dim());
        s + (self.horizon + 1) * a + self.horizon * (s + 2)
    }

    /// The column of the draws of a step that has the member of M^p; the next has the first of those whose derivatives are used.
    fn member_column(&self, step: usize) -> usize {
        let (s, a) = (self.model.observation_dim(), self.learner.policy.action_dim());
        s + (self.horizon + 1) * a + step * (s + 2) + s
    }

    /// Whether the rows of a step are dealt out to the members of M^p, and of M^g: where one member of it makes the output.
    fn deals(&self) -> [bool; 2] {
        let one = self.derivative_members == 1;
        [one || self.gradient_model, one && self.gradient_model]
    }

    /// The columns of the draws whose members' rows can be dealt out, step by step.
    pub fn dealt_columns(&self) -> Vec<usize> {
        let deals = self.deals();
        let of_step = |step| (0..2).filter(|&k| deals[k]).map(move |k| (step, k));
        (0..self.horizon).flat_map(of_step).map(|(step, k)| self.member_column(step) + k).collect()
    }

    /// Arguments for what is learned.
    pub fn state<'g>(&self, graph: &'g Graph) -> ShortPathState<'g> {
        let learner = self.learner.arguments(graph);
        let range = graph.argument(&[self.learner.runs(), 1, 1, 3], Number::Double);
        ShortPathState { learner, range }
    }

    /// Arguments for the models: units, M^p's networks and log σ, M^g's networks.
    pub fn models<'g>(&self, graph: &'g Graph) -> ShortPathModels<'g> {
        let units = self.model.units(graph);
        let prediction = self.model.stack.arguments(graph);
        let log_sigma = self.model.log_sigma(graph);
        let gradient = self.gradient_model.then(|| self.model.stack.arguments(graph));
        ShortPathModels { units, prediction, log_sigma, gradient }
    }

    /// Actions, imagined states, rewards and masks.
    pub(super) fn follow<'g>(
        &self,
        graph: &'g Graph,
        state: &LearnerState<'g>,
        models: &ShortPathModels<'g>,
        PathDraws { rows: draws, dealt }: PathDraws<'g>,
    ) -> FollowedPaths<'g> {
        let (model, policy, horizon) = (&self.model, &self.learner.policy, self.horizon);
        let (s, a) = (model.observation_dim(), policy.action_dim());
        let mut here = draws.slice(3, 0, s);
        let mut alive = draws.slice(3, 0, 1).filled(1.0);
        let mut path = FollowedPaths {
            states: vec![here],
            drawn: Vec::new(),
            rewards: Vec::new(),
            alive: vec![alive],
            broken: alive.sum_from(1).filled(0.0),
        };
        let deals = self.deals();
        let each = deals.iter().filter(|&&deals| deals).count();
        let of_draw = |step: usize, role: usize| {
            dealt.filter(|_| deals[role]).map(|dealt| (dealt, each * step + role))
        };
        for j in 0..=horizon {
            let noise = draws.slice(3, s + j * a, s + (j + 1) * a);
            let drawn = policy.sample(graph, &state.policy.parameters, here, noise);
            path.drawn.push(drawn);
            if j == horizon {
                break;
            }
            let (at, units) = (self.member_column(j), models.units);
            let member = DrawnMembers::of(draws.slice(3, at, at + 1), of_draw(j, 0));
            let first = draws.slice(3, at + 1, at + 2);
            let input = model.input(units, here, drawn.actions);
            // All members' where several derivatives of them are used.
            let all = (!deals[0]).then(|| model.stack.forward(&models.prediction, input));
            let own = match all {
                Some(all) => model.mean_of(all, draws.slice(3, at, at + 1), 1),
                None => member.outputs(&model.stack, &models.prediction, input),
            };
            let log_sigma = member.constants(models.log_sigma);
            let moved = model.with_noise(own, log_sigma, draws.slice(3, at - s, at));
            let made = model.step(units, moved, here);
            let mean = match (&models.gradient, all) {
                (Some(networks), _) if deals[1] => {
                    DrawnMembers::of(first, of_draw(j, 1)).outputs(&model.stack, networks, input)
                }
                (Some(networks), _) => {
                    let all = model.stack.forward(networks, input);
                    model.mean_of(all, first, self.derivative_members)
                }
                (None, Some(all)) => model.mean_of(all, first, self.derivative_members),
                (None, None) => own,
            };
            let derivative = model.step(units, mean, here);
            // Where M^p leads, with the derivative of the model that gives it. A state that is not finite stays where it was.
            let fits = finite_rows(Value::concatenate(&[made.rewards, made.states], 3));
            let fit = fits.equals(fits.filled(1.0));
            path.broken = path.broken + fit.select(alive.filled(0.0), alive).sum_from(1);
            let reward = made.rewards.with_derivative_of(derivative.rewards);
            path.rewards.push(fit.select(reward, reward.filled(0.0)));
            here = fit.select(made.states.with_derivative_of(derivative.states), here.held());
            alive = (alive * model.goes_on(graph, models.units, here) * fits).held();
            path.states.push(here);
            path.alive.push(alive);
        }
        path
    }
}
