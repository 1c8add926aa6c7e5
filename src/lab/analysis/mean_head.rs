//! What a learned model says of the next observation and the reward, and its derivative: the elites' mean, in raw units, in
//! the row order of [`crate::env::jacobian::Jacobian`] (|S| rows of the next observation, then the reward).

use crate::model::DynamicsModel;
use crate::nn::{Keep, Tangent, Tape};

/// Buffers to evaluate a model's mean head at one point at a time, in `f64`.
pub struct MeanHead<'a> {
    model: &'a DynamicsModel<f64>,
    tape: Tape<f64>,
    tangent: Tangent<f64>,
}

impl<'a> MeanHead<'a> {
    /// For a model that has been trained: it needs elites.
    pub fn new(model: &'a DynamicsModel<f64>) -> Self {
        let inputs = model.shape().inputs();
        let mut tangent = Tangent::new(model.shape(), model.label_dim(), 1, inputs);
        // Unit directions of the raw input are 1/deviation long in the standardised one.
        for (d, &deviation) in model.standardiser.deviation.iter().enumerate() {
            tangent.input.row_mut(d)[d] = 1.0 / deviation;
        }
        Self {
            model,
            tape: Tape::of_first_outputs(model.shape(), model.label_dim(), 1, Keep::Slopes),
            tangent,
        }
    }

    /// (s', r) at (s, a): `[observation_dim + 1]`.
    pub fn predict(&mut self, observation: &[f64], action: &[f64]) -> Vec<f64> {
        let states = self.model.observation_dim();
        let mut mean = vec![0.0; states + 1];
        let share = self.share();
        self.load(observation, action);
        for &elite in &self.model.elites {
            self.model.members[elite as usize].network.forward(&mut self.tape, 0..1);
            // The network's order is (r, Δs).
            let output = self.tape.output.row(0);
            mean[states] += share * output[0];
            mean.iter_mut().zip(&output[1..=states]).for_each(|(m, o)| *m += share * o);
        }
        mean.iter_mut().zip(observation).for_each(|(m, s)| *m += s);
        mean
    }

    /// d(s', r)/d(s, a): `observation_dim + 1` rows of `observation_dim + action_dim` numbers, row after row.
    pub fn jacobian(&mut self, observation: &[f64], action: &[f64]) -> Vec<f64> {
        let (states, columns) = (self.model.observation_dim(), self.model.shape().inputs());
        let mut values = vec![0.0; (states + 1) * columns];
        let share = self.share();
        self.load(observation, action);
        for &elite in &self.model.elites {
            let network = &self.model.members[elite as usize].network;
            network.forward(&mut self.tape, 0..1);
            network.tangent(&self.tape, &mut self.tangent, 0..1);
            for column in 0..columns {
                let slopes = self.tangent.output.row(column);
                values[states * columns + column] += share * slopes[0];
                for row in 0..states {
                    values[row * columns + column] += share * slopes[1 + row];
                }
            }
        }
        // s' = s + Δs.
        (0..states).for_each(|d| values[d * columns + d] += 1.0);
        values
    }

    fn share(&self) -> f64 {
        1.0 / self.model.elites.len() as f64
    }

    fn load(&mut self, observation: &[f64], action: &[f64]) {
        let x = observation.iter().chain(action).copied();
        self.model.standardiser.apply(x, self.tape.input.row_mut(0));
    }
}
