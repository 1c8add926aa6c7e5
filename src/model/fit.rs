//! Training an ensemble until its holdout errors stop falling (docs/algorithm.md, "Training the models").

use rayon::prelude::*;

use super::dynamics::{DynamicsModel, Member, ModelConfig};
use super::gradient_loss::GradientLoss;
use super::gradient_term::GradientTerm;
use super::holdout::Holdout;
pub use super::holdout::best_members;
use super::likelihood_loss::LikelihoodPart;
use crate::data::{Replay, Standardiser};
use crate::nn::cpu::vector;
use crate::nn::{Real, StopFlag};
use crate::rng::Rng;

/// Rows of a minibatch that one part of work takes; the parts do not depend on the number of threads.
pub const ROWS_PER_PART: usize = 128;
/// Weight of the sum of the trained bounds' widths in the loss (MBPO).
const BOUNDS_WEIGHT: f64 = 0.01;

/// What a training came to.
#[derive(Clone, Debug, PartialEq)]
pub struct FitReport {
    /// Epochs run.
    pub epochs: u64,
    /// Every member's holdout mean-squared error on (r, Δs) after the last epoch.
    pub holdout_errors: Vec<f64>,
    /// Mean over the last epoch of Σ_members mean_{batch,dim} NLL.
    pub nll: f64,
    /// Mean of R over the last epoch, where it was part of the loss.
    pub gradient_loss: Option<f64>,
}

impl FitReport {
    /// Whether all its numbers are finite.
    pub fn is_finite(&self) -> bool {
        self.nll.is_finite()
            && self.gradient_loss.is_none_or(f64::is_finite)
            && self.holdout_errors.iter().all(|e| e.is_finite())
    }

    /// Mean holdout error of the `elites` best members.
    pub fn elite_error(&self, elites: &[u32]) -> f64 {
        elites.iter().map(|&m| self.holdout_errors[m as usize]).sum::<f64>() / elites.len() as f64
    }
}

/// One part of one member's minibatch.
#[derive(Debug)]
struct FitPart<T> {
    member: usize,
    /// Which of the member's parts.
    index: usize,
    rng: Rng,
    likelihood: LikelihoodPart<T>,
    gradient_loss: Option<GradientTerm<T>>,
    gradient: Vec<T>,
    nll: f64,
    residuals: f64,
}

/// What each member walks through.
#[derive(Debug, Default)]
struct Walk {
    /// Rows of the training split, in this epoch's order.
    rows: Vec<u32>,
    /// Push numbers of the neighbour window, in this epoch's order.
    window: Vec<u64>,
}

/// Buffers of a training, allocated once.
#[derive(Debug)]
pub struct FitWorkspace<T> {
    batch: usize,
    /// Parts that a member's minibatch has.
    parts_each: usize,
    /// The parts of member 0, then of member 1, …
    parts: Vec<FitPart<T>>,
    walks: Vec<Walk>,
    holdout: Holdout<T>,
    bounds_gradient: Vec<f64>,
    /// A training ends when it is raised; what it came to is of no use then.
    pub stop: StopFlag,
}

impl<T: Real> FitWorkspace<T> {
    /// Buffers for minibatches of `batch` rows, with R or another of the same estimator and sizes in the loss where it is given.
    pub fn new(
        model: &DynamicsModel<T>,
        batch: usize,
        gradient_loss: Option<GradientLoss<'_>>,
    ) -> Self {
        let parts_each = batch.div_ceil(ROWS_PER_PART);
        let rows = batch.min(ROWS_PER_PART);
        let parts = (0..model.members.len() * parts_each)
            .map(|p| FitPart {
                member: p / parts_each,
                index: p % parts_each,
                rng: Rng::from_word(0),
                likelihood: LikelihoodPart::new(model, rows),
                gradient_loss: gradient_loss.map(|loss| GradientTerm::new(model, rows, loss)),
                gradient: vec![T::ZERO; model.shape().parameter_len()],
                nll: 0.0,
                residuals: 0.0,
            })
            .collect();
        Self {
            batch,
            parts_each,
            parts,
            walks: model.members.iter().map(|_| Walk::default()).collect(),
            holdout: Holdout::new(model, rows),
            bounds_gradient: vec![0.0; model.bounds_adam.as_ref().map_or(0, |a| a.first.len())],
            stop: StopFlag::default(),
        }
    }

    /// Lets every member walk over the rows `training`, and over the neighbours' window, in the order given.
    pub fn start(&mut self, training: &[u32], gradient_loss: Option<GradientLoss<'_>>) {
        for walk in &mut self.walks {
            walk.rows = training.to_vec();
            walk.window =
                gradient_loss.map_or_else(Vec::new, |g| g.neighbours.sequences().collect());
        }
    }

    /// Puts every member's walk into a new order, as an epoch begins.
    pub fn shuffle(&mut self, rng: &mut Rng) {
        for walk in &mut self.walks {
            rng.shuffle(&mut walk.rows);
            rng.shuffle(&mut walk.window);
        }
    }

