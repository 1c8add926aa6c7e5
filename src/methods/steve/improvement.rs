//! The losses of critic and policy on a minibatch of real transitions, and their gradients.

use std::ops::Range;

use rayon::prelude::*;

use super::minibatch::{SteveMinibatch, join};
use crate::critic::Critic;
use crate::data::minibatch::parts;
use crate::model::{Credits, EnsembleReport};
use crate::nn::cpu::vector::all_finite;
use crate::nn::{Keep, Real, Tape};
use crate::policy::Policy;
use crate::rng::Rng;

/// Draws and buffers of a critic update, allocated once.
#[derive(Debug)]
pub struct CriticPass<T> {
    /// Which network each row is credited to.
    members: Vec<u32>,
    credits: Credits<T>,
}

impl<T: Real> CriticPass<T> {
    /// Buffers for minibatches of `rows` rows.
    pub fn new(critic: &Critic<T>, rows: usize) -> Self {
        let credits = Credits::new(critic.shape(), critic.networks.len(), rows);
        Self { members: vec![0; rows], credits }
    }

    /// Draws the network that each row is credited to.
    pub fn credit(&mut self, networks: usize, rng: &mut Rng) {
        self.members.iter_mut().for_each(|member| *member = rng.below(networks) as u32);
    }

    /// Gradients of (1/B)·Σ_b ½(Q_{k(b)}(s₀, t₀) − y)², whose value the report has.
    pub fn differentiate(
        &mut self,
        critic: &Critic<T>,
        batch: &SteveMinibatch<T>,
        targets: &[f64],
    ) -> EnsembleReport {
        let Self { members, credits } = self;
        credits.arrange(members);
        let (passes, order) = credits.passes();
        let share = 1.0 / batch.rows() as f64;
        passes.par_iter_mut().zip(&critic.networks).for_each(|(pass, q)| {
            let load = |i: usize, input: &mut [T]| join(input, &[batch.state(i), batch.action(i)]);
            pass.differentiate(&q.network, order, load, |i, output, adjoint| {
                let error = output[0].to_f64() - targets[i];
                adjoint[0] = T::from_f64(share * error);
                0.5 * error * error
            });
        });
        credits.report(batch.rows())
    }

    /// One Adam step of every network down the gradients of [`CriticPass::differentiate`]; the targets follow.
    pub fn update(&mut self, critic: &mut Critic<T>) {
        critic.update_by(self.credits.passes().0.par_iter().map(|pass| &pass.gradient[..]));
    }

    /// The gradient of each network.
    pub fn gradients(&mut self) -> impl Iterator<Item = &[T]> {
        self.credits.passes().0.iter().map(|pass| &pass.gradient[..])
    }
}

/// What a policy update saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PolicyPassReport {
    /// −mean ¼ΣQ_k(s₀, tanh z) + c·mean z².
    pub loss: f64,
    /// Mean of ¼ΣQ_k(s₀, tanh z).
    pub value: f64,
    /// Whether every entry of the gradient was finite.
    pub finite_gradient: bool,
}

/// Buffers of a policy update, allocated once.
#[derive(Debug)]
pub struct PolicyPass<T> {
    parts: Vec<Part<T>>,
    /// Derivative of the loss by the policy's parameters.
    pub gradient: Vec<T>,
}

/// Some rows of the minibatch.
#[derive(Debug)]
struct Part<T> {
    rows: Range<usize>,
    policy: Tape<T>,
    critic: Tape<T>,
    /// Derivative of the loss by t = tanh z, `[rows, action_dim]`.
    action_adjoints: Vec<T>,
    /// Each row's mean of the critic's values, and Σ z².
    results: Vec<(f64, f64)>,
}

