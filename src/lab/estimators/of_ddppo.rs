//! DDPPO's models in training: by likelihood alone, by the paper's R and by its other estimators.

use std::borrow::Cow;

use super::subject::{Course, Subject};
use super::trial::{EstimatorTrial, LossSettings, StudiedLoss};
use crate::data::{Replay, Standardiser};
use crate::methods;
use crate::methods::ddppo::{Ddppo, DdppoConfig};
use crate::model::fit::{FitWorkspace, minibatch};
use crate::model::{
    DynamicsModel, Estimator, GradientData, GradientLoss, GradientLossConfig, InputCoordinates,
    ModelConfig, OutputWeights,
};
use crate::nn::Adam;
use crate::path::value_slopes;
use crate::rng::Rng;

/// The weight of a standardised loss for each member, and its neighbours.
const STANDARDISED_WEIGHT: f64 = 1000.0;
const STANDARDISED_NEIGHBOURS: usize = 25;

impl Subject for Ddppo {
    fn real(&self) -> &Replay {
        &self.real
    }

    fn members(&self) -> usize {
        self.config().model.ensemble.members
    }

    fn losses(&self, task: &str, members: usize) -> Vec<(StudiedLoss, LossSettings)> {
        let preset = methods::preset("ddppo", task).ok();
        let preset = preset.map(|preset| preset.view::<DdppoConfig>());
        let preset = preset.as_ref().unwrap_or(self.config());
        let paper = (&preset.gradient_loss, preset.model.ensemble.members);
        let settings = |loss| LossSettings::Ddppo(settings(loss, paper, members));
        StudiedLoss::ALL.map(|loss| (loss, settings(loss))).into()
    }

    fn has_neighbours(&self, settings: &LossSettings, _: u64) -> bool {
        let trained_on = 1.0 - self.config().model.ensemble.holdout_fraction;
        (self.real.len() as f64 * trained_on) as usize > settings.neighbours()
    }

    fn course<'a>(&'a self, trial: &EstimatorTrial) -> Box<dyn Course + 'a> {
        Box::new(Training::new(self, trial))
    }
}

/// The settings of a loss for an ensemble of `members`; `paper` are those of the paper's R for `paper_members`.
fn settings(
    loss: StudiedLoss,
    (paper, paper_members): (&GradientLossConfig, usize),
    members: usize,
) -> GradientLossConfig {
    // A loss is a mean over members, so that its weight is shared by them.
    let shared = members as f64;
    let plain = GradientLossConfig {
        estimator: Estimator::Directional,
        coordinates: InputCoordinates::Raw,
        output_weights: OutputWeights::Equal,
        unit_directions: false,
        weight: paper.weight / paper_members as f64 * shared,
        ..paper.clone()
    };
    let standardised = GradientLossConfig {
        weight: STANDARDISED_WEIGHT * shared,
        neighbours: STANDARDISED_NEIGHBOURS,
        directions_per_row: 1,
        coordinates: InputCoordinates::Standardised,
        output_weights: OutputWeights::Deviation,
        unit_directions: true,
        ..plain.clone()
    };
    let estimator = Estimator::Secant;
    match loss {
        StudiedLoss::Likelihood => GradientLossConfig { weight: 0.0, ..plain },
        StudiedLoss::Paper => plain,
        StudiedLoss::Standardised => standardised,
        StudiedLoss::Secant => GradientLossConfig { estimator, ..standardised },
        StudiedLoss::SecantByValue => {
            let output_weights = OutputWeights::Value;
            GradientLossConfig { estimator, output_weights, ..standardised }
        }
    }
}

/// An ensemble in training.
struct Training<'a> {
    ddppo: &'a Ddppo,
    config: ModelConfig,
    batch: usize,
    model: DynamicsModel<f32>,
    workspace: FitWorkspace<f32>,
    /// Lists of neighbours even where no loss reads them: their order is drawn from the minibatches' stream.
    data: GradientData,
    with_loss: bool,
    rows: usize,
    first: usize,
    rng: Rng,
}

impl<'a> Training<'a> {
    fn new(ddppo: &'a Ddppo, trial: &EstimatorTrial) -> Self {
        let DdppoConfig { training, model: own, .. } = ddppo.config();
        let (batch, discount) = (training.experience.batch_size, training.experience.discount);
        let config =
            ModelConfig { members: trial.members, elites: trial.members, ..own.ensemble.clone() };
        let real = &ddppo.real;
        let stream = |name: &str| Rng::new(trial.seed, name);
        let learned = &ddppo.prediction_model.model;
        let sizes = (learned.observation_dim(), learned.action_dim());
        let mut model = if trial.fresh {
            DynamicsModel::new(sizes.0, sizes.1, &config, &mut stream("initial weights"))
        } else {
            best_members(learned, &config)
        };
        let mut rng = stream("model training");
        let mut order: Vec<u32> = (0..real.len() as u32).collect();
        rng.shuffle(&mut order);
        let held_out = ((order.len() as f64 * config.holdout_fraction) as usize).max(1);
        let training = order.split_off(held_out);
        model.standardiser = Standardiser::fit(real, &training, sizes.0 + sizes.1);
        model.elites = (0..trial.members as u32).collect();
        let LossSettings::Ddppo(settings) = &trial.settings else {
            unreachable!("trials of a run of ddppo have its settings")
        };
        let mut data = GradientData::new(settings, sizes);
        data.update(real, || value_slopes(&ddppo.policy, &ddppo.critic, discount, real));
        let with_loss = settings.weight > 0.0;
        let loss: Option<GradientLoss<'_>> = with_loss.then(|| data.loss());
        let mut workspace = FitWorkspace::new(&model, batch, loss);
        workspace.start(&training, Some(data.loss()));
        let rows = training.len();
        Self { ddppo, config, batch, model, workspace, data, with_loss, rows, first: rows, rng }
    }
}

/// The run's members as far as they are wanted, the elites first, with fresh moments.
fn best_members(learned: &DynamicsModel<f32>, config: &ModelConfig) -> DynamicsModel<f32> {
    let others = (0..learned.members.len() as u32).filter(|m| !learned.elites.contains(m));
    let order = learned.elites.iter().copied().chain(others).take(config.members);
    let members = order.map(|m| {
        let mut member = learned.members[m as usize].clone();
        let parameters = member.network.parameters().len();
        member.adam = Adam::new(parameters, config.learning_rate);
        member
    });
    learned.with_members(members.collect(), learned.standardiser.clone())
}

impl Course for Training<'_> {
    fn advance(&mut self) {
        if self.first >= self.rows {
            self.workspace.shuffle(&mut self.rng);
            self.first = 0;
        }
        let Self { ddppo, config, model, workspace, data, rng, first, .. } = self;
        let loss = self.with_loss.then(|| data.loss());
        minibatch(model, workspace, &ddppo.real, loss, &config.weight_decay, *first, rng);
        self.first += self.batch;
    }

    fn model(&self) -> Cow<'_, DynamicsModel<f32>> {
        Cow::Borrowed(&self.model)
    }
}
