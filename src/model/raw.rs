//! A [`NormalisedModel`] as a [`DynamicsModel`]: the same means and deviations in raw units, for whoever knows only such models.

use super::dynamics::{DynamicsModel, Member, ModelConfig};
use super::likelihood::LogVarianceBounds;
use super::normalised::{NormalisedMember, NormalisedModel};
use super::termination::TerminationSource;
use crate::nn::{Activation, Adam, Mlp, Real, Shape};
use crate::rng::Rng;

/// Bounds of log-variances, far from all that occur: between them any can be said.
const BOUNDS: (f64, f64) = (-45.0, 40.0);

/// The raw log-variance that [`LogVarianceBounds`] make `log_variance` of: the inverse of their two folds.
fn unbounded(log_variance: f64) -> f64 {
    let (min, max) = BOUNDS;
    let q = (log_variance.clamp(min + 1.0, max - 1.0) - min).exp_m1();
    max - ((max - min).exp() / q - 1.0).ln()
}

impl<T: Real> NormalisedModel<T> {
    /// The same model in raw units. All members are elites once it has been trained.
    pub fn in_raw_units(&self) -> DynamicsModel<T> {
        let hidden = &self.shape().layers[0];
        let config = ModelConfig {
            members: 1,
            elites: 1,
            hidden: hidden.outputs,
            layers: self.shape().layers.len() - 1,
            learning_rate: 1e-3,
            weight_decay: Vec::new(),
            termination: TerminationSource::Given,
            min_log_variance: BOUNDS.0,
            max_log_variance: BOUNDS.1,
            train_bounds: false,
            holdout_fraction: 0.2,
            max_holdout: 1,
            bootstrap: false,
            patience_epochs: 1,
            improvement: 0.0,
            restore_best: false,
        };
        let (s, a) = (self.observation_dim(), self.action_dim());
        let mut model = DynamicsModel::new(s, a, &config, &mut Rng::from_word(0));
        model.members = self.members.iter().map(|member| self.raw_member(member)).collect();
        model.standardiser = self.inputs.clone();
        model.bounds = LogVarianceBounds::new(BOUNDS.0, BOUNDS.1, self.label_dim());
        let all = 0..self.members.len() as u32;
        model.elites = if self.trained { all.collect() } else { Vec::new() };
        model
    }

    fn raw_member(&self, member: &NormalisedMember<T>) -> Member<T> {
        let (own, labels) = (member.network.shape(), self.label_dim());
        let mut sizes: Vec<usize> = own.layers.iter().map(|layer| layer.inputs).collect();
        sizes.push(2 * labels);
        let mut shape = Shape::new(&sizes, Activation::Silu);
        shape.norms.clone_from(&own.norms);
        let last = own.layers.len() - 1;
        let mut network = Mlp::new(shape, |_| 0.0);
        network.update(|parameters, shape| {
            for l in 0..last {
                let (weight, bias) = own.export(l, member.network.parameters());
                shape.import(l, &weight, &bias, parameters);
            }
            let (weight, mut bias) = own.export(last, member.network.parameters());
            let mut raw = Vec::with_capacity(2 * weight.len());
            for row in weight.chunks_exact(labels) {
                raw.extend(row.iter().zip(&self.labels.deviation).map(|(&w, &scale)| w * scale));
                raw.extend(std::iter::repeat_n(T::ZERO, labels));
            }
            let scale = self.labels.mean.iter().zip(&self.labels.deviation);
            for (b, (&mean, &deviation)) in bias.iter_mut().zip(scale) {
                *b = *b * deviation + mean;
            }
            let deviations = self.labels.deviation.iter().zip(&member.log_sigma);
            bias.extend(deviations.map(|(deviation, log_sigma)| {
                let log_sigma = log_sigma.to_f64() + deviation.to_f64().ln();
                T::from_f64(unbounded(2.0 * log_sigma))
            }));
            shape.import(last, &raw, &bias, parameters);
        });
        let adam = Adam::new(network.shape().parameter_len(), 1e-3);
        Member { network, adam }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Standardiser;
    use crate::model::{NormalisedTape, StepTape};
    use crate::nn::{Keep, Matrix};

    #[test]
    fn means_and_deviations_are_the_same() {
        let rng = &mut Rng::new(0, "raw");
        let model = NormalisedModel::<f64>::new((3, 1), 2, (8, 2), rng);
        means_and_deviations_of(model.clone());
        means_and_deviations_of(model.with_layer_norm());
    }

    fn means_and_deviations_of(mut model: NormalisedModel<f64>) {
        model.inputs =
            Standardiser { mean: vec![0.5, -1.0, 2.0, 0.1], deviation: vec![2.0, 0.3, 1.0, 0.6] };
        model.labels =
            Standardiser { mean: vec![1.0, 0.1, -0.2, 0.0], deviation: vec![3.0, 0.02, 0.5, 1e-3] };
        model.members[1].log_sigma = vec![-2.0, 0.3, -1.0, -4.0];
        model.trained = true;
        let raw = model.in_raw_units();
        assert_eq!(raw.elites, [0, 1]);
        let (state, action) = ([0.7, -1.2, 1.0], [0.4]);
        let mut states = Matrix::zeros(1, 3);
        states.row_mut(0).copy_from_slice(&state);
        let mut step = StepTape::new(&raw, 1, Keep::Nothing);
        raw.forward(&mut step, &[1], &states, &action);
        let mut standardised = [0.0; 3];
        model.inputs.apply(state.into_iter(), &mut standardised);
        let mut tape = NormalisedTape::new(&model, 1, Keep::Nothing);
        model.forward(&mut tape, &[1], |_| &standardised, &action);
        for d in 0..4 {
            let scale = model.labels.deviation[d];
            let mean = model.labels.mean[d] + scale * tape.mean(0)[d];
            assert!((step.output(0)[d] - mean).abs() < 1e-12, "mean {d}");
            let deviation = scale * model.members[1].log_sigma[d].exp();
            let found = raw.bounds.deviation(d, step.output(0)[4 + d]);
            assert!((found / deviation - 1.0).abs() < 1e-6, "deviation {d}: {found}, {deviation}");
        }
    }
}
