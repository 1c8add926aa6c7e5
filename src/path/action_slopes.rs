//! The slope of an objective by the first action: k = −∇_t of a row's Σ_j γʲ·m_j·c_j, but for what the start state's own log π has to say.
//! With H = 1 and a critic's targets for its networks it is the slope of the critic's one-step target r + γ·m·(min Q̄ − α·log π)(s', a'),
//! taken through the model.

use rayon::prelude::*;

use super::adjoint::PathPart;
use super::objective::Objective;
use crate::data::minibatch;
use crate::nn::{Matrix, Real};
use crate::rng::Rng;

/// Buffers, allocated once. The blocks do not depend on the number of threads.
#[derive(Debug)]
pub struct ActionSlopes<T> {
    blocks: Vec<PathPart<T>>,
}

impl<T: Real> ActionSlopes<T> {
    /// Buffers for `batch` start states.
    pub fn new(objective: &Objective<'_, T>, batch: usize) -> Self {
        let block = |rows| PathPart::new(objective, rows);
        Self { blocks: minibatch::blocks(batch).map(block).collect() }
    }

    /// Draws noise, elites and the start states, that of row i being `start(i, rng)`; acts there, imagines, and takes the slopes. Returns
    /// how many living rows' next state the prediction model made non-finite.
    pub fn run<'s>(
        &mut self,
        objective: &Objective<'_, T>,
        start: impl Fn(usize, &mut Rng) -> &'s [f32] + Sync,
        rng: &mut Rng,
    ) -> u64 {
        self.blocks.iter_mut().for_each(|block| block.streams.renew(rng));
        self.blocks.par_iter_mut().for_each(|block| {
            let first = block.first;
            block.draw(objective, |row, rng| start(first + row, rng));
            block.forward(objective);
            block.action_slopes(objective);
        });
        self.blocks.iter().map(|block| block.broken).sum()
    }

    /// Draws and passes of each block.
    pub fn parts(&self) -> &[PathPart<T>] {
        &self.blocks
    }

    /// Rows of each block.
    pub fn sizes(&self) -> impl Iterator<Item = usize> + Clone + '_ {
        self.blocks.iter().map(|block| block.rows)
    }

    /// Start states `[rows, observation_dim]` of block `b`, the actions there and k, `[rows, action_dim]`.
    pub fn block(&self, b: usize) -> (&Matrix<T>, &[T], &[T]) {
        let block = &self.blocks[b];
        (&block.points[0].network.input, &block.points[0].actions, block.action_adjoint())
    }
}
