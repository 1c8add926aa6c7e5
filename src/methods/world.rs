//! The learned world of a method: its models, their training, and the transitions imagined in them.

use super::report::{LearnError, ModelReport};
use crate::config::{Config, GradientLossConfig};
use crate::data::Replay;
use crate::env::Task;
use crate::model::fit::{FitWorkspace, fit};
use crate::model::rollout::{RolloutReport, RolloutWorkspace, rollout};
use crate::model::{DynamicsModel, FitReport, GradientLoss, Neighbours};
use crate::policy::Policy;
use crate::rng::Rng;

/// Which models of the world a method learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Models {
    /// None.
    None,
    /// One, trained by likelihood (eq. 2).
    One,
    /// One, trained by likelihood plus w·R (eq. 9, 10).
    OneWithGradientLoss,
    /// M^p, trained by likelihood, and M^g, trained by likelihood plus w·R.
    Two,
}

/// One random stream for each purpose.
#[derive(Clone, Debug)]
pub struct Streams {
    /// Splits and orders of the prediction model's training.
    pub prediction_model: Rng,
    /// Splits, orders and directions of the gradient model's training.
    pub gradient_model: Rng,
    /// Start states, noise and elites of imagined rollouts.
    pub rollout: Rng,
}

/// The models, and what was imagined in them.
pub struct World {
    /// M^p.
    pub prediction_model: DynamicsModel<f32>,
    /// M^g; `None` where the prediction model plays its role.
    pub gradient_model: Option<DynamicsModel<f32>>,
    /// Imagined transitions.
    pub imagined: Replay,
    /// Random streams.
    pub streams: Streams,
    /// For R, where it is part of a loss.
    pub(crate) neighbours: Option<Neighbours>,
    /// Buffers of the rollouts, made at the first.
    pub(crate) rollouts: Option<RolloutWorkspace<f32>>,
    /// Buffers of M^p's and of M^g's training, made at the first.
    pub(crate) fits: Option<(FitWorkspace<f32>, Option<FitWorkspace<f32>>)>,
}

impl World {
    /// Freshly drawn models, of which there must be some.
    pub(crate) fn new(models: Models, config: &Config, task: &dyn Task, rng: &mut Rng) -> Self {
        let (s, a) = (task.observation_dim(), task.action_dim());
        let (rollout, loss) = (&config.rollout, &config.gradient_loss);
        let stream = |name: &str| Rng::new(config.seed, name);
        let two = models == Models::Two;
        let with_loss = models != Models::One && loss.weight > 0.0;
        Self {
            prediction_model: DynamicsModel::new(s, a, &config.model, rng),
            gradient_model: two.then(|| DynamicsModel::new(s, a, &config.model, rng)),
            imagined: Replay::new(s, a, rollout.capacity_per_step * rollout.length_at(0)),
            streams: Streams {
                prediction_model: stream("prediction model"),
                gradient_model: stream("gradient model"),
                rollout: stream("rollout"),
            },
            neighbours: with_loss.then(|| Neighbours::new(loss.neighbours, loss.window, s + a)),
            rollouts: None,
            fits: None,
        }
    }

    /// Whether the models have been trained at least once.
    pub fn is_trained(&self) -> bool {
        !self.prediction_model.elites.is_empty()
    }

    fn make_fits(&self, config: &Config) -> (FitWorkspace<f32>, Option<FitWorkspace<f32>>) {
        let loss = &config.gradient_loss;
        let sizes = self.neighbours.as_ref().map(|_| (loss.directions_per_row, loss.neighbours));
        let alone = self.gradient_model.is_none();
        let fit = |model, sizes| FitWorkspace::new(model, config.training.batch_size, sizes);
        (
            fit(&self.prediction_model, sizes.filter(|_| alone)),
            self.gradient_model.as_ref().map(|model| fit(model, sizes)),
        )
    }

    /// Fits M^p by likelihood (eq. 2), and M^g by likelihood plus w·R (eq. 9, 10), on all real transitions.
    ///
    /// # Errors
    /// When a loss is not finite.
    pub(crate) fn train(
        &mut self,
        real: &Replay,
        config: &Config,
    ) -> Result<ModelReport, LearnError> {
        let mut fits = self.fits.take().unwrap_or_else(|| self.make_fits(config));
        let Self { prediction_model, gradient_model, neighbours, streams, .. } = self;
        if let Some(neighbours) = neighbours {
            neighbours.update(real);
        }
        let gradient_loss = neighbours.as_ref().map(|n| weighted(n, &config.gradient_loss));
        let on_prediction = gradient_loss.filter(|_| gradient_model.is_none());
        let prediction = fit(
            prediction_model,
            &mut fits.0,
            real,
            on_prediction,
            &config.model,
            &mut streams.prediction_model,
        );
        let pair = gradient_model.as_mut().zip(fits.1.as_mut());
        let gradient = pair.map(|(model, workspace)| {
            let stream = &mut streams.gradient_model;
            let report = fit(model, workspace, real, gradient_loss, &config.model, stream);
            let error = report.elite_error(&model.elites);
            (report, error)
        });
        self.fits = Some(fits);
        if !is_finite(&prediction) {
            return Err(LearnError::NonFinite("the prediction model's loss"));
        }
        if !gradient.as_ref().is_none_or(|(report, _)| is_finite(report)) {
            return Err(LearnError::NonFinite("the gradient model's loss"));
        }
        let error = prediction.elite_error(&self.prediction_model.elites);
        Ok(ModelReport { prediction: (prediction, error), gradient })
    }

    /// Refills the model buffer with k-step rollouts of the present policy from real states. The models must be trained.
    pub(crate) fn imagine(
        &mut self,
        policy: &Policy<f32>,
        task: &dyn Task,
        real: &Replay,
        config: &Config,
        step: u64,
    ) -> RolloutReport {
        let length = config.rollout.length_at(step / 1000);
        self.imagined.resize(config.rollout.capacity_per_step * length);
        let longest = config.rollout.max_length;
        let Self { prediction_model, imagined, streams, rollouts, .. } = self;
        let workspace = rollouts
            .get_or_insert_with(|| RolloutWorkspace::new(policy, prediction_model, longest));
        let size = (config.rollout.starts, length);
        let rng = &mut streams.rollout;
        rollout(workspace, policy, prediction_model, task, real, imagined, size, rng)
    }
}

fn weighted<'a>(neighbours: &'a Neighbours, config: &GradientLossConfig) -> GradientLoss<'a> {
    GradientLoss { neighbours, weight: config.weight, directions: config.directions_per_row }
}

fn is_finite(report: &FitReport) -> bool {
    report.nll.is_finite()
        && report.gradient_loss.is_none_or(f64::is_finite)
        && report.holdout_errors.iter().all(|e| e.is_finite())
}
