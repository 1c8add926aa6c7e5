//! The minibatch of MAGE's updates: real states, what is drawn there, the action of π, and the target that one imagined step gives it,
//! with its slope by that action (docs/algorithm.md, "MAGE", passes 1 to 7).

use std::ops::Range;

use rayon::prelude::*;

use super::agent::Agent;
use crate::critic::LeastTape;
use crate::data::{Replay, minibatch};
use crate::env::Task;
use crate::model::{MemberTapes, StandardisedModel};
use crate::nn::{Keep, Matrix, Real, Tape};
use crate::rng::Rng;

/// How the target policy's action is perturbed: n = clamp(deviation·N(0, 1), ±clip), t' = clamp(π̄(s') + n, ±1).
#[derive(Clone, Copy, Debug)]
pub struct Smoothing {
    pub deviation: f64,
    pub clip: f64,
}

/// Some rows of a minibatch, which draw from a stream of their own. The blocks do not depend on the number of threads.
#[derive(Debug)]
pub struct Block<T> {
    rows: Range<usize>,
    rng: Rng,
    /// s, `[rows, observation_dim]`.
    pub states: Matrix<T>,
    /// Member of the model that imagines the step, `[rows]`.
    pub members: Vec<u32>,
    /// ε of Δs, `[rows, observation_dim]`.
    pub noise: Vec<T>,
    /// n, `[rows, action_dim]`.
    pub smoothing: Vec<T>,
    /// π at s̃.
    pub(super) policy: Tape<T>,
    /// t = π(s), `[rows, action_dim]`.
    pub actions: Vec<T>,
    /// t in environment units.
    raw_actions: Vec<T>,
    next: Vec<T>,
    wide: Vec<f64>,
    target_policy: Tape<T>,
    /// t', `[rows, action_dim]`.
    pub next_actions: Vec<T>,
    /// d t'/d z of π̄'s output z: 1 − tanh²z where the clamp passes it on, else 0.
    next_slopes: Vec<T>,
    next_values: LeastTape<T>,
    /// m = 1 − termination(s').
    pub alive: Vec<T>,
    /// The target r + γ·m·min Q̄(s', t').
    pub targets: Vec<T>,
    /// k, the target's derivative by t, `[rows, action_dim]`.
    pub slopes: Vec<T>,
    /// Imagined states that are not finite.
    broken: usize,
}

/// Buffers, allocated once.
#[derive(Debug)]
pub struct MageMinibatch<T> {
    /// The rows, in order.
    pub blocks: Vec<Block<T>>,
    model: MemberTapes<T>,
    batch: usize,
}

impl<T: Real> Block<T> {
    fn new(agent: &Agent<T>, rows: Range<usize>) -> Self {
        let Agent { policy, critic, .. } = agent;
        let (n, s, a) = (rows.len(), policy.observation_dim(), policy.action_dim());
        let (states, actions) = (vec![T::ZERO; n * s], vec![T::ZERO; n * a]);
        let numbers = vec![T::ZERO; n];
        Self {
            rows,
            rng: Rng::from_word(0),
            states: Matrix::zeros(n, s),
            members: vec![0; n],
            noise: states,
            smoothing: actions.clone(),
            policy: Tape::new(policy.network.shape(), n, Keep::Adjoints),
            actions: actions.clone(),
            raw_actions: actions.clone(),
            next: vec![T::ZERO; s],
            wide: vec![0.0; s],
            target_policy: Tape::new(policy.network.shape(), n, Keep::Slopes),
            next_actions: actions.clone(),
            next_slopes: actions.clone(),
            next_values: LeastTape::new(critic, n),
            alive: numbers.clone(),
            targets: numbers,
            slopes: actions,
            broken: 0,
        }
    }