impl<T: Real> PolicyPass<T> {
    /// Buffers for minibatches of `rows` rows, shared out for the present number of threads.
    pub fn new(policy: &Policy<T>, critic: &Critic<T>, rows: usize) -> Self {
        let part = |rows: Range<usize>| Part {
            policy: Tape::new(policy.network.shape(), rows.len(), Keep::Adjoints),
            critic: Tape::new(critic.shape(), rows.len(), Keep::Slopes),
            action_adjoints: vec![T::ZERO; rows.len() * policy.action_dim()],
            results: vec![(0.0, 0.0); rows.len()],
            rows,
        };
        Self {
            parts: parts(0..rows, rayon::current_num_threads()).map(part).collect(),
            gradient: vec![T::ZERO; policy.network.parameters().len()],
        }
    }

    /// The gradient of −(1/B)·Σ_b mean_k Q_k(s₀, tanh z) + `penalty`·mean_{b, dims} z² by the policy's parameters.
    pub fn differentiate(
        &mut self,
        policy: &Policy<T>,
        critic: &Critic<T>,
        batch: &SteveMinibatch<T>,
        penalty: f64,
    ) -> PolicyPassReport {
        let Self { parts, gradient } = self;
        parts.par_iter_mut().for_each(|part| part.run(policy, critic, batch, penalty));
        policy.network.gradient(parts.iter().map(|part| &part.policy), gradient);
        let (rows, numbers) = (batch.rows() as f64, (batch.rows() * batch.action_dim()) as f64);
        // Row by row, so that the sums do not depend on the parts.
        let results = parts.iter().flat_map(|part| &part.results);
        let sums = results.fold((0.0, 0.0), |sums, row| (sums.0 + row.0, sums.1 + row.1));
        let value = sums.0 / rows;
        PolicyPassReport {
            loss: penalty * sums.1 / numbers - value,
            value,
            finite_gradient: all_finite(gradient),
        }
    }
}

impl<T: Real> Part<T> {
    fn run(
        &mut self,
        policy: &Policy<T>,
        critic: &Critic<T>,
        batch: &SteveMinibatch<T>,
        penalty: f64,
    ) {
        let Self { rows, policy: tape, critic: values, action_adjoints, results } = self;
        let (n, a, k) = (rows.len(), policy.action_dim(), critic.networks.len());
        for i in 0..n {
            tape.input.row_mut(i).copy_from_slice(batch.state(rows.start + i));
        }
        policy.network.forward(tape, 0..n);
        for (i, result) in results.iter_mut().enumerate() {
            let z = tape.output.row(i);
            let (s, t) = values.input.row_mut(i).split_at_mut(batch.observation_dim());
            s.copy_from_slice(tape.input.row(i));
            t.iter_mut().zip(z).for_each(|(t, z)| *t = z.tanh());
            *result = (0.0, z.iter().map(|z| z.to_f64() * z.to_f64()).sum());
        }
        action_adjoints.fill(T::ZERO);
        let seed = T::from_f64(-1.0 / (k * batch.rows()) as f64);
        for q in &critic.networks {
            q.network.forward(values, 0..n);
            for (i, result) in results.iter_mut().enumerate() {
                result.0 += values.output.row(i)[0].to_f64() / k as f64;
                values.output_adjoint.row_mut(i)[0] = seed;
            }
            q.network.backward(values, 0..n, None, true);
            for (i, sums) in action_adjoints.chunks_exact_mut(a).enumerate() {
                let by_action = &values.input_adjoint.row(i)[batch.observation_dim()..];
                sums.iter_mut().zip(by_action).for_each(|(sum, &g)| *sum += g);
            }
        }
        let pull = T::from_f64(2.0 * penalty / (batch.rows() * a) as f64);
        for (i, by_action) in action_adjoints.chunks_exact(a).enumerate() {
            let z = tape.output.row(i);
            for (d, adjoint) in tape.output_adjoint.row_mut(i).iter_mut().enumerate() {
                *adjoint = by_action[d] * z[d].tanh_with_slope().1 + pull * z[d];
            }
        }
        policy.network.backward(tape, 0..n, None, false);
    }
}
