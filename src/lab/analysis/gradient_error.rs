//! How well the two learned models predict, and how true their derivatives are, on real states that they were not trained on
//! (the paper's Fig. 2 and 6, which it shows for two analytic environments only).
//!
//! The states are new: the run's own stochastic policy meets them in a fresh environment. The true Jacobian is that of
//! [`crate::env::jacobian`]. States where a contact begins or ends within the differences have no derivative worth the
//! name, and are counted apart.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::mean_head::MeanHead;
use crate::env::jacobian::{Jacobian, jacobians, project};
use crate::env::trajectory::{VisitedState, sample_points};
use crate::env::{EnvironmentError, Task};
use crate::lab::precision;
use crate::model::{DynamicsModel, Models};
use crate::policy::{Actor, Policy};
use crate::rng::Rng;

/// Steps between two states that are looked at.
pub(crate) const EVERY: usize = 5;

/// A model's errors over some states, in raw units.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelError {
    /// Mean squared error of the predicted (s', r), by output: `[observation_dim + 1]`, the reward last.
    pub prediction: Vec<f64>,
    /// Mean squared entry of J − J*, by output (row of J): `[observation_dim + 1]`.
    pub gradient: Vec<f64>,
    /// Σ‖J − J*‖² / Σ‖J*‖², over the states.
    pub relative_gradient: f64,
    /// Mean cosine between a column of J and of J*, by column: `[observation_dim + action_dim]`. `None` where one of the two
    /// is 0 at all states.
    pub cosine: Vec<Option<f64>>,
}

impl ModelError {
    /// Mean over all outputs of the squared prediction error.
    pub fn mean_prediction(&self) -> f64 {
        mean(&self.prediction)
    }

    /// Mean over all entries of J of the squared error.
    pub fn mean_gradient(&self) -> f64 {
        mean(&self.gradient)
    }

    /// Mean over all entries of ∂s'/∂(s, a), the reward's row left out, of the squared error.
    pub fn mean_state_gradient(&self) -> f64 {
        mean(&self.gradient[..self.gradient.len() - 1])
    }

    /// Mean over the columns that have one.
    pub fn mean_cosine(&self) -> f64 {
        mean(&self.cosine.iter().copied().flatten().collect::<Vec<_>>())
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Both models' errors over some states.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// How many.
    pub states: usize,
    /// M^p.
    pub prediction_model: ModelError,
    /// M^g; `None` where the prediction model plays its role.
    pub gradient_model: Option<ModelError>,
}

/// Errors where the derivative is regular, and where it is not.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GradientErrors {
    /// States without a contact event; `None` if there was none.
    pub regular: Option<Group>,
    /// States with one.
    pub events: Option<Group>,
}

/// States, what really follows them, and the true derivative there.
pub struct RealStates {
    points: Vec<VisitedState>,
    /// (s', r), `[observation_dim + 1]` each.
    outcomes: Vec<Vec<f64>>,
    jacobians: Vec<Jacobian>,
}

impl RealStates {
    /// Meets `count` states with a policy's sampled actions.
    ///
    /// # Errors
    /// When the environment fails, or cannot be displaced.
    pub fn meet(
        policy: &Policy<f32>,
        task: &dyn Task,
        count: usize,
        seed: u64,
    ) -> Result<Self, EnvironmentError> {
        let mut actor = Actor::new(policy);
        Self::along(task, count, seed, &mut |observation, rng| {
            actor.explore(policy, observation, rng).to_vec()
        })
    }

    /// Meets `count` states with any way to act.
    ///
    /// # Errors
    /// When the environment fails, or cannot be displaced.
    pub fn along(
        task: &dyn Task,
        count: usize,
        seed: u64,
        policy: &mut dyn FnMut(&[f64], &mut Rng) -> Vec<f64>,
    ) -> Result<Self, EnvironmentError> {
        let points = sample_points(task, count, EVERY, seed, policy)?;
        let mut environment = task.make()?;
        let outcomes = points
            .iter()
            .map(|point| {
                let mut next = vec![0.0; task.observation_dim()];
                environment.set_state(&point.state)?;
                let reward = environment.step(&point.action, &mut next)?.reward;
                next.push(reward);
                Ok(next)
            })
            .collect::<Result<_, EnvironmentError>>()?;
        let jacobians = jacobians(task, &points)?;
        Ok(Self { points, outcomes, jacobians })
    }