    /// Rows, members and noise; then π at the states (pass 1).
    fn draw(&mut self, agent: &Agent<T>, members: usize, real: &Replay, smoothing: Smoothing) {
        let Self { rng, states, policy, .. } = self;
        for (i, member) in self.members.iter_mut().enumerate() {
            let state = real.get(rng.below(real.len())).observation;
            *member = rng.below(members) as u32;
            let row = states.row_mut(i);
            row.iter_mut().zip(state).for_each(|(x, &s)| *x = T::from_f32(s));
            agent.standardiser().apply(row.iter().copied(), policy.input.row_mut(i));
        }
        rng.fill_normal(&mut self.noise);
        rng.fill_normal(&mut self.smoothing);
        let (deviation, clip) = (T::from_f64(smoothing.deviation), T::from_f64(smoothing.clip));
        for n in &mut self.smoothing {
            *n = (deviation * *n).max(-clip).min(clip);
        }
        self.act(agent);
    }

    /// t = tanh π(s̃) (pass 1).
    fn act(&mut self, agent: &Agent<T>) {
        let Agent { policy, .. } = agent;
        let rows = self.members.len();
        policy.network.forward(&mut self.policy, 0..rows);
        let a = policy.action_dim();
        for i in 0..rows {
            for (d, &z) in self.policy.output.row(i).iter().enumerate() {
                let t = z.tanh();
                self.actions[i * a + d] = t;
                self.raw_actions[i * a + d] = policy.scale[d] * t + policy.bias[d];
            }
        }
    }

    fn row(&self, i: usize) -> (&[T], &[T]) {
        let a = self.actions.len() / self.members.len();
        (self.states.row(i), &self.raw_actions[i * a..(i + 1) * a])
    }

    /// s', r and m of the imagined step, the target policy and the targets' values (passes 2 to 4).
    fn evaluate(
        &mut self,
        agent: &Agent<T>,
        (model, tapes): (&StandardisedModel<T>, &MemberTapes<T>),
        task: &dyn Task,
        discount: f64,
    ) {
        let s = self.next.len();
        self.broken = 0;
        for i in 0..self.members.len() {
            let (output, noise) = (tapes.output(self.rows.start + i), &self.noise[i * s..][..s]);
            self.targets[i] = model.sample(output, noise, self.states.row(i), &mut self.next);
            self.broken += usize::from(!self.next.iter().all(|x| x.is_finite()));
            self.wide.iter_mut().zip(&self.next).for_each(|(w, n)| *w = n.to_f64());
            self.alive[i] = if task.terminated(&self.wide) { T::ZERO } else { T::ONE };
            let standard = self.target_policy.input.row_mut(i);
            agent.standardiser().apply(self.next.iter().copied(), standard);
        }
        let (rows, a) = (self.members.len(), self.actions.len() / self.members.len());
        agent.target_policy.forward(&mut self.target_policy, 0..rows);
        for i in 0..rows {
            for (d, &z) in self.target_policy.output.row(i).iter().enumerate() {
                let (at, (t, slope)) = (i * a + d, z.tanh_with_slope());
                let moved = t + self.smoothing[at];
                let inside = moved > -T::ONE && moved < T::ONE;
                self.next_actions[at] = moved.max(-T::ONE).min(T::ONE);
                self.next_slopes[at] = if inside { slope } else { T::ZERO };
            }
        }
        let values = &mut self.next_values;
        agent.critic.least_target(values, &self.target_policy.input, &self.next_actions);
        let discount = T::from_f64(discount);
        for (i, (target, &alive)) in self.targets.iter_mut().zip(&self.alive).enumerate() {
            *target += discount * alive * values.value(i);
        }
    }

    /// The target's derivative by s', through Q̄ and through π̄ (passes 5 and 6), left in `target_policy.input_adjoint` in raw units.
    fn back_to_next_state(&mut self, agent: &Agent<T>, discount: f64) {
        let Self { alive, next_values, target_policy, next_slopes, .. } = self;
        let discount = T::from_f64(discount);
        agent.critic.least_target_slopes(next_values, |i| discount * alive[i]);
        let (rows, s) = (alive.len(), self.next.len());
        let a = next_slopes.len() / rows;
        for i in 0..rows {
            let by_action = next_values.slopes(i).skip(s);
            let adjoint = target_policy.output_adjoint.row_mut(i);
            for ((z, p), &slope) in adjoint.iter_mut().zip(by_action).zip(&next_slopes[i * a..]) {
                *z = p * slope;
            }
        }
        agent.target_policy.backward(target_policy, 0..rows, None, true);
        for i in 0..rows {
            let deviations = &agent.standardiser().deviation;
            let through_policy = target_policy.input_adjoint.row_mut(i).iter_mut();
            for ((p, direct), &deviation) in
                through_policy.zip(next_values.slopes(i)).zip(deviations)
            {
                *p = (*p + direct) / deviation;
            }
        }
    }
}

