//! Operations of the pieces: those of the matrix products that the mathematics needs, two a multiply-add; no padding, no
//! input gradient of a first layer, no log-variance head where only the mean is used, no primal head in R. The same
//! count as in `benches/reference/sizes.py`, so that rates can be compared. Terms that a ReLU made zero count, although the program leaves
//! them out: a rate can be above the peak.

use super::piece::Piece;
use crate::env::Task;
use crate::methods::ddppo::DdppoConfig;

/// Layer sizes of a multilayer perceptron.
#[derive(Clone)]
struct Network(Vec<usize>);

impl Network {
    fn new(inputs: usize, hidden: usize, layers: usize, outputs: usize) -> Self {
        let mut sizes = vec![inputs];
        sizes.extend(std::iter::repeat_n(hidden, layers));
        sizes.push(outputs);
        Self(sizes)
    }

    /// One pass through all maps; as much for each map's weight gradient, and for each map's input gradient.
    fn pass(&self, rows: usize) -> f64 {
        self.0.windows(2).map(|pair| 2.0 * (rows * pair[0] * pair[1]) as f64).sum()
    }

    /// The first map's part of [`Network::pass`].
    fn first(&self, rows: usize) -> f64 {
        2.0 * (rows * self.0[0] * self.0[1]) as f64
    }

    /// Forward, weight gradients, input gradients of all maps but the first.
    fn training(&self, rows: usize) -> f64 {
        3.0 * self.pass(rows) - self.first(rows)
    }
}

/// Operations of one run of a piece, where they are counted.
pub(crate) fn of(piece: Piece, config: &DdppoConfig, task: &dyn Task) -> Option<f64> {
    let (s, a) = (task.observation_dim(), task.action_dim());
    let model = |outputs| {
        Network::new(s + a, config.model.ensemble.hidden, config.model.ensemble.layers, outputs)
    };
    let (whole, mean) = (model(2 * (1 + s)), model(1 + s));
    let policy = Network::new(s, config.policy.network.hidden, 2, 2 * a);
    let critic = Network::new(s + a, config.critic.network.hidden, 2, 1);
    let batch = config.training.experience.batch_size;
    match piece {
        // The policy acts in s' and in s; each twin runs its target, and is trained.
        Piece::CriticUpdate => {
            Some(2.0 * policy.pass(batch) + 2.0 * (critic.pass(batch) + critic.training(batch)))
        }
        Piece::PolicyUpdate => {
            let k = config.policy.path.horizon;
            let acting = 3.0 * policy.pass((k + 1) * batch) - policy.first(batch);
            let models = whole.pass(k * batch) + 2.0 * mean.pass(k * batch);
            Some(acting + models + 2.0 * 2.0 * critic.pass(batch))
        }
        Piece::GradientModelStep => {
            let rows = config.model.ensemble.members * batch;
            // R's primal pass stops below the head.
            let body = Network(whole.0[..whole.0.len() - 1].to_vec());
            // Of more directions than inputs, J's columns give all.
            let tangents = config.gradient_loss.directions_per_row.min(s + a);
            Some(whole.training(rows) + body.training(rows) + mean.training(rows * tangents))
        }
        Piece::ModelForward10k => Some(whole.pass(10_000)),
        Piece::Rollout100k => Some(whole.pass(100_000) + policy.pass(100_000)),
        Piece::SecantStep => {
            // The variant takes one secant a row, of two ends.
            let rows = config.model.ensemble.members * batch;
            Some(whole.training(rows) + mean.training(2 * rows))
        }
        Piece::NeighbourUpdate
        | Piece::StandardisedNeighbours
        | Piece::EnvironmentStep
        | Piece::Evaluation
        | Piece::Checkpoint => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_of_the_twins() {
        let preset = crate::methods::preset("ddppo", "HalfCheetah").unwrap();
        let mut config: DdppoConfig = preset.view();
        let task = crate::env::task("HalfCheetah").unwrap();
        // (piece, m, GFLOP by benches/reference/sizes.py to all digits)
        let expected = [
            (Piece::CriticUpdate, 5, 0.362_283_008),
            (Piece::PolicyUpdate, 5, 1.189_113_856),
            (Piece::GradientModelStep, 5, 9.533_44),
            (Piece::GradientModelStep, 1, 4.085_76),
            (Piece::GradientModelStep, 50, 34.048),
            (Piece::ModelForward10k, 5, 2.636),
        ];
        for (piece, directions, gflop) in expected {
            config.gradient_loss.directions_per_row = directions;
            let counted = of(piece, &config, &*task).unwrap() * 1e-9;
            assert!((counted - gflop).abs() < 1e-9, "{piece:?} with m = {directions}: {counted}");
        }
    }
}
