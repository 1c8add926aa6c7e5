//! MAGE's critic in DDPPO: the action gradient of the critic is fitted to that of its one-step target, whose slope by the action comes from
//! the model that the policy is improved through, the gradient model (docs/decisions/073-mage.md).

use crate::critic::{Critic, SlopeTerm};
use crate::data::Replay;
use crate::nn::LearnError;
use crate::path::{ActionSlopes, Objective};
use crate::rng::Rng;
use crate::run::{Entries, SnapshotError};

/// The term's buffers and draws.
#[derive(Debug)]
pub struct ActionGradientTerm {
    weight: f64,
    batch: usize,
    /// States, noise and elites.
    stream: Rng,
    /// Q̄₁, Q̄₂ as networks with a way back.
    targets: Critic<f32>,
    /// Made at the first update.
    workspace: Option<(ActionSlopes<f32>, SlopeTerm<f32>)>,
}

impl ActionGradientTerm {
    /// A term of this weight, over `batch` rows that are drawn from `stream`.
    pub fn new(critic: &Critic<f32>, weight: f64, batch: usize, stream: Rng) -> Self {
        Self { weight, batch, stream, targets: critic.clone(), workspace: None }
    }

    /// The term's gradient at the critic of `of`, in states of `imagined`. The horizon of `of` is taken to be 1. Returns ½ Σ_i mean h, and
    /// where the gradient is to be found.
    ///
    /// # Errors
    /// When an imagined state or the loss is not finite.
    pub fn differentiate(
        &mut self,
        of: Objective<'_, f32>,
        imagined: &Replay,
    ) -> Result<(f64, &SlopeTerm<f32>), LearnError> {
        let Self { weight, batch, stream, targets, workspace } = self;
        for (target, q) in targets.networks.iter_mut().zip(&of.critic.networks) {
            target.network.update(|to, _| to.copy_from_slice(q.target.parameters()));
        }
        let imagination = of.imagination.map(|mut imagination| {
            imagination.horizon = 1;
            imagination
        });
        let one_step = Objective { critic: targets, imagination, ..of };
        let (slopes, term) = workspace.get_or_insert_with(|| {
            let slopes = ActionSlopes::new(&one_step, *batch);
            let term = SlopeTerm::new(of.critic, slopes.sizes());
            (slopes, term)
        });
        let start = |_: usize, rng: &mut Rng| imagined.get(rng.below(imagined.len())).observation;
        if slopes.run(&one_step, start, stream) > 0 {
            return Err(LearnError::NonFinite("the prediction model's output"));
        }
        let slopes = &*slopes;
        let loss = term.differentiate(of.critic, *weight, &of.policy.scale, |b| slopes.block(b));
        LearnError::check("the critic's action gradient", loss, f64::INFINITY)?;
        Ok((loss, term))
    }

    /// Saves or restores the stream.
    ///
    /// # Errors
    /// When it is missing.
    pub fn visit(&mut self, entries: &mut Entries<'_>) -> Result<(), SnapshotError> {
        let Self { weight: _, batch: _, stream, targets: _, workspace: _ } = self;
        entries.rng("streams/action_gradient", stream)
    }
}
