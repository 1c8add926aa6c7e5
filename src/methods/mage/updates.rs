//! MAGE's two updates (docs/algorithm.md, "MAGE"): the critic's, by explicit passes through critic, model and targets, and the
//! policy's, as TD3.

use rayon::prelude::*;

use super::agent::Agent;
use super::minibatch::{Block, MageMinibatch};
use crate::critic::{ActionGradient, LeastTape, huber, least};
use crate::nn::cpu::vector;
use crate::nn::{Mlp, Real};

/// How the two parts of the critic's loss are weighed.
#[derive(Clone, Copy, Debug)]
pub struct Weights {
    /// Of h(‖∇_t δ‖). 0 leaves it out.
    pub action_gradient: f64,
    /// Of h(δ).
    pub error: f64,
}

/// What a critic update saw, averaged over its minibatch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CriticLosses {
    /// ½ Σ_i mean h(δ_i).
    pub error: f64,
    /// ½ Σ_i mean h(‖∇_t δ_i‖); 0 where it is left out.
    pub action_gradient: f64,
    /// Mean of min_i Q_i(s, t).
    pub value: f64,
}

/// One network's passes over one block.
#[derive(Debug)]
struct Passes<T> {
    of: ActionGradient<T>,
    gradient: Vec<T>,
    errors: f64,
    slope_errors: f64,
}

/// Buffers of both updates, allocated once.
#[derive(Debug)]
pub struct Updates<T> {
    /// Of each network, over each block.
    critic: Vec<Vec<Passes<T>>>,
    /// For the policy: the critic over each block.
    values: Vec<LeastTape<T>>,
    policy_gradient: Vec<T>,
    /// 1 for each coordinate of t.
    unit: Vec<T>,
}

impl<T: Real> Passes<T> {
    /// Passes 8 to 11 over a block of a minibatch of `batch` rows.
    fn run(
        &mut self,
        network: &Mlp<T>,
        block: &Block<T>,
        unit: &[T],
        weights: Weights,
        batch: usize,
    ) {
        let Self { of, gradient, errors, slope_errors } = self;
        let (rows, a) = (block.targets.len(), unit.len());
        for (i, action) in block.actions.chunks_exact(a).enumerate() {
            let state = block.policy.input.row(i);
            let (to_state, to_action) = of.tape.input.row_mut(i).split_at_mut(state.len());
            to_state.copy_from_slice(state);
            to_action.copy_from_slice(action);
        }
        gradient.fill(T::ZERO);
        of.forward(network, rows);
        *errors = 0.0;
        for (i, &target) in block.targets.iter().enumerate() {
            *errors += huber((target - of.value(i)).to_f64());
        }
        *slope_errors = 0.0;
        if weights.action_gradient > 0.0 {
            let scale = T::from_f64(weights.action_gradient / (2 * batch) as f64);
            *slope_errors = of.add_slope_loss(network, &block.slopes, unit, scale, gradient);
        }
        let scale = T::from_f64(weights.error / (2 * batch) as f64);
        let seed = |i: usize, value: T| {
            let error = block.targets[i] - value;
            -(scale * error.max(-T::ONE).min(T::ONE))
        };
        of.add_value_loss(network, rows, seed, gradient);
    }
}

impl<T: Real> Updates<T> {
    /// Buffers for updates on minibatches of this size.
    pub fn new(agent: &Agent<T>, minibatch: &MageMinibatch<T>) -> Self {
        let critic = &agent.critic;
        let rows = || minibatch.blocks.iter().map(|block| block.targets.len());
        let passes = |rows| Passes {
            of: ActionGradient::new(critic, rows),
            gradient: vec![T::ZERO; critic.shape().parameter_len()],
            errors: 0.0,
            slope_errors: 0.0,
        };
        Self {
            critic: critic.networks.iter().map(|_| rows().map(passes).collect()).collect(),
            values: rows().map(|rows| LeastTape::new(critic, rows)).collect(),
            policy_gradient: vec![T::ZERO; agent.policy.network.parameters().len()],
            unit: vec![T::ONE; agent.policy.action_dim()],
        }
    }

