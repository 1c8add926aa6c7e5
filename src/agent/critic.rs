//! The twin critic (eq. 12): two networks Q(s, a), their slowly moving targets, and one update of all of them together
//! with the temperature, which shares its minibatch (SPEC section 3).

use rayon::prelude::*;

use super::policy::{Policy, PolicyTape};
use super::temperature::Temperature;
use crate::config::{CriticConfig, TrainingConfig};
use crate::nn::{Activation, Adam, Keep, Mlp, Real, Shape, Tape, vector};
use crate::replay::Transition;
use crate::rng::Rng;

/// Rows of a minibatch that one piece of work takes; the pieces do not depend on the number of threads.
const ROWS_PER_PIECE: usize = 128;

/// One Q network, its target and its optimiser.
#[derive(Clone, Debug)]
pub struct QNetwork<T> {
    /// Q: input (s, a), output one value.
    pub network: Mlp<T>,
    /// Q̄, following Q at the Polyak rate.
    pub target: Mlp<T>,
    /// Moments of Q's parameters.
    pub adam: Adam<T>,
}

/// Both Q networks.
#[derive(Clone, Debug)]
pub struct TwinCritic<T> {
    /// Q₁ and Q₂.
    pub twins: [QNetwork<T>; 2],
    gradient_clip: f64,
    target_rate: f64,
    discount: f64,
}

/// What one update saw, averaged over its minibatch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CriticReport {
    /// MSE₁ + MSE₂.
    pub loss: f64,
    /// Mean of min(Q₁, Q₂)(s, a).
    pub value: f64,
    /// −mean log π(a|s) of fresh actions at the minibatch's states.
    pub entropy: f64,
    /// Whether every entry of the gradient was finite.
    pub finite_gradient: bool,
}

/// Buffers of one piece of a minibatch.
#[derive(Debug)]
struct Piece<T> {
    rows: usize,
    rng: Rng,
    policy: PolicyTape<T>,
    targets: Tape<T>,
    values: [Tape<T>; 2],
    rewards: Vec<T>,
    alive: Vec<T>,
    /// log π(a'|s') while the target is made.
    next_log_probs: Vec<T>,
    /// The target y of eq. 12.
    goal: Vec<T>,
    gradients: [Vec<T>; 2],
    loss: f64,
    value: f64,
    log_prob: f64,
}

/// Buffers of a critic update, allocated once.
#[derive(Debug)]
pub struct CriticWorkspace<T> {
    pieces: Vec<Piece<T>>,
    batch: usize,
}

impl<T: Real> TwinCritic<T> {
    /// Two Xavier-uniform networks; the targets start as copies.
    pub fn new(
        observation_dim: usize,
        action_dim: usize,
        config: &CriticConfig,
        training: &TrainingConfig,
        rng: &mut Rng,
    ) -> Self {
        let sizes = [observation_dim + action_dim, config.hidden, config.hidden, 1];
        let shape = Shape::new(&sizes, Activation::Relu);
        let twins = [0, 1].map(|_| {
            let network = Mlp::xavier(shape.clone(), rng);
            let adam = Adam::new(shape.parameter_len(), config.learning_rate);
            QNetwork { target: network.clone(), network, adam }
        });
        Self {
            twins,
            gradient_clip: config.gradient_clip,
            target_rate: config.target_rate,
            discount: training.discount,
        }
    }

    /// The same settings around other networks.
    pub fn with_twins<U>(&self, twins: [QNetwork<U>; 2]) -> TwinCritic<U> {
        let Self { twins: _, gradient_clip, target_rate, discount } = self;
        let (gradient_clip, target_rate, discount) = (*gradient_clip, *target_rate, *discount);
        TwinCritic { twins, gradient_clip, target_rate, discount }
    }

    /// Shape of both networks.
    pub fn shape(&self) -> &Shape {
        self.twins[0].network.shape()
    }