    /// Every member's mean-squared error over the rows `holdout` and all outputs.
    pub fn holdout_errors(
        &mut self,
        model: &DynamicsModel<T>,
        replay: &Replay,
        holdout: &[u32],
    ) -> Vec<f64> {
        self.holdout.errors(model, replay, holdout)
    }
}

/// Trains all members on all transitions of `replay` until no holdout error falls any more, then picks the elites.
/// Weights and moments carry over from the training before; split and standardiser are new.
pub fn fit<T: Real>(
    model: &mut DynamicsModel<T>,
    workspace: &mut FitWorkspace<T>,
    replay: &Replay,
    gradient_loss: Option<GradientLoss<'_>>,
    config: &ModelConfig,
    rng: &mut Rng,
) -> FitReport {
    let mut order: Vec<u32> = (0..replay.len() as u32).collect();
    rng.shuffle(&mut order);
    let held_out = (replay.len() as f64 * config.holdout_fraction) as usize;
    let (holdout, training) = order.split_at(held_out.clamp(1, config.max_holdout));
    model.standardiser = Standardiser::fit(replay, training, model.shape().inputs());
    workspace.start(training, gradient_loss);
    if config.bootstrap {
        for row in workspace.walks.iter_mut().flat_map(|walk| &mut walk.rows) {
            *row = training[rng.below(training.len())];
        }
    }
    workspace.holdout.start();
    let mut report = FitReport {
        epochs: 0,
        holdout_errors: Vec::new(),
        nll: 0.0,
        gradient_loss: gradient_loss.map(|_| 0.0),
    };
    let mut stale = 0;
    while stale < config.patience_epochs {
        workspace.shuffle(rng);
        epoch(model, workspace, replay, gradient_loss, &config.weight_decay, rng, &mut report);
        report.epochs += 1;
        if workspace.stop.is_raised() {
            return report;
        }
        report.holdout_errors = workspace.holdout.errors(model, replay, holdout);
        let improved = workspace.holdout.note(model, &report.holdout_errors, config);
        stale = if improved { 0 } else { stale + 1 };
        if report.holdout_errors.iter().any(|e| !e.is_finite()) {
            break; // The caller reports it; training on cannot repair it.
        }
    }
    if config.restore_best && report.holdout_errors.iter().all(|e| e.is_finite()) {
        workspace.holdout.restore(model);
        report.holdout_errors = workspace.holdout.errors(model, replay, holdout);
    }
    model.elites = best_members(&report.holdout_errors, config.elites);
    report
}

/// One pass of every member over the training split; NLL and R go into the report.
pub fn epoch<T: Real>(
    model: &mut DynamicsModel<T>,
    workspace: &mut FitWorkspace<T>,
    replay: &Replay,
    gradient_loss: Option<GradientLoss<'_>>,
    weight_decay: &[f64],
    rng: &mut Rng,
    report: &mut FitReport,
) {
    let rows = workspace.walks[0].rows.len();
    let (mut nll, mut residuals, mut batches) = (0.0, 0.0, 0.0);
    for first in (0..rows).step_by(workspace.batch) {
        if workspace.stop.is_raised() {
            return;
        }
        let losses = minibatch(model, workspace, replay, gradient_loss, weight_decay, first, rng);
        nll += losses.0;
        residuals += losses.1;
        batches += 1.0;
    }
    report.nll = nll / batches;
    report.gradient_loss = gradient_loss.map(|_| residuals / batches);
}

/// One Adam step of every member, on the rows of its walk from number `first` on. Returns Σ_members mean NLL, and R.
pub fn minibatch<T: Real>(
    model: &mut DynamicsModel<T>,
    workspace: &mut FitWorkspace<T>,
    replay: &Replay,
    gradient_loss: Option<GradientLoss<'_>>,
    weight_decay: &[f64],
    first: usize,
    rng: &mut Rng,
) -> (f64, f64) {
    let FitWorkspace { batch, parts_each, parts, walks, bounds_gradient, .. } = workspace;
    let last = walks[0].rows.len().min(first + *batch);
    for part in parts.iter_mut() {
        part.rng = Rng::from_word(rng.next_u64());
    }
    parts.par_iter_mut().for_each(|part| {
        let from = part.index * ROWS_PER_PART;
        let rows_of = |n: usize| from.min(n)..(from + ROWS_PER_PART).min(n);
        let walk = &walks[part.member];
        part.gradient.fill(T::ZERO);
        part.accumulate_likelihood(
            model,
            replay,
            &walk.rows[first..last][rows_of(last - first)],
            last - first,
        );
        if let Some(g) = gradient_loss {
            // The window's minibatch starts where the NLL's does, modulo its length, and wraps around.
            let size = (*batch).min(walk.window.len());
            part.accumulate_gradient_loss(
                model,
                replay,
                g,
                &walk.window,
                first,
                rows_of(size),
                size,
            );
        }
    });
    let groups = parts.par_chunks_mut(*parts_each);
    model.members.par_iter_mut().zip(groups).for_each(|(member, parts)| {
        update_member(member, parts, weight_decay);
    });
    bounds_gradient.fill(0.0);
    for part in parts.iter() {
        vector::add_assign(bounds_gradient, part.likelihood.bounds_gradient());
    }
    update_bounds(model, bounds_gradient);
    let sum = |of: fn(&FitPart<T>) -> f64| parts.iter().map(of).sum::<f64>();
    (sum(|p| p.nll), sum(|p| p.residuals))
}