    /// The gradient of L_C = ½ Σ_i mean{ w·h(‖∇_t δ_i‖) + v·h(δ_i) } by each network's parameters, on an imagined minibatch.
    pub fn differentiate_critic(
        &mut self,
        agent: &Agent<T>,
        minibatch: &MageMinibatch<T>,
        weights: Weights,
    ) -> CriticLosses {
        let (blocks, batch, unit) = (&minibatch.blocks, minibatch.batch(), &self.unit);
        let networks = self.critic.par_iter_mut().zip(&agent.critic.networks);
        networks.for_each(|(passes, q)| {
            passes.par_iter_mut().zip(blocks).for_each(|(passes, block)| {
                passes.run(&q.network, block, unit, weights, batch);
            });
            let (sum, rest) = passes.split_at_mut(1);
            for passes in rest {
                vector::add_assign_shared(&mut sum[0].gradient, &passes.gradient);
            }
        });
        let half_mean = |of: fn(&Passes<T>) -> f64| {
            self.critic.iter().flatten().map(of).sum::<f64>() / (2 * batch) as f64
        };
        let smallest = |(b, block): (usize, &Block<T>)| -> f64 {
            let value = |i| self.critic.iter().map(move |passes| passes[b].of.value(i));
            (0..block.targets.len()).map(|i| least(value(i)).1.to_f64()).sum()
        };
        CriticLosses {
            error: half_mean(|p| p.errors),
            action_gradient: half_mean(|p| p.slope_errors),
            value: blocks.iter().enumerate().map(smallest).sum::<f64>() / batch as f64,
        }
    }

    /// The gradient of the last [`Updates::differentiate_critic`], network by network.
    pub fn critic_gradients(&self) -> impl Iterator<Item = &[T]> {
        self.critic.iter().map(|passes| &passes[0].gradient[..])
    }

    /// [`Updates::critic_gradients`], for threads to share.
    pub fn critic_gradients_shared(&self) -> impl IndexedParallelIterator<Item = &[T]> {
        self.critic.par_iter().map(|passes| &passes[0].gradient[..])
    }

    /// The gradient of L_A = −mean min_i Q_i(s, π(s)) by the policy's parameters; returns L_A. The minibatch's actions must be those of
    /// the present policy.
    pub fn differentiate_policy(
        &mut self,
        agent: &Agent<T>,
        minibatch: &mut MageMinibatch<T>,
    ) -> f64 {
        let batch = minibatch.batch();
        let weight = T::from_f64(-1.0 / batch as f64);
        let Agent { policy, critic, .. } = agent;
        let blocks = minibatch.blocks.par_iter_mut().zip(&mut self.values);
        blocks.for_each(|(Block { policy: tape, actions, .. }, values)| {
            critic.least(values, &tape.input, actions);
            critic.least_slopes(values, |_| weight);
            let (rows, s) = (values.rows(), policy.observation_dim());
            for i in 0..rows {
                let (by_action, output) = (values.slopes(i).skip(s), tape.output.row(i));
                let adjoint = tape.output_adjoint.row_mut(i).iter_mut();
                for ((adjoint, by_action), z) in adjoint.zip(by_action).zip(output) {
                    *adjoint = by_action * z.tanh_with_slope().1;
                }
            }
            policy.network.backward(tape, 0..rows, None, false);
        });
        let tapes = minibatch.blocks.iter().map(|block| &block.policy);
        policy.network.gradient(tapes, &mut self.policy_gradient);
        let values =
            |tape: &LeastTape<T>| -> f64 { (0..tape.rows()).map(|i| tape.value(i).to_f64()).sum() };
        -self.values.iter().map(values).sum::<f64>() / batch as f64
    }

    /// The gradient of the last [`Updates::differentiate_policy`].
    pub fn policy_gradient(&self) -> &[T] {
        &self.policy_gradient
    }
}
