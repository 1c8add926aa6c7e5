//! What learning works in.

use crate::model::{BudgetWorkspace, RowDraws, SecantData, Split};
use crate::nn::StopFlag;
use crate::path::{LongWorkspace, ShortPathWorkspace};

/// What can be made again at any time: no part of the state.
pub(super) struct Buffers {
    pub(super) split: Split,
    pub(super) draws: [RowDraws; 2],
    pub(super) secants: Option<SecantData<f32>>,
    pub(super) training: [Option<BudgetWorkspace<f32>>; 2],
    pub(super) long: Option<LongWorkspace<f32>>,
    pub(super) short: Option<ShortPathWorkspace<f32>>,
    pub(super) policy_gradient: Vec<f32>,
    pub(super) half_gradient: Vec<f32>,
    pub(super) critic_gradients: Vec<Vec<f32>>,
    /// Breaks a block off.
    pub(super) stop: StopFlag,
}

impl Buffers {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            split: Split::default(),
            draws: ["prediction", "gradient"].map(|name| RowDraws::new(seed, name)),
            secants: None,
            training: [None, None],
            long: None,
            short: None,
            policy_gradient: Vec::new(),
            half_gradient: Vec::new(),
            critic_gradients: Vec::new(),
            stop: StopFlag::default(),
        }
    }
}
