//! The updates of a step as programs: what they take, what is drawn for them, and what they tell.

use super::dealing::{Dealing, DealtColumns};
use super::draws::{Columns, critic_rows, policy_noise};
use super::imagining::path_rows;
use super::parts::LearnedParts;
use super::readings::Readings;
use super::recipe::Recipe;
use crate::critic::CriticReport;
use crate::data::mixture;
use crate::device::graph::{Graph, Number, ProductPrecision, Program, Value};
use crate::device::programs::{FACTORS, LearnerShape, PathDraws, PathShape};
use crate::nn::LearnError;
use crate::path::PolicyReport;
use crate::rng::Rng;
use crate::run::Tally;

/// Which updates a program makes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum UpdateKind {
    /// Of critic and temperature.
    Critic,
    /// Of critic and temperature, and of the policy on the same minibatch.
    Together,
    /// Of the policy, through models.
    Path(Box<PathShape>),
}

/// Numbers that an update of the critic tells.
const CRITIC_SEEN: usize = 4;
/// Numbers that an update of the policy tells.
const POLICY_SEEN: usize = 5;

impl UpdateKind {
    /// Numbers of a row of an update's minibatch.
    pub fn width(&self, shape: &LearnerShape) -> usize {
        let a = shape.policy.action_dim();
        match self {
            Self::Critic => shape.transition_width(),
            Self::Together => shape.transition_width() + a,
            Self::Path(path) => path.draws_width(a),
        }
    }

    /// How the rows of an update's minibatch are dealt out to elites.
    pub fn dealt(&self, shape: &LearnerShape) -> Option<DealtColumns> {
        let Self::Path(path) = self else { return None };
        let dealing = Dealing::of(shape.batch, path.prediction.stack.networks)?;
        let (a, roles) = (shape.policy.action_dim(), path.roles());
        let column = |draw: usize| path.elite_column(a, draw / roles, draw % roles);
        let columns = (0..path.horizon * roles).map(column).collect();
        Some(DealtColumns { dealing, columns, width: self.width(shape) })
    }

    /// Numbers that an update tells.
    pub fn seen(&self) -> usize {
        match self {
            Self::Critic => CRITIC_SEEN,
            Self::Together => CRITIC_SEEN + POLICY_SEEN,
            Self::Path(_) => POLICY_SEEN,
        }
    }

    /// Adam's counts after so many updates.
    pub fn count(&self, parts: &mut LearnedParts<'_>, updates: u64) {
        let LearnedParts { policy, critic, temperature, .. } = parts;
        if *self != Self::Critic {
            policy.adam.updates += updates;
        }
        if !matches!(self, Self::Path(_)) {
            critic.networks.iter_mut().for_each(|q| q.adam.updates += updates);
            temperature.adam.updates += if temperature.automatic { updates } else { 0 };
        }
    }

    /// Draws an update from the run's streams.
    pub fn draw(
        &self,
        parts: &mut LearnedParts<'_>,
        recipe: &Recipe,
        shape: &LearnerShape,
        to: &mut Columns<'_>,
    ) {
        let (rows, a, real) = (shape.batch, shape.policy.action_dim(), parts.real);
        if let Self::Path(path) = self {
            let elites = path.prediction.stack.networks;
            path_rows((rows, a, path.horizon, elites), parts.policy_stream, real, to);
            return;
        }
        match &parts.models {
            Some(models) => {
                let draw = mixture(real, &models.imagined.transitions, recipe.real_rows);
                critic_rows(rows, a, parts.critic_stream, draw, to);
            }
            None => {
                let draw = |_: usize, rng: &mut Rng| (real, rng.below(real.len()));
                critic_rows(rows, a, parts.critic_stream, draw, to);
            }
        }
        if *self == Self::Together {
            policy_noise(rows, a, parts.policy_stream, shape.transition_width(), to);
        }
    }

    /// The program of so many updates, whose arguments `UpdateProgram` names.
    pub fn program(
        &self,
        shape: &LearnerShape,
        updates: usize,
        dealt: Option<&DealtColumns>,
        precision: ProductPrecision,
    ) -> Program {
        let graph = Graph::new();
        let mut state = shape.arguments(&graph);
        let before = state.arrays();
        let models = match self {
            Self::Path(path) => Some(path.arguments(&graph)),
            _ => None,
        };
        let (slots, width) = (shape.runs(), self.width(shape));
        let rows = graph.argument(&[slots, updates, shape.batch, width], Number::Single);
        let factors = graph.argument(&[slots, updates, 1, FACTORS], Number::Single);
        let draws = dealt.map_or(0, |dealt| dealt.columns.len());
        let dealt = dealt
            .map(|of| graph.argument(&[slots, updates * draws, of.dealing.all()], Number::Index));
        let mut seen = vec![];
        for i in 0..updates {
            let factors = shape.factors(factors.slice(1, i, i + 1));
            let rows = rows.slice(1, i, i + 1);
            if let (Self::Path(path), Some(models)) = (self, &models) {
                let dealt = dealt.map(|dealt| dealt.slice(1, i * draws, (i + 1) * draws));
                let draws = PathDraws { rows, dealt };
                seen.push(shape.path_step(&graph, &mut state, path, models, draws, factors));
                continue;
            }
            let transitions = shape.transition_rows(rows);
            let of_critic = shape.critic_step(&graph, &mut state, transitions, factors);
            if *self == Self::Critic {
                seen.push(of_critic);
                continue;
            }
            let (states, noise) =
                (transitions.states, rows.slice(3, shape.transition_width(), width));
            let of_policy = shape.policy_step(&graph, &mut state, states, noise, factors);
            seen.push(Value::concatenate(&[of_critic, of_policy], 3));
        }
        let mut outputs = state.arrays();
        outputs.push(Value::concatenate(&seen, 1));
        let overwritten: Vec<_> = before.into_iter().enumerate().map(|(k, a)| (a, k)).collect();
        graph.program(&outputs, &overwritten, precision)
    }

    /// Tells a run's tally what its updates saw, and refuses numbers that cannot be learned from.
    pub fn tell(
        &self,
        seen: &Readings,
        slot: usize,
        limit: f64,
        tally: &mut Tally,
    ) -> Result<(), LearnError> {
        for update in seen.of(slot).flat_map(|call| call.chunks_exact(self.seen())) {
            let imagined = matches!(self, Self::Path(_));
            let (of_critic, of_policy) = update.split_at(if imagined { 0 } else { CRITIC_SEEN });
            let number = |k: usize| f64::from(of_critic[k]);
            if !of_critic.is_empty() {
                let report = CriticReport {
                    loss: number(0),
                    value: number(1),
                    entropy: -number(2),
                    finite_gradient: number(3) == 1.0,
                };
                report.check(limit)?;
                report.tell(tally);
            }
            if let &[loss, adjoint, alive, broken, finite] = of_policy {
                let report = PolicyReport {
                    loss: f64::from(loss),
                    mean_abs_adjoint: f64::from(adjoint),
                    alive: f64::from(alive),
                    broken: broken as u64,
                };
                report.check(limit, || finite == 1.0)?;
                report.tell(imagined, tally);
            }
        }
        Ok(())
    }
}