    /// The models' errors on these states. They must have been trained.
    pub fn errors(&self, models: Models<'_>, task: &dyn Task) -> GradientErrors {
        let prediction_model = precision::model(models.prediction);
        let gradient_model = models.gradient.map(precision::model);
        let group = |events: bool| {
            let rows: Vec<usize> = (0..self.points.len())
                .filter(|&i| self.jacobians[i].has_event() == events)
                .collect();
            (!rows.is_empty()).then(|| Group {
                states: rows.len(),
                prediction_model: self.error(&prediction_model, task, &rows),
                gradient_model: gradient_model.as_ref().map(|model| self.error(model, task, &rows)),
            })
        };
        GradientErrors { regular: group(false), events: group(true) }
    }

    /// The states whose derivative is the one that a smooth model should learn: without a contact event, and without a
    /// next observation that is held at a bound (its row of J* is 0), as the pendulum's speed is at ±8 rad/s.
    pub fn smooth(&self) -> Vec<usize> {
        let held = |jacobian: &Jacobian, point: &VisitedState| {
            let columns = point.observation.len() + point.action.len();
            let mut rows = jacobian.values.chunks(columns).take(point.observation.len());
            rows.any(|row| row.iter().all(|&x| x == 0.0))
        };
        (0..self.points.len())
            .filter(|&i| {
                !self.jacobians[i].has_event() && !held(&self.jacobians[i], &self.points[i])
            })
            .collect()
    }

    /// One model's errors on the states of these numbers, which must not be none. The model must have elites.
    pub fn error(&self, model: &DynamicsModel<f64>, task: &dyn Task, rows: &[usize]) -> ModelError {
        let sums: Vec<Sums> = rows
            .par_iter()
            .map_init(|| MeanHead::new(model), |head, &i| self.sums_at(head, task, i))
            .collect();
        // Summed in order, so that the number of threads does not show.
        let mut total = Sums::new(task);
        sums.iter().for_each(|sums| total.add(sums));
        total.mean(rows.len(), task)
    }

    fn sums_at(&self, head: &mut MeanHead<'_>, task: &dyn Task, i: usize) -> Sums {
        let VisitedState { observation, action, .. } = &self.points[i];
        let mut sums = Sums::new(task);
        let predicted = head.predict(observation, action);
        for ((sum, p), y) in sums.prediction.iter_mut().zip(&predicted).zip(&self.outcomes[i]) {
            *sum = (p - y).powi(2);
        }
        let mut learned = head.jacobian(observation, action);
        project(task, observation, &mut learned);
        let truth = &self.jacobians[i].values;
        let columns = observation.len() + action.len();
        for (row, (a, b)) in learned.chunks(columns).zip(truth.chunks(columns)).enumerate() {
            sums.gradient[row] = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
        }
        sums.truth = truth.iter().map(|x| x * x).sum();
        for column in 0..columns {
            let of = |values: &[f64]| -> Vec<f64> {
                values.iter().skip(column).step_by(columns).copied().collect()
            };
            sums.cosine[column] = cosine(&of(&learned), &of(truth)).map_or((0.0, 0), |c| (c, 1));
        }
        sums
    }
}

/// The cosine of the angle between two vectors; `None` where one of them is 0.
pub fn cosine(a: &[f64], b: &[f64]) -> Option<f64> {
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let norms = (product(a, a) * product(b, b)).sqrt();
    (norms > 0.0).then(|| product(a, b) / norms)
}

/// Sums over states.
struct Sums {
    prediction: Vec<f64>,
    gradient: Vec<f64>,
    truth: f64,
    /// Sum and count.
    cosine: Vec<(f64, u32)>,
}

impl Sums {
    fn new(task: &dyn Task) -> Self {
        let (states, actions) = (task.observation_dim(), task.action_dim());
        Self {
            prediction: vec![0.0; states + 1],
            gradient: vec![0.0; states + 1],
            truth: 0.0,
            cosine: vec![(0.0, 0); states + actions],
        }
    }

    fn add(&mut self, other: &Self) {
        let add = |to: &mut [f64], from: &[f64]| to.iter_mut().zip(from).for_each(|(a, b)| *a += b);
        add(&mut self.prediction, &other.prediction);
        add(&mut self.gradient, &other.gradient);
        self.truth += other.truth;
        for (a, b) in self.cosine.iter_mut().zip(&other.cosine) {
            *a = (a.0 + b.0, a.1 + b.1);
        }
    }

    fn mean(self, states: usize, task: &dyn Task) -> ModelError {
        let n = states as f64;
        let columns = (task.observation_dim() + task.action_dim()) as f64;
        let squares: f64 = self.gradient.iter().sum();
        ModelError {
            prediction: self.prediction.iter().map(|sum| sum / n).collect(),
            gradient: self.gradient.iter().map(|sum| sum / (n * columns)).collect(),
            relative_gradient: squares / self.truth,
            cosine: self
                .cosine
                .iter()
                .map(|&(sum, count)| (count > 0).then(|| sum / f64::from(count)))
                .collect(),
        }
    }
}