    /// One update on a minibatch whose row i is drawn by `draw(i, rng)`. Each piece of the minibatch draws from a stream of
    /// its own, grown from a word of `rng`.
    pub fn update<'a>(
        &mut self,
        workspace: &mut CriticWorkspace<T>,
        policy: &Policy<T>,
        temperature: &mut Temperature,
        rng: &mut Rng,
        draw: impl Fn(usize, &mut Rng) -> Transition<'a> + Sync,
    ) -> CriticReport {
        let batch = workspace.batch;
        for piece in &mut workspace.pieces {
            piece.rng = Rng::from_word(rng.next_u64());
        }
        let (critic, alpha) = (&*self, T::from_f64(temperature.alpha()));
        workspace.pieces.par_iter_mut().enumerate().for_each(|(p, piece)| {
            let first = p * ROWS_PER_PIECE;
            piece.load(policy.action_dim(), |row, rng| draw(first + row, rng));
            piece.run(critic, policy, alpha, batch);
        });
        let (first, rest) = workspace.pieces.split_at_mut(1);
        let sum = &mut first[0].gradients;
        let (clip, rate) = (self.gradient_clip, T::from_f64(self.target_rate));
        let descend = |(q, (twin, sum)): (usize, (&mut QNetwork<T>, &mut Vec<T>))| {
            for piece in rest.iter() {
                vector::add_assign(sum, &piece.gradients[q]);
            }
            twin.network.update(|parameters, _| twin.adam.update_clipped(parameters, sum, clip));
            twin.target.update_forward_only(|target| {
                vector::blend(target, twin.network.parameters(), rate)
            });
            vector::all_finite(sum)
        };
        let twins = self.twins.par_iter_mut().zip(sum.par_iter_mut()).enumerate();
        let finite_gradient = twins.map(descend).reduce(|| true, |one, other| one && other);
        let mean =
            |of: fn(&Piece<T>) -> f64| workspace.pieces.iter().map(of).sum::<f64>() / batch as f64;
        let mean_log_prob = mean(|p| p.log_prob);
        temperature.update(mean_log_prob);
        CriticReport {
            loss: mean(|p| p.loss),
            value: mean(|p| p.value),
            entropy: -mean_log_prob,
            finite_gradient,
        }
    }
}

impl CriticWorkspace<f32> {
    /// State of row `row` of the last minibatch, `[observation_dim]`.
    pub fn state(&self, row: usize) -> &[f32] {
        let piece = &self.pieces[row / ROWS_PER_PIECE];
        &piece.values[0].input.row(row % ROWS_PER_PIECE)[..piece.policy.network.input.columns()]
    }
}

impl<T: Real> CriticWorkspace<T> {
    /// Buffers for minibatches of `batch` rows.
    pub fn new(critic: &TwinCritic<T>, policy: &Policy<T>, batch: usize) -> Self {
        let shape = critic.shape();
        let pieces = (0..batch.div_ceil(ROWS_PER_PIECE))
            .map(|p| {
                let rows = ROWS_PER_PIECE.min(batch - p * ROWS_PER_PIECE);
                Piece {
                    rows,
                    rng: Rng::from_word(0),
                    policy: PolicyTape::new(policy, rows, Keep::Nothing),
                    targets: Tape::new(shape, rows, Keep::Nothing),
                    values: [0, 1].map(|_| Tape::new(shape, rows, Keep::Values)),
                    rewards: vec![T::ZERO; rows],
                    alive: vec![T::ZERO; rows],
                    next_log_probs: vec![T::ZERO; rows],
                    goal: vec![T::ZERO; rows],
                    gradients: [0, 1].map(|_| vec![T::ZERO; shape.parameter_len()]),
                    loss: 0.0,
                    value: 0.0,
                    log_prob: 0.0,
                }
            })
            .collect();
        Self { pieces, batch }
    }
}

fn fill<T: Real>(target: &mut [T], source: &[f32]) {
    for (t, &s) in target.iter_mut().zip(source) {
        *t = T::from_f32(s);
    }
}

