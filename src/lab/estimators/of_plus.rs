//! DDPPO+'s models in training: by likelihood alone, and by secants beside it.

use std::borrow::Cow;

use super::subject::{Course, Subject};
use super::trial::{EstimatorTrial, LossSettings, StudiedLoss};
use crate::data::Replay;
use crate::methods::ddppo_plus::DdppoPlus;
use crate::model::{
    BudgetConfig, BudgetWorkspace, DynamicsModel, NormalisedModel, RowDraws, SecantConfig,
    SecantData, Split,
};
use crate::path::mean_value_slopes;
use crate::rng::Rng;

impl Subject for DdppoPlus {
    fn real(&self) -> &Replay {
        &self.real
    }

    fn members(&self) -> usize {
        self.config().model.members
    }

    fn losses(&self, _: &str, _: usize) -> Vec<(StudiedLoss, LossSettings)> {
        let secants = SecantConfig { value_weights: false, ..self.config().gradient_loss };
        let all = [
            (StudiedLoss::Likelihood, SecantConfig { weight: 0.0, ..secants }),
            (StudiedLoss::Secant, secants),
            (StudiedLoss::SecantByValue, SecantConfig { value_weights: true, ..secants }),
        ];
        all.map(|(loss, settings)| (loss, LossSettings::DdppoPlus(settings))).into()
    }

    fn has_neighbours(&self, settings: &LossSettings, seed: u64) -> bool {
        let LossSettings::DdppoPlus(settings) = settings else { return false };
        let (split, _) = parted(self, seed);
        !split.holdout.is_empty() && settings.has_neighbours(&self.real, &split)
    }

    fn course<'a>(&'a self, trial: &EstimatorTrial) -> Box<dyn Course + 'a> {
        Box::new(Training::new(self, trial))
    }
}

/// The run's rows, parted as in a trial of this seed.
fn parted(plus: &DdppoPlus, seed: u64) -> (Split, RowDraws) {
    let draws = RowDraws::new(seed, "model");
    let mut split = Split::default();
    split.renew(&plus.real, draws, plus.config().model.holdout_fraction);
    (split, draws)
}

/// An ensemble in training.
struct Training<'a> {
    plus: &'a DdppoPlus,
    model: NormalisedModel<f32>,
    workspace: BudgetWorkspace<f32>,
    split: Split,
    draws: RowDraws,
    /// `None` where the loss has no secants.
    secants: Option<SecantData<f32>>,
}

impl<'a> Training<'a> {
    fn new(plus: &'a DdppoPlus, trial: &EstimatorTrial) -> Self {
        let (config, real, learned) = (plus.config(), &plus.real, &plus.prediction_model);
        let stream = |name: &str| Rng::new(trial.seed, name);
        let sizes = (learned.observation_dim(), learned.action_dim());
        let mut model = if trial.fresh {
            let config = BudgetConfig { members: trial.members, ..config.model.clone() };
            NormalisedModel::of_config(sizes, &config, &mut stream("initial weights"))
        } else {
            let members = learned.members[..trial.members].to_vec();
            learned.with_members(members, (learned.inputs.clone(), learned.labels.clone()))
        };
        model.standardise(real);
        let (split, draws) = parted(plus, trial.seed);
        let LossSettings::DdppoPlus(settings) = &trial.settings else {
            unreachable!("trials of a run of ddppo-plus have its settings")
        };
        let secants = (settings.weight > 0.0).then(|| {
            let (half_width, discount) =
                (plus.range.half_width(), config.training.experience.discount);
            let mut secants = SecantData::new(settings, sizes);
            secants.update(real, &model.inputs, &split, || {
                mean_value_slopes(&plus.policy, &plus.critic, half_width, discount, real)
            });
            secants
        });
        let directions = secants.as_ref().map_or(0, |_| settings.directions_per_row);
        let mut workspace = BudgetWorkspace::new(&model, &config.model, directions);
        workspace.begin(&mut stream("model training"));
        Self { plus, model, workspace, split, draws, secants }
    }
}

impl Course for Training<'_> {
    fn advance(&mut self) {
        let Self { plus, model, workspace, split, draws, secants } = self;
        let secants = secants.as_ref().map(SecantData::term);
        workspace.advance(model, &plus.real, (split, *draws), secants, &plus.config().model);
    }

    fn model(&self) -> Cow<'_, DynamicsModel<f32>> {
        Cow::Owned(self.model.in_raw_units())
    }
}
