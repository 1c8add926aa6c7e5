//! A policy update's minibatch: shared out in blocks and parts, and the gradient that all of them sum.

use std::ops::Range;

use rayon::prelude::*;

use super::adjoint::PathPart;
use super::objective::{Objective, PolicyReport};
use crate::data::minibatch;
use crate::nn::Real;
use crate::nn::cpu::vector;
use crate::rng::Rng;

/// Some rows of a minibatch that sum a gradient of their own.
#[derive(Debug)]
struct Block<T> {
    parts: Vec<PathPart<T>>,
    gradient: Vec<T>,
}

/// Buffers of a policy update, allocated once.
#[derive(Debug)]
pub struct PolicyWorkspace<T> {
    blocks: Vec<Block<T>>,
    batch: usize,
}

impl<T: Real> Block<T> {
    /// The rows' share of the gradient: step by step from K down, and in each step all rows in order, whichever way it is summed.
    fn differentiate(&mut self, objective: &Objective<'_, T>, batch: usize) {
        let Self { parts, gradient } = self;
        if let [part] = &mut parts[..] {
            // In passing, while all that it needs is in the caches.
            gradient.fill(T::ZERO);
            part.forward(objective);
            part.backward(objective, batch, Some(gradient));
            return;
        }
        parts.par_iter_mut().for_each(|part| {
            part.forward(objective);
            part.backward(objective, batch, None);
        });
        let parts = &*parts;
        let step = |j: usize| parts.iter().map(move |part| &part.points[j].network);
        let steps = 0..parts[0].points.len();
        objective.policy.network.gradient(steps.rev().flat_map(step), gradient);
    }
}

impl<T: Real> PolicyWorkspace<T> {
    /// Buffers for minibatches of `batch` start states, shared out for the present number of threads.
    pub fn new(objective: &Objective<'_, T>, batch: usize) -> Self {
        let (threads, count) = (rayon::current_num_threads(), minibatch::blocks(batch).count());
        let wanted = match threads {
            _ if threads <= count => 1,
            _ if threads.is_multiple_of(count) => threads / count,
            // Each block in as many parts as there are threads, so that all threads have equal shares.
            _ => threads,
        };
        let block = |rows: Range<usize>| Block {
            parts: minibatch::parts(rows, wanted)
                .map(|rows| PathPart::new(objective, rows))
                .collect(),
            gradient: vec![T::ZERO; objective.policy.network.parameters().len()],
        };
        Self { blocks: minibatch::blocks(batch).map(block).collect(), batch }
    }

    /// The minibatch, in the order of its rows.
    pub fn parts(&self) -> impl Iterator<Item = &PathPart<T>> + Clone {
        self.blocks.iter().flat_map(|block| &block.parts)
    }

    /// [`PolicyWorkspace::parts`], to be written.
    pub fn parts_mut(&mut self) -> impl Iterator<Item = &mut PathPart<T>> {
        self.blocks.iter_mut().flat_map(|block| &mut block.parts)
    }

    /// Draws noise, elites, and the start states: that of row i is `start(i, rng)`, `[observation_dim]`.
    pub fn draw<'s>(
        &mut self,
        objective: &Objective<'_, T>,
        start: impl Fn(usize, &mut Rng) -> &'s [f32] + Sync,
        rng: &mut Rng,
    ) {
        self.parts_mut().for_each(|part| part.streams.renew(rng));
        let parts = self.blocks.par_iter_mut().flat_map(|block| &mut block.parts);
        parts.for_each(|part| {
            let first = part.first;
            part.draw(objective, |row, rng| start(first + row, rng));
        });
    }

    /// The gradient of the objective by the policy's parameters, on the present draws.
    pub fn differentiate(&mut self, objective: &Objective<'_, T>) -> PolicyReport {
        let (batch, horizon) = (self.batch, objective.horizon());
        self.blocks.par_iter_mut().for_each(|block| block.differentiate(objective, batch));
        let (sum, rest) = self.blocks.split_at_mut(1);
        for block in rest {
            vector::add_assign_shared(&mut sum[0].gradient, &block.gradient);
        }
        let mean = |of: fn(&PathPart<T>) -> &[f64]| -> f64 {
            self.parts().flat_map(of).sum::<f64>() / batch as f64
        };
        let alive = self.parts().flat_map(|p| &p.alive[horizon]).filter(|&&m| m != T::ZERO);
        let numbers = (horizon * objective.policy.observation_dim()).max(1) as f64;
        PolicyReport {
            loss: mean(|p| &p.losses),
            mean_abs_adjoint: mean(|p| &p.adjoint_sizes) / numbers,
            alive: alive.count() as f64 / batch as f64,
            broken: self.parts().map(|p| p.broken).sum(),
        }
    }

    /// Each row's Σ_j |λ_j| of the last [`PolicyWorkspace::differentiate`], over steps 1..=H and state dimensions.
    pub fn adjoint_sizes(&self) -> impl Iterator<Item = f64> + '_ {
        self.parts().flat_map(|part| part.adjoint_sizes.iter().copied())
    }

    /// The gradient of the last [`PolicyWorkspace::differentiate`].
    pub fn gradient(&self) -> &[T] {
        &self.blocks[0].gradient
    }
}
