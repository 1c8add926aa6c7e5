//! Updates of V: weighted regression on targets, among them the one-step target.

use std::ops::Range;

use rayon::prelude::*;

use super::value::ValueNetwork;
use crate::data::{Transition, minibatch};
use crate::nn::cpu::vector;
use crate::nn::{Keep, LearnError, Real, Tape};

/// What one update saw, averaged over its minibatch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ValueReport {
    /// ½·w·(V(s) − y)².
    pub loss: f64,
    /// V(s).
    pub value: f64,
    /// Whether every entry of the gradient was finite.
    pub finite_gradient: bool,
}

impl ValueReport {
    /// Refuses numbers that cannot be learned from, or a loss beyond the guard `limit`.
    ///
    /// # Errors
    /// As said.
    pub fn check(&self, limit: f64) -> Result<(), LearnError> {
        LearnError::check("the critic's loss", self.loss, limit)?;
        if !self.value.is_finite() {
            return Err(LearnError::NonFinite("the critic's value"));
        }
        if !self.finite_gradient {
            return Err(LearnError::NonFinite("the critic's gradient"));
        }
        Ok(())
    }
}

/// Some rows of a minibatch.
#[derive(Debug)]
struct ValuePart<T> {
    rows: Range<usize>,
    /// V's pass over s.
    present: Tape<T>,
    /// V̄'s pass over s'.
    next: Tape<T>,
    weights: Vec<T>,
    targets: Vec<T>,
}

/// Buffers of V's updates, allocated once.
#[derive(Debug)]
pub struct ValueWorkspace<T> {
    parts: Vec<ValuePart<T>>,
    gradient: Vec<T>,
    batch: usize,
}

fn fill<T: Real>(target: &mut [T], source: &[f32]) {
    target.iter_mut().zip(source).for_each(|(t, &s)| *t = T::from_f32(s));
}

impl<T: Real> ValueWorkspace<T> {
    /// Buffers for minibatches of `batch` rows, shared out for the present number of threads.
    pub fn new(value: &ValueNetwork<T>, batch: usize) -> Self {
        let shape = value.network.shape();
        let part = |rows: Range<usize>| ValuePart {
            present: Tape::new(shape, rows.len(), Keep::Adjoints),
            next: Tape::new(shape, rows.len(), Keep::Nothing),
            weights: vec![T::ONE; rows.len()],
            targets: vec![T::ZERO; rows.len()],
            rows,
        };
        let parts = minibatch::parts(0..batch, rayon::current_num_threads());
        let gradient = vec![T::ZERO; shape.parameter_len()];
        Self { parts: parts.map(part).collect(), gradient, batch }
    }

    /// The gradient of the last update.
    pub fn gradient(&self) -> &[T] {
        &self.gradient
    }
}

impl<T: Real> ValueNetwork<T> {
    /// One update towards r + γ·(1 − d)·V̄(s') on transitions and their weights, by row of the minibatch.
    pub fn update_one_step<'a>(
        &mut self,
        workspace: &mut ValueWorkspace<T>,
        discount: f64,
        row: impl Fn(usize) -> (Transition<'a>, T) + Sync,
    ) -> ValueReport {
        let (target, discount) = (&self.target, T::from_f64(discount));
        workspace.parts.par_iter_mut().for_each(|part| {
            let ValuePart { rows, present, next, weights, targets } = part;
            for (i, of) in rows.clone().enumerate() {
                let (transition, weight) = row(of);
                fill(present.input.row_mut(i), transition.observation);
                fill(next.input.row_mut(i), transition.next_observation);
                weights[i] = weight;
            }
            target.forward(next, 0..rows.len());
            for (i, of) in rows.clone().enumerate() {
                let transition = row(of).0;
                let alive = if transition.terminated { T::ZERO } else { T::ONE };
                targets[i] =
                    T::from_f32(transition.reward) + discount * alive * next.output.row(i)[0];
            }
        });
        self.regress(workspace)
    }

    /// One update towards targets that are given: state `[observation_dim]`, target and weight by row of the minibatch.
    pub fn update_towards<'a>(
        &mut self,
        workspace: &mut ValueWorkspace<T>,
        row: impl Fn(usize) -> (&'a [f32], T, T) + Sync,
    ) -> ValueReport {
        workspace.parts.par_iter_mut().for_each(|part| {
            for (i, of) in part.rows.clone().enumerate() {
                let (state, target, weight) = row(of);
                fill(part.present.input.row_mut(i), state);
                (part.targets[i], part.weights[i]) = (target, weight);
            }
        });
        self.regress(workspace)
    }