/// Sums a member's parts in order and takes an Adam step with the layers' weight penalties.
fn update_member<T: Real>(member: &mut Member<T>, parts: &mut [FitPart<T>], weight_decay: &[f64]) {
    let (sum, rest) = parts.split_at_mut(1);
    let gradient = &mut sum[0].gradient;
    for part in rest {
        vector::add_assign(gradient, &part.gradient);
    }
    let Member { network, adam } = member;
    network.update(|parameters, shape| {
        let mut step = adam.begin();
        for (layer, &decay) in shape.layers.iter().zip(weight_decay) {
            step.apply(parameters, gradient, layer.weight.clone(), decay);
            step.apply(parameters, gradient, layer.bias.clone(), 0.0);
        }
    });
}

/// An Adam step of the bounds, where they are trained: `gradient` is the likelihood's, over all members, to which comes
/// that of 0.01·(Σ max − Σ min) (docs/algorithm.md, "MBPO").
fn update_bounds<T: Real>(model: &mut DynamicsModel<T>, gradient: &mut [f64]) {
    let Some(adam) = &mut model.bounds_adam else { return };
    let (by_min, by_max) = gradient.split_at_mut(gradient.len() / 2);
    by_min.iter_mut().for_each(|g| *g -= BOUNDS_WEIGHT);
    by_max.iter_mut().for_each(|g| *g += BOUNDS_WEIGHT);
    model.bounds.update(|numbers| adam.update_clipped(numbers, gradient, f64::INFINITY));
}

impl<T: Real> FitPart<T> {
    /// Adds the gradient of this part of mean_{batch,dim} NLL.
    fn accumulate_likelihood(
        &mut self,
        model: &DynamicsModel<T>,
        replay: &Replay,
        rows: &[u32],
        batch: usize,
    ) {
        let network = &model.members[self.member].network;
        self.nll = self.likelihood.add(model, network, replay, rows, batch, &mut self.gradient);
    }

    /// Adds the gradient of this part of w·R.
    #[allow(clippy::too_many_arguments)]
    fn accumulate_gradient_loss(
        &mut self,
        model: &DynamicsModel<T>,
        replay: &Replay,
        loss: GradientLoss<'_>,
        window: &[u64],
        first: usize,
        rows: std::ops::Range<usize>,
        batch: usize,
    ) {
        let network = &model.members[self.member].network;
        let numbers = model.members.len() * batch * loss.directions * model.label_dim();
        let scale = loss.weight / numbers as f64;
        let mut residuals = 0.0;
        let from = (first + rows.start) % window.len();
        let to = from + rows.len();
        let stretches =
            [&window[from..to.min(window.len())], &window[..to.saturating_sub(window.len())]];
        if let Some(term) = &mut self.gradient_loss {
            for stretch in stretches {
                residuals += term.add(
                    model,
                    network,
                    (replay, loss),
                    stretch,
                    scale,
                    &mut self.rng,
                    &mut self.gradient,
                );
            }
        }
        self.residuals = residuals / numbers as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Transition;
    use crate::methods::{mbpo::MbpoConfig, preset};

    #[test]
    fn mbpos_members_have_bootstraps_of_their_own_beside_a_small_holdout() {
        let mut config = preset("mbpo", "PointMass").unwrap().view::<MbpoConfig>().model;
        (config.hidden, config.patience_epochs, config.max_holdout) = (8, 1, 30);
        let mut rng = Rng::new(0, "fit");
        let mut replay = Replay::new(2, 1, 400);
        for _ in 0..400 {
            let mut x = [0.0; 6];
            rng.fill_normal(&mut x);
            replay.push(Transition {
                observation: &x[..2],
                action: &x[2..3],
                reward: x[3],
                next_observation: &x[4..],
                terminated: false,
            });
        }
        let mut model = DynamicsModel::<f32>::new(2, 1, &config, &mut rng);
        let mut workspace = FitWorkspace::new(&model, 64, None);
        let before = model.bounds.numbers().to_vec();
        fit(&mut model, &mut workspace, &replay, None, &config, &mut rng);
        assert!(model.bounds.numbers().iter().zip(&before).all(|(a, b)| a != b));
        let sets: Vec<std::collections::BTreeSet<u32>> =
            workspace.walks.iter().map(|walk| walk.rows.iter().copied().collect()).collect();
        let all: std::collections::BTreeSet<u32> = sets.iter().flatten().copied().collect();
        // Of 370 rows a bootstrap misses each with probability 1/e; seven miss one of them all with 0.1 %.
        assert!(workspace.walks.iter().all(|walk| walk.rows.len() == 370));
        assert!(sets.iter().all(|set| (180..290).contains(&set.len())), "{sets:?}");
        assert!((360..=370).contains(&all.len()) && sets[0] != sets[1]);
    }
}
