//! What a learned model says along real paths of the policy: predictions and derivatives of every step.

use rayon::prelude::*;

use super::mean_head::MeanHead;
use super::real_path::RealPath;
use crate::env::Task;
use crate::env::jacobian::project;
use crate::lab::precision;
use crate::model::DynamicsModel;

/// The derivative of each step of each trajectory, `[trajectory][step]`, in the shape of the true ones.
pub(crate) type StepJacobians = [Vec<Vec<f64>>];

/// What a model says at each step of each trajectory.
pub(crate) struct LearnedSteps {
    /// (s', r), `[trajectory][step][observation_dim + 1]`.
    pub predictions: Vec<Vec<Vec<f64>>>,
    /// [`StepJacobians`], projected as the true ones are.
    pub jacobians: Vec<Vec<Vec<f64>>>,
}

impl LearnedSteps {
    /// Of a model that has been trained.
    pub(crate) fn new(
        model: &DynamicsModel<f32>,
        task: &dyn Task,
        trajectories: &[RealPath],
    ) -> Self {
        let model = precision::model(model);
        let of_step = |head: &mut MeanHead<'_>, s: &[f64], a: &[f64]| {
            let mut jacobian = head.jacobian(s, a);
            project(task, s, &mut jacobian);
            (head.predict(s, a), jacobian)
        };
        let all: Vec<(Vec<_>, Vec<_>)> = trajectories
            .par_iter()
            .map_init(
                || MeanHead::new(&model),
                |head, trajectory| {
                    let points = trajectory.points.iter();
                    points.map(|point| of_step(head, &point.observation, &point.action)).unzip()
                },
            )
            .collect();
        let (predictions, jacobians) = all.into_iter().unzip();
        Self { predictions, jacobians }
    }
}