    /// One Adam step of V down mean ½·w·(V(s) − y)², and of V̄ towards V.
    fn regress(&mut self, workspace: &mut ValueWorkspace<T>) -> ValueReport {
        let Self { network, target, adam, gradient_clip, target_rate } = self;
        let ValueWorkspace { parts, gradient, batch } = workspace;
        let share = T::from_f64(1.0 / *batch as f64);
        let reverse = &*network;
        parts.par_iter_mut().for_each(|part| {
            let ValuePart { rows, present, weights, targets, .. } = part;
            reverse.forward(present, 0..rows.len());
            for (i, (&weight, &target)) in weights.iter().zip(&*targets).enumerate() {
                present.output_adjoint.row_mut(i)[0] =
                    share * weight * (present.output.row(i)[0] - target);
            }
            reverse.backward(present, 0..rows.len(), None, false);
        });
        network.gradient(parts.iter().map(|part| &part.present), gradient);
        network.update(|parameters, _| adam.update_clipped(parameters, gradient, *gradient_clip));
        let rate = T::from_f64(*target_rate);
        target.update_forward_only(|target| vector::blend(target, network.parameters(), rate));
        let (mut loss, mut sum) = (0.0, 0.0);
        for ValuePart { present, weights, targets, .. } in parts.iter() {
            for (i, (&weight, &target)) in weights.iter().zip(targets).enumerate() {
                let value = present.output.row(i)[0];
                let error = (value - target).to_f64();
                loss += 0.5 * weight.to_f64() * error * error;
                sum += value.to_f64();
            }
        }
        let (rows, finite_gradient) = (*batch as f64, vector::all_finite(gradient));
        ValueReport { loss: loss / rows, value: sum / rows, finite_gradient }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::critic::CriticConfig;
    use crate::data::Replay;
    use crate::rng::Rng;

    const ROWS: usize = 40;
    const DISCOUNT: f64 = 0.9;

    fn weight(row: usize) -> f64 {
        (row % 4) as f64
    }

    /// mean ½·w·(V(s) − y)² with y held, by its definition.
    fn loss(value: &ValueNetwork<f64>, bootstrap: &ValueNetwork<f64>, replay: &Replay) -> f64 {
        let of = |network: &crate::nn::Mlp<f64>, state: &[f32]| {
            let mut tape = Tape::new(network.shape(), 1, Keep::Nothing);
            fill(tape.input.row_mut(0), state);
            network.forward(&mut tape, 0..1);
            tape.output.row(0)[0]
        };
        let row = |i: usize| {
            let t = replay.get(i);
            let alive = if t.terminated { 0.0 } else { 1.0 };
            let next = of(&bootstrap.target, t.next_observation);
            let y = f64::from(t.reward) + DISCOUNT * alive * next;
            0.5 * weight(i) * (of(&value.network, t.observation) - y).powi(2)
        };
        (0..ROWS).map(row).sum::<f64>() / ROWS as f64
    }

    #[test]
    fn the_gradient_equals_central_differences() {
        let rng = &mut Rng::new(0, "value");
        let (learning_rate, gradient_clip) = (1e-3, f64::INFINITY);
        let config = CriticConfig { hidden: 16, learning_rate, gradient_clip, target_rate: 0.25 };
        let mut value = ValueNetwork::<f64>::new(3, &config, rng);
        value.target.update_forward_only(|p| p.iter_mut().for_each(|p| *p *= 1.5));
        let mut replay = Replay::new(3, 1, ROWS);
        for i in 0..ROWS {
            let mut x = [0.0_f32; 7];
            rng.fill_normal(&mut x);
            replay.push(Transition {
                observation: &x[..3],
                action: &[0.0],
                reward: x[3],
                next_observation: &x[4..],
                terminated: i % 5 == 0,
            });
        }
        let before = value.clone();
        let mut workspace = ValueWorkspace::new(&value, ROWS);
        let report =
            value.update_one_step(&mut workspace, DISCOUNT, |row| (replay.get(row), weight(row)));
        let expected = loss(&before, &before, &replay);
        assert!((report.loss - expected).abs() < 1e-12 * expected, "{} {expected}", report.loss);
        report.check(f64::INFINITY).unwrap();
        let mut largest = 0.0_f64;
        for (k, &g) in workspace.gradient().iter().enumerate() {
            if before.network.parameters()[k] == 0.0 && g == 0.0 {
                continue;
            }
            let at = |h: f64| {
                let mut moved = before.clone();
                moved.network.update(|p, _| p[k] += h);
                loss(&moved, &before, &replay)
            };
            let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
            assert!((difference - g).abs() < 1e-6 * (1.0 + g.abs()), "{k}: {difference} {g}");
            largest = largest.max(g.abs());
        }
        assert!(largest > 0.05, "{largest}");
        // V̄ has gone a quarter of the way to the new V.
        let (moved, to) = (value.target.parameters(), value.network.parameters());
        for ((&new, &old), &v) in moved.iter().zip(before.target.parameters()).zip(to) {
            assert!((new - (0.75 * old + 0.25 * v)).abs() < 1e-12);
        }
    }
}