impl<T: Real> Piece<T> {
    /// Draws this piece's transitions.
    fn load<'a>(&mut self, action_dim: usize, draw: impl Fn(usize, &mut Rng) -> Transition<'a>) {
        for i in 0..self.rows {
            let t = draw(i, &mut self.rng);
            fill(self.policy.network.input.row_mut(i), t.next_observation);
            let target = self.targets.input.row_mut(i);
            let observation_dim = target.len() - action_dim;
            fill(&mut target[..observation_dim], t.next_observation);
            for tape in &mut self.values {
                let (s, a) = tape.input.row_mut(i).split_at_mut(observation_dim);
                fill(s, t.observation);
                fill(a, t.action);
            }
            self.rewards[i] = T::from_f32(t.reward);
            self.alive[i] = if t.terminated { T::ZERO } else { T::ONE };
        }
    }

    fn run(&mut self, critic: &TwinCritic<T>, policy: &Policy<T>, alpha: T, batch: usize) {
        let rows = self.rows;
        let observation_dim = critic.shape().inputs() - policy.action_dim();
        self.make_goal(critic, policy, alpha);
        self.descend(critic, batch);
        // The temperature looks at fresh actions in the minibatch's states.
        for i in 0..rows {
            let states = &self.values[0].input.row(i)[..observation_dim];
            self.policy.network.input.row_mut(i).copy_from_slice(states);
        }
        self.rng.fill_normal(&mut self.policy.noise);
        policy.sample(&mut self.policy, rows);
        self.log_prob = self.policy.log_probs[..rows].iter().map(|l| l.to_f64()).sum();
    }

    /// y = r + γ·(1 − d)·(min Q̄(s', a') − α·log π(a'|s')).
    fn make_goal(&mut self, critic: &TwinCritic<T>, policy: &Policy<T>, alpha: T) {
        let (rows, a) = (self.rows, policy.action_dim());
        self.rng.fill_normal(&mut self.policy.noise);
        policy.sample(&mut self.policy, rows);
        self.next_log_probs.copy_from_slice(&self.policy.log_probs);
        for i in 0..rows {
            let row = self.targets.input.row_mut(i);
            let s = row.len() - a;
            row[s..].copy_from_slice(&self.policy.actions[i * a..(i + 1) * a]);
        }
        let discount = T::from_f64(critic.discount);
        for (q, twin) in critic.twins.iter().enumerate() {
            twin.target.forward(&mut self.targets, 0..rows);
            for i in 0..rows {
                let value = self.targets.output.row(i)[0];
                self.goal[i] = if q == 0 { value } else { self.goal[i].min(value) };
            }
        }
        for i in 0..rows {
            let soft = self.goal[i] - alpha * self.next_log_probs[i];
            self.goal[i] = self.rewards[i] + discount * self.alive[i] * soft;
        }
    }

    /// Gradients of MSE₁ + MSE₂ over this piece's share of the minibatch.
    fn descend(&mut self, critic: &TwinCritic<T>, batch: usize) {
        let rows = self.rows;
        let scale = T::from_f64(2.0 / batch as f64);
        (self.loss, self.value) = (0.0, 0.0);
        for ((twin, tape), gradient) in
            critic.twins.iter().zip(&mut self.values).zip(&mut self.gradients)
        {
            twin.network.forward(tape, 0..rows);
            for i in 0..rows {
                let error = tape.output.row(i)[0] - self.goal[i];
                self.loss += error.to_f64() * error.to_f64();
                tape.output_adjoint.row_mut(i)[0] = scale * error;
            }
            gradient.fill(T::ZERO);
            twin.network.backward(tape, 0..rows, Some(gradient), false);
        }
        let [first, second] = &self.values;
        self.value =
            (0..rows).map(|i| first.output.row(i)[0].min(second.output.row(i)[0]).to_f64()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Algorithm, Config};

    #[test]
    fn a_gradient_beyond_all_numbers_is_seen_though_its_loss_is_finite() {
        let Config { critic: settings, training, temperature, .. } =
            Config::preset(Algorithm::Ddppo, "PointMass").unwrap();
        let mut rng = Rng::new(0, "critic");
        let policy = Policy::<f32>::new(2, &[-1.0], &[1.0], 8, 3e-4, &mut rng);
        let mut critic = TwinCritic::<f32>::new(2, 1, &settings, &training, &mut rng);
        for twin in &mut critic.twins {
            // Hidden values of about 1e10 and an output of 0: the error is the goal, and times a hidden value it overflows.
            twin.network.update(|parameters, shape| {
                let [first, .., last] = &shape.layers[..] else { panic!("two hidden layers") };
                parameters[first.weight.clone()].iter_mut().for_each(|w| *w *= 1e10);
                parameters[last.weight.clone()].fill(0.0);
            });
        }
        for (reward, finite) in [(1.0, true), (1e30, false)] {
            let mut critic = critic.clone();
            let mut workspace = CriticWorkspace::new(&critic, &policy, 8);
            let mut temperature = Temperature::new(&temperature, 1);
            let draw = |_: usize, _: &mut Rng| Transition {
                observation: &[1.0, -0.5],
                action: &[0.5],
                reward,
                next_observation: &[0.5, 1.0],
                terminated: false,
            };
            let report = critic.update(&mut workspace, &policy, &mut temperature, &mut rng, draw);
            assert!(report.loss.is_finite(), "{report:?}");
            assert_eq!(report.finite_gradient, finite, "{report:?}");
        }
    }
}
