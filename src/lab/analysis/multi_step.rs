//! How far a model's predictions drift from the environment over several steps: the model is fed its own predictions, and the
//! actions that were really taken (open loop), from real states on.
//!
//! At every step the prediction is the elites' mean, as everywhere in the analysis: this one function is what has the
//! one-step error, which is the first of these errors, and the derivative. Rolling each elite on its own and averaging in the end would
//! measure as many other functions; drawing an elite a step, as training does, would add its noise to the error.

use rayon::prelude::*;
use serde::Serialize;

use super::gradient_error::EVERY;
use super::mean_head::MeanHead;
use crate::env::trajectory::{RecordedStep, Trajectory, trajectories};
use crate::env::{EnvironmentError, Task};
use crate::lab::precision;
use crate::model::{DynamicsModel, Models};
use crate::policy::{Actor, Policy};

/// Most steps that are predicted.
pub const STEPS: usize = 10;

/// The models' names, in the order of [`StepError::of_models`].
pub const MODELS: [&str; 2] = ["M^p", "M^g"];

/// Mean squared errors of predicted (s', r), in raw units.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutputErrors {
    /// `[observation_dim + 1]`, the reward last.
    pub by_output: Vec<f64>,
    /// Their mean.
    pub mean: f64,
}

/// Both models' errors after some steps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepError {
    /// h, from 1.
    pub steps: usize,
    /// Trajectories in the mean: those whose episode has h steps.
    pub trajectories: usize,
    /// M^p.
    pub prediction_model: OutputErrors,
    /// M^g; `None` where the prediction model plays its role.
    pub gradient_model: Option<OutputErrors>,
}

impl StepError {
    /// The errors of each of [`MODELS`], where there is one.
    pub fn of_models(&self) -> [Option<&OutputErrors>; 2] {
        [Some(&self.prediction_model), self.gradient_model.as_ref()]
    }
}

/// The errors after h = 1..=[`STEPS`] steps from `starts` states that a policy's sampled actions meet: those of
/// [`super::gradient_error::RealStates::meet`]. An h that no episode reaches is left out. The models must have been trained.
///
/// # Errors
/// When the environment fails.
pub fn multi_step_errors(
    policy: &Policy<f32>,
    models: Models<'_>,
    task: &dyn Task,
    starts: usize,
    seed: u64,
) -> Result<Vec<StepError>, EnvironmentError> {
    let mut actor = Actor::new(policy);
    let real = trajectories(task, (starts, EVERY, STEPS), seed, &mut |observation, rng| {
        actor.explore(policy, observation, rng).to_vec()
    })?;
    let of_model = |model: &DynamicsModel<f32>| {
        let model = precision::model(model);
        open_loop_errors(&real, || {
            let mut head = MeanHead::new(&model);
            move |observation: &[f64], action: &[f64]| head.predict(observation, action)
        })
    };
    let prediction_model = of_model(models.prediction);
    let mut gradient_model = models.gradient.map(|model| of_model(model).into_iter());
    let errors = prediction_model.into_iter().enumerate().map(|(i, prediction_model)| StepError {
        steps: i + 1,
        trajectories: reaching(&real, i + 1),
        prediction_model,
        gradient_model: gradient_model.as_mut().and_then(Iterator::next),
    });
    Ok(errors.collect())
}

/// How many trajectories have this many steps.
fn reaching(real: &[Trajectory], steps: usize) -> usize {
    real.iter().filter(|trajectory| trajectory.steps.len() >= steps).count()
}

/// The errors after h = 1, 2, … steps, as far as a trajectory goes, of anything that predicts (s', r) from (s, a):
/// `[observation_dim + 1]` numbers, the reward last.
pub fn open_loop_errors<P>(
    real: &[Trajectory],
    predictor: impl Fn() -> P + Send + Sync,
) -> Vec<OutputErrors>
where
    P: FnMut(&[f64], &[f64]) -> Vec<f64>,
{
    let squares: Vec<Vec<Vec<f64>>> =
        real.par_iter().map_init(predictor, |predict, real| drift(real, predict)).collect();
    let longest = squares.iter().map(Vec::len).max().unwrap_or(0);
    (0..longest)
        .map(|i| {
            // Summed in order, so that the number of threads does not show.
            let reaching: Vec<&Vec<f64>> = squares.iter().filter_map(|own| own.get(i)).collect();
            let mut by_output = vec![0.0; reaching[0].len()];
            for own in &reaching {
                by_output.iter_mut().zip(*own).for_each(|(sum, square)| *sum += square);
            }
            by_output.iter_mut().for_each(|sum| *sum /= reaching.len() as f64);
            let mean = by_output.iter().sum::<f64>() / by_output.len() as f64;
            OutputErrors { by_output, mean }
        })
        .collect()
}

