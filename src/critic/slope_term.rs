//! A term of a critic's loss for its action gradient, on rows of its own: Σ_i mean 2·w·h(‖k − ∇_t Q_i‖) beside eq. 12's Σ_i mean (y − Q_i)².
//! Near 0, where 2·h(n) = n², both are squared errors: of the value, and w times of its slope.

use rayon::prelude::*;

use super::action_gradient::ActionGradient;
use super::networks::Critic;
use crate::nn::cpu::vector;
use crate::nn::{Matrix, Real};

/// Rows that a term is taken over: states `[rows, observation_dim]`, actions and k by t, `[rows, action_dim]`.
pub type SlopeRows<'a, T> = (&'a Matrix<T>, &'a [T], &'a [T]);

/// One network's passes over some rows.
#[derive(Debug)]
struct Passes<T> {
    of: ActionGradient<T>,
    gradient: Vec<T>,
    sum: f64,
}

/// Buffers, allocated once: of each network, over each block of rows.
#[derive(Debug)]
pub struct SlopeTerm<T> {
    networks: Vec<Vec<Passes<T>>>,
    batch: usize,
}

impl<T: Real> SlopeTerm<T> {
    /// Buffers for blocks of so many rows.
    pub fn new(critic: &Critic<T>, blocks: impl Iterator<Item = usize> + Clone) -> Self {
        let passes = |rows| Passes {
            of: ActionGradient::new(critic, rows),
            gradient: vec![T::ZERO; critic.shape().parameter_len()],
            sum: 0.0,
        };
        let all = || blocks.clone().map(passes).collect();
        Self { networks: critic.networks.iter().map(|_| all()).collect(), batch: blocks.sum() }
    }

    /// The term's gradient by each network's parameters, with weight w; `unit` says what t is: a = unit·t + constant. Returns
    /// ½ Σ_i mean h.
    pub fn differentiate<'a>(
        &mut self,
        critic: &Critic<T>,
        weight: f64,
        unit: &[T],
        block: impl Fn(usize) -> SlopeRows<'a, T> + Sync,
    ) -> f64 {
        let scale = T::from_f64(2.0 * weight / self.batch as f64);
        let networks = self.networks.par_iter_mut().zip(&critic.networks);
        networks.for_each(|(passes, q)| {
            passes.par_iter_mut().enumerate().for_each(|(b, Passes { of, gradient, sum })| {
                let (states, actions, slopes) = block(b);
                for (i, action) in actions.chunks_exact(unit.len()).enumerate() {
                    let (s, a) = of.tape.input.row_mut(i).split_at_mut(states.columns());
                    s.copy_from_slice(states.row(i));
                    a.copy_from_slice(action);
                }
                gradient.fill(T::ZERO);
                of.forward(&q.network, states.rows());
                *sum = of.add_slope_loss(&q.network, slopes, unit, scale, gradient);
            });
            let (sum, rest) = passes.split_at_mut(1);
            for passes in rest {
                vector::add_assign_shared(&mut sum[0].gradient, &passes.gradient);
            }
        });
        let sum: f64 = self.networks.iter().flatten().map(|passes| passes.sum).sum();
        sum / (2 * self.batch) as f64
    }

    /// The gradient of the last [`SlopeTerm::differentiate`] by network `q`'s parameters.
    pub fn gradient(&self, q: usize) -> &[T] {
        &self.networks[q][0].gradient
    }
}
