//! The policy gradient's bias by horizon: along the first H steps of the same real paths, with the models' derivatives and with the
//! true ones. Start states, actions, noise, critic and temperature are the same for every model, so what is compared is paired.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::end_values::EndValues;
use super::learned_steps::LearnedSteps;
use super::real_objective::RealObjective;
use super::real_path::{RealPath, live};
use crate::env::{EnvironmentError, Task};
use crate::lab::precision;
use crate::model::DynamicsModel;
use crate::path::Valuation;
use crate::policy::Policy;

/// H, shortest first.
pub const HORIZONS: [usize; 3] = [1, 3, 5];
/// Paths whose gradients are held at a time.
const BLOCK: usize = 16;

/// How a policy gradient g over some paths differs from the true one g*.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathBias {
    /// ‖g − g*‖ / ‖g*‖ of the mean over paths: what remains however large a minibatch is.
    pub relative: f64,
    /// Cosine between the two means.
    pub cosine: f64,
    /// Mean over paths of the cosine between a single path's g and g*: what one row of a minibatch is told.
    pub row_cosine: f64,
}

/// The bias of some models over H steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HorizonBias {
    /// H.
    pub horizon: usize,
    /// Of each model, in the order in which they were given.
    pub models: Vec<PathBias>,
    /// Of each model after the first: by how much its row cosines exceed the first model's, path by path, and the standard error of that.
    pub gains: Vec<(f64, f64)>,
}

/// Real paths, and what a run's policy is improved on.
pub struct PairedPaths {
    policy: Policy<f64>,
    values: EndValues,
    alpha: f64,
    discount: f64,
    paths: Vec<RealPath>,
}

impl PairedPaths {
    /// Meets paths of the longest of [`HORIZONS`] from `starts` states of a policy's sampled actions; those with a contact event or an end
    /// are left out. `None` if all of them are.
    ///
    /// # Errors
    /// When the environment fails, or cannot be displaced.
    pub fn meet(
        of: Valuation<'_, f32>,
        task: &dyn Task,
        starts: usize,
        seed: u64,
    ) -> Result<Option<Self>, EnvironmentError> {
        let policy = precision::policy(of.policy);
        let longest = HORIZONS[HORIZONS.len() - 1];
        let paths = live(of.policy, task, &policy, (longest, starts), seed)?;
        let values = EndValues::new(of);
        let (alpha, discount) = (of.alpha, of.discount);
        Ok((!paths.is_empty()).then_some(Self { policy, values, alpha, discount, paths }))
    }

    /// How many paths there are.
    pub fn count(&self) -> usize {
        self.paths.len()
    }

    /// The biases of trained models for each of [`HORIZONS`].
    pub fn biases(&self, models: &[&DynamicsModel<f32>], task: &dyn Task) -> Vec<HorizonBias> {
        let learned: Vec<LearnedSteps> =
            models.iter().map(|model| LearnedSteps::new(model, task, &self.paths)).collect();
        HORIZONS.iter().map(|&horizon| self.over(horizon, &learned)).collect()
    }

    fn over(&self, horizon: usize, learned: &[LearnedSteps]) -> HorizonBias {
        let Self { policy, values, alpha, discount, paths } = self;
        let objective = RealObjective { policy, values, alpha: *alpha, discount: *discount };
        let of_path = |i: usize| -> Vec<Vec<f64>> {
            let path = [paths[i].beginning(horizon)];
            let truth = vec![path[0].truth.clone()];
            let gradient = |jacobians: &[Vec<f64>]| {
                objective.gradient(&path, &[jacobians[..horizon].to_vec()])
            };
            std::iter::once(objective.gradient(&path, &truth))
                .chain(learned.iter().map(|steps| gradient(&steps.jacobians[i])))
                .collect()
        };
        let mut sums = vec![vec![0.0; policy.network.parameters().len()]; 1 + learned.len()];
        let mut cosines = vec![Vec::new(); learned.len()];
        let indices: Vec<usize> = (0..paths.len()).collect();
        for block in indices.chunks(BLOCK) {
            let gradients: Vec<Vec<Vec<f64>>> = block.par_iter().map(|&i| of_path(i)).collect();
            // Summed in order, so that the number of threads does not show.
            for of_path in gradients {
                for (sum, gradient) in sums.iter_mut().zip(&of_path) {
                    sum.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
                }
                for (cosines, gradient) in cosines.iter_mut().zip(&of_path[1..]) {
                    cosines.push(between(gradient, &of_path[0]).1);
                }
            }
        }
        let bias = |(sum, cosines): (&Vec<f64>, &Vec<f64>)| {
            let (relative, cosine) = between(sum, &sums[0]);
            PathBias { relative, cosine, row_cosine: mean(cosines) }
        };
        let gain = |own: &Vec<f64>| {
            let gains: Vec<f64> =
                own.iter().zip(&cosines[0]).map(|(own, first)| own - first).collect();
            let (n, mean) = (gains.len() as f64, mean(&gains));
            let variance = gains.iter().map(|gain| (gain - mean).powi(2)).sum::<f64>() / n;
            (mean, (variance / n).sqrt())
        };
        HorizonBias {
            horizon,
            models: sums[1..].iter().zip(&cosines).map(bias).collect(),
            gains: cosines.iter().skip(1).map(gain).collect(),
        }
    }
}

/// ‖g − g*‖ / ‖g*‖, and their cosine, 0 where one of them is 0.
fn between(g: &[f64], truth: &[f64]) -> (f64, f64) {
    let (mut off, mut own, mut true_square, mut product) = (0.0, 0.0, 0.0, 0.0);
    for (a, b) in g.iter().zip(truth) {
        off += (a - b) * (a - b);
        own += a * a;
        true_square += b * b;
        product += a * b;
    }
    let norms = (own * true_square).sqrt();
    ((off / true_square).sqrt(), if norms > 0.0 { product / norms } else { 0.0 })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