/// Squared errors of one trajectory, step by step.
fn drift(real: &Trajectory, mut predict: impl FnMut(&[f64], &[f64]) -> Vec<f64>) -> Vec<Vec<f64>> {
    let mut imagined = real.start.observation.clone();
    let of_step = |step: &RecordedStep| {
        let predicted = predict(&imagined, &step.action);
        let truth = step.observation.iter().chain([&step.reward]);
        let squares = predicted.iter().zip(truth).map(|(p, y)| (p - y).powi(2)).collect();
        imagined.iter_mut().zip(predicted).for_each(|(s, p)| *s = p);
        squares
    };
    real.steps.iter().map(of_step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::uniform_actions;

    fn real(task: &dyn Task, starts: usize) -> Vec<Trajectory> {
        trajectories(task, (starts, EVERY, STEPS), 3, &mut uniform_actions(task)).unwrap()
    }

    /// The environment itself as a model; the analytic environments' state is their observation.
    fn truth(task: &dyn Task) -> impl FnMut(&[f64], &[f64]) -> Vec<f64> {
        let mut environment = task.make().unwrap();
        let mut next = vec![0.0; task.observation_dim()];
        move |observation, action| {
            environment.set_state(observation).unwrap();
            let reward = environment.step(action, &mut next).unwrap().reward;
            next.iter().copied().chain([reward]).collect()
        }
    }

    #[test]
    fn the_true_dynamics_have_no_error() {
        for name in ["PointMass", "Pendulum"] {
            let task = crate::env::task(name).unwrap();
            let errors = open_loop_errors(&real(&*task, 20), || truth(&*task));
            assert_eq!(errors.len(), STEPS);
            for error in errors {
                assert_eq!(error.by_output, vec![0.0; task.observation_dim() + 1], "{name}");
                assert_eq!(error.mean, 0.0);
            }
        }
    }

    #[test]
    fn a_constant_offset_grows_as_the_dynamics_carry_it() {
        let task = crate::env::task("PointMass").unwrap();
        let offset = [1e-2, -2e-2, 3e-2, 5e-3];
        let off = || {
            let mut truth = truth(&*task);
            move |observation: &[f64], action: &[f64]| -> Vec<f64> {
                let mut predicted = truth(observation, action);
                predicted.iter_mut().zip(offset).for_each(|(p, d)| *p += d);
                predicted
            }
        };
        let errors = open_loop_errors(&real(&*task, 20), off);
        // The point mass is linear: the error after h steps is Σ_{i<h} Aⁱ·offset, whatever the state.
        let jacobian = task.closed_form_jacobian(&[0.0; 4], &[0.0; 2]).unwrap();
        let mut error = [0.0; 4];
        for found in errors {
            error = std::array::from_fn(|i| {
                offset[i] + (0..4).map(|j| jacobian[i * 6 + j] * error[j]).sum::<f64>()
            });
            for (found, expected) in found.by_output.iter().zip(error) {
                let expected = expected * expected;
                assert!((found - expected).abs() < 1e-9 * expected, "{found} for {expected}");
            }
            let mean = found.by_output.iter().sum::<f64>() / 5.0;
            assert!((found.mean - mean).abs() < 1e-15 * mean, "{} for {mean}", found.mean);
        }
    }

    #[test]
    fn trajectories_end_where_episodes_do() {
        // An episode of the point mass is 200 steps: of the 40 that begin in one, only that of step 195 has fewer than 10.
        let task = crate::env::task("PointMass").unwrap();
        let all = real(&*task, 80);
        for (steps, expected) in [(1, 80), (5, 80), (6, 78), (10, 78), (11, 0)] {
            assert_eq!(reaching(&all, steps), expected, "{steps} steps");
        }
        // Under random actions the pendulum falls after a few steps, and what follows belongs to another episode.
        let task = crate::env::task("InvertedPendulum").unwrap();
        let all = real(&*task, 60);
        let ended: Vec<_> = all.iter().filter(|t| t.steps.len() < STEPS).collect();
        assert!(ended.len() > 20 && ended.len() < 60, "{}", ended.len());
        for trajectory in ended {
            let (last, before) = trajectory.steps.split_last().unwrap();
            assert!(task.terminated(&last.observation));
            assert!(before.iter().all(|step| !task.terminated(&step.observation)));
        }
        let counts: Vec<usize> = (1..=STEPS).map(|steps| reaching(&all, steps)).collect();
        assert!(counts[0] == 60 && counts.is_sorted_by(|a, b| a >= b), "{counts:?}");
        assert_eq!(
            open_loop_errors(&all, || |s: &[f64], _: &[f64]| [s, &[0.0]].concat()).len(),
            10
        );
    }
}
