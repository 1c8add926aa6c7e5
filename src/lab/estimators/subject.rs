//! What a run must offer for its losses to be compared, and a model in training under one of them.

use std::borrow::Cow;

use super::trial::{EstimatorTrial, LossSettings, StudiedLoss};
use crate::data::Replay;
use crate::methods::Method;
use crate::methods::ddppo::Ddppo;
use crate::methods::ddppo_plus::DdppoPlus;
use crate::model::DynamicsModel;

/// A method whose model can be trained by several losses.
pub(super) trait Subject: Sync {
    /// Real transitions.
    fn real(&self) -> &Replay;

    /// Members of its ensemble.
    fn members(&self) -> usize;

    /// The losses that its kind of model can be trained by on the task of this name, each with its settings for an ensemble of `members`.
    fn losses(&self, task: &str, members: usize) -> Vec<(StudiedLoss, LossSettings)>;

    /// Whether enough rows are trained on in a trial of this seed to be each other's neighbours.
    fn has_neighbours(&self, settings: &LossSettings, seed: u64) -> bool;

    /// A trial's training, about to begin.
    fn course<'a>(&'a self, trial: &EstimatorTrial) -> Box<dyn Course + 'a>;
}

/// A model in training.
pub(super) trait Course {
    /// One step of the optimiser for every member.
    fn advance(&mut self);

    /// The model as it is, in raw units.
    fn model(&self) -> Cow<'_, DynamicsModel<f32>>;
}

/// The method as one whose losses can be compared; `None` where it has no gradient loss.
pub(super) fn subject(method: &dyn Method) -> Option<&dyn Subject> {
    let ddppo = method.downcast::<Ddppo>().map(|method| method as &dyn Subject);
    ddppo.or_else(|| method.downcast::<DdppoPlus>().map(|method| method as &dyn Subject))
}
