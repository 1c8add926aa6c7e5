//! Short paths in standardised coordinates, as `src/path/short.rs` has them. What is made of them is in `short_update.rs`.

use super::learner::{LearnerShape, LearnerState};
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
        draws: Value<'g>,
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
        for j in 0..=horizon {
            let noise = draws.slice(3, s + j * a, s + (j + 1) * a);
            let drawn = policy.sample(graph, &state.policy.parameters, here, noise);
            path.drawn.push(drawn);
            if j == horizon {
                break;
            }
            let at = s + (horizon + 1) * a + j * (s + 2);
            let (member, first) =
                (draws.slice(3, at + s, at + s + 1), draws.slice(3, at + s + 1, at + s + 2));
            let own = model.outputs(&models.prediction, models.units, here, drawn.actions);
            let moved = model.with_noise(own, models.log_sigma, draws.slice(3, at, at + s));
            let made = model.step(models.units, model.mean_of(moved, member, 1), here);
            let outputs = match &models.gradient {
                Some(networks) => model.outputs(networks, models.units, here, drawn.actions),
                None => own,
            };
            let mean = model.mean_of(outputs, first, self.derivative_members);
            let derivative = model.step(models.units, mean, here);
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
