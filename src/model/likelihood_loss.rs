//! The likelihood part of a model's training (eq. 2): one member's share of mean_{batch,dim} NLL and its gradient.

use super::dynamics::DynamicsModel;
use crate::data::Replay;
use crate::nn::{Keep, Mlp, Real, Tape};

/// Buffers of one part of a minibatch.
#[derive(Debug)]
pub(crate) struct LikelihoodPart<T> {
    tape: Tape<T>,
    label: Vec<T>,
    /// Derivative by the bounds of the last rows, `[2·label_dim]`; empty where they are constants.
    bounds_gradient: Vec<f64>,
}

impl<T: Real> LikelihoodPart<T> {
    pub(crate) fn new(model: &DynamicsModel<T>, rows: usize) -> Self {
        let bounds = model.bounds_adam.as_ref().map_or(0, |adam| adam.first.len());
        Self {
            tape: Tape::new(model.shape(), rows, Keep::Values),
            label: vec![T::ZERO; model.label_dim()],
            bounds_gradient: vec![0.0; bounds],
        }
    }

    /// Derivative by the bounds of the last [`LikelihoodPart::add`]; empty where they are constants.
    pub(crate) fn bounds_gradient(&self) -> &[f64] {
        &self.bounds_gradient
    }

    /// Adds the gradient of these rows' share of a minibatch of `batch` rows; returns that share.
    pub(crate) fn add(
        &mut self,
        model: &DynamicsModel<T>,
        network: &Mlp<T>,
        replay: &Replay,
        rows: &[u32],
        batch: usize,
        gradient: &mut [T],
    ) -> f64 {
        self.bounds_gradient.fill(0.0);
        if rows.is_empty() {
            return 0.0;
        }
        load_inputs(model, replay, rows, &mut self.tape);
        network.forward(&mut self.tape, 0..rows.len());
        let share = 1.0 / (batch * model.label_dim()) as f64;
        let mut nll = 0.0;
        for (i, &row) in rows.iter().enumerate() {
            load_label(replay, row, &mut self.label);
            let adjoint = self.tape.output_adjoint.row_mut(i);
            let output = self.tape.output.row(i);
            if !self.bounds_gradient.is_empty() {
                let gradient = &mut self.bounds_gradient;
                model.bounds.add_gradient_row(output, &self.label, share, gradient);
            }
            nll += share * model.bounds.loss_row(output, &self.label, T::from_f64(share), adjoint);
        }
        network.backward(&mut self.tape, 0..rows.len(), Some(gradient), false);
        nll
    }
}

/// Standardised (s, a) of the given rows.
pub(crate) fn load_inputs<T: Real>(
    model: &DynamicsModel<T>,
    replay: &Replay,
    rows: &[u32],
    tape: &mut Tape<T>,
) {
    for (i, &row) in rows.iter().enumerate() {
        let t = replay.get(row as usize);
        let x = t.observation.iter().chain(t.action).map(|&x| T::from_f32(x));
        model.standardiser.apply(x, tape.input.row_mut(i));
    }
}

/// (r, Δs) of a transition.
pub(crate) fn load_label<T: Real>(replay: &Replay, row: u32, label: &mut [T]) {
    let t = replay.get(row as usize);
    label.iter_mut().enumerate().for_each(|(d, y)| *y = t.label(d));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Transition;
    use crate::methods::{mbpo::MbpoConfig, preset};
    use crate::model::likelihood::LogVarianceBounds;
    use crate::rng::Rng;

    #[test]
    fn gradient_by_the_bounds_equals_central_differences() {
        let mut config = preset("mbpo", "PointMass").unwrap().view::<MbpoConfig>().model;
        config.hidden = 8;
        // Bounds that the fresh networks' log-variances meet.
        (config.min_log_variance, config.max_log_variance) = (-0.5, 0.3);
        let mut rng = Rng::new(0, "bounds");
        let mut model = DynamicsModel::<f64>::new(2, 1, &config, &mut rng);
        let mut replay = Replay::new(2, 1, 10);
        for _ in 0..10 {
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
        let network = model.members[0].network.clone();
        let mut part = LikelihoodPart::new(&model, 10);
        let mut gradient = vec![0.0; network.parameters().len()];
        let rows: Vec<u32> = (0..7).collect();
        let mut nll = |model: &DynamicsModel<f64>| {
            let value = part.add(model, &network, &replay, &rows, 10, &mut gradient);
            (value, part.bounds_gradient().to_vec())
        };
        let (_, by_bounds) = nll(&model);
        assert_eq!(by_bounds.len(), 6);
        let numbers = model.bounds.numbers().to_vec();
        for (k, &expected) in by_bounds.iter().enumerate() {
            let mut at = |h: f64| {
                let mut moved = numbers.clone();
                moved[k] += h;
                model.bounds = LogVarianceBounds::from_numbers(moved);
                nll(&model).0
            };
            let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
            assert!((difference - expected).abs() < 1e-7, "{k}: {difference} for {expected}");
            assert!(expected.abs() > 1e-4, "{k}: nothing to see");
        }
    }
}
