//! One step of a training within a budget, written out: what it draws and what it differentiates, without the step of the optimiser.

use super::budget::BudgetWorkspace;
use super::budget_config::BudgetConfig;
use super::lesson::Lesson;
use super::normalised::NormalisedModel;
use super::secant_data::SecantTerm;
use super::split::{RowDraws, Split};
use crate::data::Replay;
use crate::nn::Real;
use crate::rng::Rng;

/// A member's step.
#[derive(Clone, Debug)]
pub struct BudgetStep<T> {
    /// Rows of the replay, `[batch]`.
    pub rows: Vec<u32>,
    /// Far ends of their secants, `[batch, directions]`; none where the loss has no secants.
    pub ends: Vec<u32>,
    /// How much each row's likelihood counts, `[batch]`.
    pub weights: Vec<f64>,
    /// Weighted NLL.
    pub nll: f64,
    /// R̃; 0 where it is no part of the loss.
    pub secant_loss: f64,
    /// Of NLL + w·R̃ by the network's parameters.
    pub gradient: Vec<T>,
    /// Of the same by log σ, `[label_dim]`.
    pub log_sigma_gradient: Vec<T>,
}

impl<T: Real> BudgetWorkspace<T> {
    /// What the next step of a training would draw and differentiate for each member. The model stays as it is.
    pub fn steps(
        &mut self,
        model: &NormalisedModel<T>,
        replay: &Replay,
        (split, draws): (&Split, RowDraws),
        secants: Option<SecantTerm<'_, T>>,
        config: &BudgetConfig,
        rng: &mut Rng,
    ) -> Vec<BudgetStep<T>> {
        let Self { trainees, stop, .. } = self;
        let standardisers = (&model.inputs, &model.labels);
        let lesson = Lesson::new(replay, (split, draws), secants, standardisers, config, stop);
        let pairs = trainees.iter_mut().zip(&model.members).enumerate();
        let steps = pairs.map(|(m, (trainee, member))| {
            trainee.rng = Rng::from_word(rng.next_u64());
            trainee.draw_rows(split);
            let (mut rows, mut ends) = (Vec::new(), Vec::new());
            let sums = trainee.differentiate(m, member, &lesson, |own, others| {
                rows.extend_from_slice(own);
                ends.extend_from_slice(others);
            });
            let weight = |&row: &u32| draws.weight(replay.sequence_of(row as usize), m);
            BudgetStep {
                weights: rows.iter().map(weight).collect(),
                rows,
                ends,
                nll: sums.nll,
                secant_loss: sums.secants,
                gradient: trainee.gradient.clone(),
                log_sigma_gradient: trainee.sigma_gradient.clone(),
            }
        });
        steps.collect()
    }
}