impl<T: Real> MageMinibatch<T> {
    /// Buffers for `batch` rows.
    pub fn new(agent: &Agent<T>, model: &StandardisedModel<T>, batch: usize) -> Self {
        let blocks = minibatch::blocks(batch).map(|rows| Block::new(agent, rows)).collect();
        Self { blocks, model: MemberTapes::new(model, batch), batch }
    }

    /// Draws states of `real` uniformly with replacement, a member for each and all noise; then acts there (pass 1).
    pub fn draw(
        &mut self,
        agent: &Agent<T>,
        model: &StandardisedModel<T>,
        real: &Replay,
        smoothing: Smoothing,
        rng: &mut Rng,
    ) {
        self.blocks.iter_mut().for_each(|block| block.rng = Rng::from_word(rng.next_u64()));
        let members = model.members.len();
        self.blocks.par_iter_mut().for_each(|block| block.draw(agent, members, real, smoothing));
    }

    /// Takes the draws of another minibatch of the same size, in another float type; then acts there.
    pub fn copy_draws<U: Real>(&mut self, other: &MageMinibatch<U>, agent: &Agent<T>) {
        let convert = |x: &U| T::from_f64(x.to_f64());
        for (own, other) in self.blocks.iter_mut().zip(&other.blocks) {
            own.members.copy_from_slice(&other.members);
            for (own, other) in
                [(&mut own.noise, &other.noise), (&mut own.smoothing, &other.smoothing)]
            {
                own.iter_mut().zip(other).for_each(|(own, other)| *own = convert(other));
            }
            for i in 0..own.members.len() {
                let row = own.states.row_mut(i);
                row.iter_mut().zip(other.states.row(i)).for_each(|(x, other)| *x = convert(other));
                agent.standardiser().apply(row.iter().copied(), own.policy.input.row_mut(i));
            }
            own.act(agent);
        }
    }

    /// The targets of all rows (passes 2 to 4) and, where `with_slopes`, their derivatives by t (passes 5 to 7). Returns how many
    /// imagined states are not finite.
    pub fn imagine(
        &mut self,
        agent: &Agent<T>,
        model: &StandardisedModel<T>,
        task: &dyn Task,
        discount: f64,
        with_slopes: bool,
    ) -> usize {
        let Self { blocks, model: tapes, batch } = self;
        let size = blocks[0].members.len();
        for (of_block, block) in tapes.members.chunks_mut(size).zip(&*blocks) {
            of_block.copy_from_slice(&block.members);
        }
        {
            let blocks = &*blocks;
            model.forward(tapes, |i| blocks[i / size].row(i % size));
        }
        let both = (model, &*tapes);
        blocks.par_iter_mut().for_each(|block| {
            block.evaluate(agent, both, task, discount);
            if with_slopes {
                block.back_to_next_state(agent, discount);
            }
        });
        if with_slopes {
            for i in 0..*batch {
                let (block, row) = (&blocks[i / size], i % size);
                let s = block.next.len();
                let lambda = block.target_policy.input_adjoint.row(row).iter().copied();
                let (output, adjoint) = tapes.output_and_adjoint(i);
                model.sample_adjoint(output, &block.noise[row * s..][..s], lambda, adjoint);
            }
            model.backward_to_input(tapes);
            let scale = &agent.policy.scale;
            for i in 0..*batch {
                let (block, row) = (&mut blocks[i / size], i % size);
                let s = block.next.len();
                let by_action = tapes.input_adjoint(i)[s..].iter().zip(&model.input.deviation[s..]);
                let slopes = block.slopes[row * scale.len()..].iter_mut();
                for ((k, (&by_action, &deviation)), &scale) in slopes.zip(by_action).zip(scale) {
                    *k = scale * by_action / deviation;
                }
            }
        }
        blocks.iter().map(|block| block.broken).sum()
    }

    /// Rows.
    pub fn batch(&self) -> usize {
        self.batch
    }
}
