//! What the held-out rows decide: when a training ends, which weights stay, and who are the elites (docs/algorithm.md, "Training the models").

use rayon::prelude::*;

use super::dynamics::{DynamicsModel, ModelConfig};
use super::likelihood_loss::{load_inputs, load_label};
use crate::data::Replay;
use crate::nn::{Keep, Real, Tape};

/// Buffers to run the held-out rows through all members, and each member's best so far. Allocated once.
#[derive(Debug)]
pub(crate) struct Holdout<T> {
    tapes: Vec<Tape<T>>,
    /// Lowest errors of this training.
    best: Vec<f64>,
    /// Parameters of each member when it had them; empty where they are not to come back.
    weights: Vec<Vec<T>>,
}

impl<T: Real> Holdout<T> {
    /// Buffers for `rows` rows at a time.
    pub(crate) fn new(model: &DynamicsModel<T>, rows: usize) -> Self {
        let tape = |_| Tape::new(model.shape(), rows, Keep::Nothing);
        Self {
            tapes: model.members.iter().map(tape).collect(),
            best: Vec::new(),
            weights: vec![Vec::new(); model.members.len()],
        }
    }

    /// Begins a training.
    pub(crate) fn start(&mut self) {
        self.best = vec![f64::INFINITY; self.tapes.len()];
    }

    /// Every member's mean-squared error over the held-out rows and all outputs.
    pub(crate) fn errors(
        &mut self,
        model: &DynamicsModel<T>,
        replay: &Replay,
        holdout: &[u32],
    ) -> Vec<f64> {
        let members = model.members.par_iter().zip(&mut self.tapes);
        members
            .map(|(member, tape)| {
                let mut label = vec![T::ZERO; model.label_dim()];
                let mut sum = 0.0;
                for rows in holdout.chunks(tape.rows()) {
                    load_inputs(model, replay, rows, tape);
                    member.network.forward(tape, 0..rows.len());
                    for (i, &row) in rows.iter().enumerate() {
                        load_label(replay, row, &mut label);
                        for (&y, &mean) in label.iter().zip(tape.output.row(i)) {
                            sum += (mean - y).to_f64() * (mean - y).to_f64();
                        }
                    }
                }
                sum / (holdout.len() * model.label_dim()) as f64
            })
            .collect()
    }

    /// Notes the errors after an epoch; whether a member has improved its best by more than the wanted part.
    pub(crate) fn note(
        &mut self,
        model: &DynamicsModel<T>,
        errors: &[f64],
        config: &ModelConfig,
    ) -> bool {
        let mut improved = false;
        for (m, (best, &error)) in self.best.iter_mut().zip(errors).enumerate() {
            if *best == f64::INFINITY || (*best - error) / *best > config.improvement {
                *best = error;
                improved = true;
                if config.restore_best {
                    let weights = &mut self.weights[m];
                    weights.clear();
                    weights.extend_from_slice(model.members[m].network.parameters());
                }
            }
        }
        improved
    }

    /// Gives every member back the weights of its last improvement; Adam's moments stay (docs/algorithm.md, "MBPO").
    pub(crate) fn restore(&mut self, model: &mut DynamicsModel<T>) {
        for (member, weights) in model.members.iter_mut().zip(&self.weights) {
            member.network.update(|parameters, _| parameters.copy_from_slice(weights));
        }
    }
}

/// The `count` members with the lowest errors, best first.
pub fn best_members(errors: &[f64], count: usize) -> Vec<u32> {
    let mut ranking: Vec<u32> = (0..errors.len() as u32).collect();
    ranking.sort_by(|&a, &b| errors[a as usize].total_cmp(&errors[b as usize]));
    ranking.truncate(count);
    ranking
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::methods::{mbpo::MbpoConfig, preset};
    use crate::rng::Rng;

    #[test]
    fn each_member_gets_the_weights_of_its_last_improvement() {
        let mut config = preset("mbpo", "PointMass").unwrap().view::<MbpoConfig>().model;
        (config.members, config.hidden) = (2, 8);
        let mut model = DynamicsModel::<f64>::new(4, 2, &config, &mut Rng::new(0, "holdout"));
        let mut holdout = Holdout::new(&model, 4);
        let first = |model: &DynamicsModel<f64>, m: usize| model.members[m].network.parameters()[0];
        let set = |model: &mut DynamicsModel<f64>, value: f64| {
            for member in &mut model.members {
                member.network.update(|parameters, _| parameters[0] = value);
            }
        };
        holdout.start();
        // Value of a weight, both members' errors, whether one of them is 1 % better than its best.
        for (value, errors, improved) in [
            (1.0, [1.0, 2.0], true),
            (2.0, [0.995, 1.5], true),
            (3.0, [0.991, 1.6], false),
            (4.0, [0.98, 1.49], true),
            (5.0, [3.0, 1.0e9], false),
        ] {
            set(&mut model, value);
            assert_eq!(holdout.note(&model, &errors, &config), improved, "{value}");
        }
        holdout.restore(&mut model);
        assert_eq!((first(&model, 0), first(&model, 1)), (4.0, 2.0));
        assert_eq!(best_members(&[3.0, 1.0, 2.0], 2), [1, 2]);
    }
}
