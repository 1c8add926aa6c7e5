//! MAGE: its passes against central differences and against TD3 written out; what must pass nothing; resets. Against autodiff:
//! `tests/mage_jax.rs`. What every method has to hold (threads, resume, NaN): `tests/training.rs`.

#[path = "support/mage_runs.rs"]
mod mage_runs;
#[path = "support/small_runs.rs"]
mod small_runs;

use std::sync::{Mutex, MutexGuard, OnceLock};

use ddppo::critic::least;
use ddppo::env::{Environment, EnvironmentError, Task};
use ddppo::methods::mage::{Agent, Mage, Minibatch, Updates, Weights};
use ddppo::nn::{Keep, Mlp, Real, Tape};
use ddppo::rng::Rng;
use ddppo::train::Trainer;
use mage_runs::{BATCH, DISCOUNT, parts, run};
use small_runs::{advance, small, trainer, with};

fn shared() -> MutexGuard<'static, Trainer> {
    static RUN: OnceLock<Mutex<Trainer>> = OnceLock::new();
    let shared = RUN.get_or_init(|| Mutex::new(run()));
    shared.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn mage(run: &Trainer) -> &Mage {
    run.method().downcast().unwrap()
}

const BOTH: Weights = Weights { action_gradient: 5.0, error: 1.0 };

/// All targets, or all slopes.
fn all(
    minibatch: &Minibatch<f64>,
    of: fn(&ddppo::methods::mage::Block<f64>) -> &[f64],
) -> Vec<f64> {
    minibatch.blocks.iter().flat_map(|block| of(block).to_vec()).collect()
}

#[test]
fn the_targets_slope_by_the_action_equals_central_differences() {
    let run = shared();
    let (agent, model, mut minibatch) = parts::<f64>(mage(&run));
    let task = run.task();
    assert_eq!(minibatch.imagine(&agent, &model, task, DISCOUNT, true), 0);
    let (slopes, actions) = (all(&minibatch, |b| &b.slopes), all(&minibatch, |b| &b.actions));
    let next_actions = all(&minibatch, |b| &b.next_actions);
    let clamped = next_actions.iter().filter(|t| t.abs() == 1.0).count();
    assert!(clamped > 0 && clamped < next_actions.len(), "{clamped} clamped");
    let alive = all(&minibatch, |b| &b.alive).iter().sum::<f64>();
    assert!(alive > 10.0 && (alive as usize) < BATCH, "{alive} alive");
    let a = agent.policy.action_dim();
    let mut other = Minibatch::new(&agent, &model, BATCH);
    for d in 0..a {
        // The bias of π's output d moves t_d of every row, and nothing else that the target reads.
        let mut at = |h: f64| {
            let mut moved = agent.clone();
            moved.policy.network.update(|p, shape| p[shape.layers[2].bias.start + d] += h);
            other.copy_draws(&minibatch, &moved);
            other.imagine(&moved, &model, task, DISCOUNT, false);
            all(&other, |b| &b.targets)
        };
        let (high, low) = (at(1e-6), at(-1e-6));
        for i in 0..BATCH {
            let difference = (high[i] - low[i]) / 2e-6;
            let expected = slopes[i * a + d] * (1.0 - actions[i * a + d].powi(2));
            let error = (difference - expected).abs();
            assert!(
                error < 1e-6 * (1.0 + expected.abs()),
                "row {i}, {d}: {difference}, {expected}"
            );
        }
    }
}

/// L_C, and its gradient network by network.
fn critic_loss(
    updates: &mut Updates<f64>,
    agent: &Agent<f64>,
    minibatch: &Minibatch<f64>,
) -> (f64, Vec<Vec<f64>>) {
    let losses = updates.differentiate_critic(agent, minibatch, BOTH);
    let loss = BOTH.action_gradient * losses.action_gradient + BOTH.error * losses.error;
    (loss, updates.critic_gradients().map(<[f64]>::to_vec).collect())
}

/// Along random directions of parameter space: a mistake in any layer would show in each.
#[test]
fn both_updates_gradients_equal_central_differences() {
    let run = shared();
    let (agent, model, mut minibatch) = parts::<f64>(mage(&run));
    minibatch.imagine(&agent, &model, run.task(), DISCOUNT, true);
    let mut updates = Updates::new(&agent, &minibatch);
    let (_, gradients) = critic_loss(&mut updates, &agent, &minibatch);
    let mut rng = Rng::new(0, "directions");
    let mut draw = |parameters: &[f64]| -> Vec<f64> {
        parameters.iter().map(|&p| if p == 0.0 { 0.0 } else { rng.normal() }).collect()
    };
    let along = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    let moved = |network: &mut Mlp<f64>, direction: &[f64], h: f64| {
        network.update(|p, _| p.iter_mut().zip(direction).for_each(|(p, d)| *p += h * d));
    };
    for (q, gradient) in gradients.iter().enumerate() {
        for _ in 0..4 {
            let direction = draw(agent.critic.networks[q].network.parameters());
            let mut at = |h: f64| {
                let mut other = agent.clone();
                moved(&mut other.critic.networks[q].network, &direction, h);
                critic_loss(&mut updates, &other, &minibatch).0
            };
            let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
            let product = along(gradient, &direction);
            let error = (difference - product).abs();
            assert!(error < 1e-6 * product.abs(), "critic {q}: {difference}, {product}");
        }
    }
    updates.differentiate_policy(&agent, &mut minibatch);
    let gradient = updates.policy_gradient().to_vec();
    let mut other = Minibatch::new(&agent, &model, BATCH);
    for _ in 0..4 {
        let direction = draw(agent.policy.network.parameters());
        let mut at = |h: f64| {
            let mut agent = agent.clone();
            moved(&mut agent.policy.network, &direction, h);
            other.copy_draws(&minibatch, &agent);
            updates.differentiate_policy(&agent, &mut other)
        };
        let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
        let product = along(&gradient, &direction);
        assert!((difference - product).abs() < 1e-6 * product.abs(), "{difference}, {product}");
    }
}

/// A task whose every imagined step ends.
struct Over<'a>(&'a dyn Task);

impl Task for Over<'_> {
    fn name(&self) -> &str {
        self.0.name()
    }
    fn observation_dim(&self) -> usize {
        self.0.observation_dim()
    }
    fn action_dim(&self) -> usize {
        self.0.action_dim()
    }
    fn action_low(&self) -> &[f64] {
        self.0.action_low()
    }
    fn action_high(&self) -> &[f64] {
        self.0.action_high()
    }
    fn time_limit(&self) -> usize {
        self.0.time_limit()
    }
    fn terminated(&self, _: &[f64]) -> bool {
        true
    }
    fn make(&self) -> Result<Box<dyn Environment>, EnvironmentError> {
        self.0.make()
    }
}

#[test]
fn where_the_step_ends_the_episode_the_rewards_slope_is_left() {
    let run = shared();
    let (agent, model, mut minibatch) = parts::<f64>(mage(&run));
    let task = run.task();
    minibatch.imagine(&agent, &model, task, DISCOUNT, true);
    let with_value = all(&minibatch, |b| &b.slopes);
    minibatch.imagine(&agent, &model, &Over(task), DISCOUNT, true);
    let ended = (all(&minibatch, |b| &b.slopes), all(&minibatch, |b| &b.targets));
    minibatch.imagine(&agent, &model, task, 0.0, true);
    let of_reward = (all(&minibatch, |b| &b.slopes), all(&minibatch, |b| &b.targets));
    assert!(ended == of_reward && ended.0.iter().all(|&k| k != 0.0));
    assert_ne!(ended.0, with_value);
}

/// With noise that takes every coordinate of t' to a bound, π̄ might as well be that constant.
#[test]
fn clamped_coordinates_pass_nothing_to_the_target_policy() {
    let run = shared();
    let (mut agent, model, mut minibatch) = parts::<f64>(mage(&run));
    minibatch.blocks.iter_mut().for_each(|block| block.smoothing.fill(2.5));
    minibatch.imagine(&agent, &model, run.task(), DISCOUNT, true);
    let clamped = (all(&minibatch, |b| &b.slopes), all(&minibatch, |b| &b.next_actions));
    assert!(clamped.1.iter().all(|&t| t == 1.0));
    agent.target_policy.update(|parameters, shape| {
        let last = shape.layers[2].clone();
        parameters[last.weight].fill(0.0);
        parameters[last.bias.start..][..3].fill(1e3);
    });
    minibatch.imagine(&agent, &model, run.task(), DISCOUNT, true);
    assert!(clamped == (all(&minibatch, |b| &b.slopes), all(&minibatch, |b| &b.next_actions)));
}

/// A network's output for one row.
fn output(network: &Mlp<f32>, input: impl Iterator<Item = f32>) -> Vec<f32> {
    let mut tape = Tape::new(network.shape(), 1, Keep::Nothing);
    tape.input.row_mut(0).iter_mut().zip(input).for_each(|(to, x)| *to = x);
    network.forward(&mut tape, 0..1);
    tape.output.row(0).to_vec()
}

/// Without the action gradient the method is TD3 on imagined transitions: written out here row by row, from the same draws.
#[test]
fn without_the_action_gradient_it_is_dyna_td3_bit_for_bit() {
    let run = shared();
    let (agent, model, mut minibatch) = parts::<f32>(mage(&run));
    let task = run.task();
    assert_eq!(minibatch.imagine(&agent, &model, task, DISCOUNT, false), 0);
    let mut updates = Updates::new(&agent, &minibatch);
    let weights = Weights { action_gradient: 0.0, error: 1.0 };
    let losses = updates.differentiate_critic(&agent, &minibatch, weights);
    assert_eq!(losses.action_gradient, 0.0);
    let standard = agent.standardiser();
    let standardised = |s: &[f32]| -> Vec<f32> {
        let scale = standard.mean.iter().zip(&standard.deviation);
        s.iter().zip(scale).map(|(x, (mean, deviation))| (x - mean) / deviation).collect()
    };
    let shape = agent.critic.shape();
    let mut gradients = vec![vec![0.0_f32; shape.parameter_len()]; 2];
    for block in &minibatch.blocks {
        let rows = block.members.len();
        let mut inputs = Vec::new();
        let mut targets = Vec::new();
        for i in 0..rows {
            let s = block.states.row(i);
            let x = standardised(s);
            let t: Vec<f32> = output(&agent.policy.network, x.iter().copied())
                .into_iter()
                .map(Real::tanh)
                .collect();
            let a = t.iter().zip(agent.policy.scale.iter().zip(&agent.policy.bias));
            let a: Vec<f32> = a.map(|(t, (scale, bias))| scale * t + bias).collect();
            let member = &model.members[block.members[i] as usize].network;
            let both = s.iter().chain(&a).zip(model.input.mean.iter().zip(&model.input.deviation));
            let step = output(member, both.map(|(x, (mean, deviation))| (x - mean) / deviation));
            let (mean, raw) = step.split_at(s.len() + 1);
            let label = &model.label;
            let reward = label.mean[0] + label.deviation[0] * mean[0];
            let noise = &block.noise[i * s.len()..];
            let next: Vec<f32> = (0..s.len())
                .map(|d| {
                    let z = mean[1 + d] + model.head.deviation(raw[1 + d]) * noise[d];
                    s[d] + (label.mean[1 + d] + label.deviation[1 + d] * z)
                })
                .collect();
            let ended = task.terminated(&next.iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
            let next = standardised(&next);
            let noise = &block.smoothing[i * t.len()..];
            let next_t: Vec<f32> = output(&agent.target_policy, next.iter().copied())
                .into_iter()
                .zip(noise)
                .map(|(z, n)| (Real::tanh(z) + n).clamp(-1.0, 1.0))
                .collect();
            let value = agent
                .critic
                .networks
                .iter()
                .map(|q| output(&q.target, next.iter().chain(&next_t).copied())[0]);
            let alive = if ended { 0.0 } else { 1.0 };
            targets.push(reward + 0.99_f32 * alive * least(value).1);
            inputs.push([x, t].concat());
        }
        assert_eq!(block.targets, targets);
        for (q, sum) in agent.critic.networks.iter().zip(&mut gradients) {
            let mut tape = Tape::new(shape, rows, Keep::Values);
            (0..rows).for_each(|i| tape.input.row_mut(i).copy_from_slice(&inputs[i]));
            q.network.forward(&mut tape, 0..rows);
            for (i, target) in targets.iter().enumerate() {
                let error = target - tape.output.row(i)[0];
                let share = (1.0 / (2 * BATCH) as f64) as f32;
                tape.output_adjoint.row_mut(i)[0] = -(share * error.clamp(-1.0, 1.0));
            }
            let mut gradient = vec![0.0; sum.len()];
            q.network.backward(&mut tape, 0..rows, Some(&mut gradient), false);
            sum.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
        }
    }
    for (found, expected) in updates.critic_gradients().zip(&gradients) {
        assert!(found == expected);
    }
    // And with it, it is not.
    minibatch.imagine(&agent, &model, task, DISCOUNT, true);
    updates.differentiate_critic(&agent, &minibatch, BOTH);
    assert!(updates.critic_gradients().zip(&gradients).all(|(found, other)| found != other));
}

/// A limit that every update exceeds: the agent is drawn anew each time, the run goes on, and continues to the bit.
#[test]
fn a_lost_agent_is_drawn_anew_and_each_reset_is_counted() {
    for limit in ["critic.reset_loss=1e-9", "policy.reset_loss=1e-9"] {
        let config = with(&small("mage", "InvertedPendulum"), &[limit]);
        let mut whole = trainer(&config);
        let records = advance(&mut whole, 160);
        let told = records.iter().rfind(|record| record.kind == "train").unwrap();
        let updates = told.get("critic_updates").unwrap();
        assert_eq!(told.get("agent_resets"), Some(updates), "{limit}");
        assert!(updates > 0.0);
        let mut first = trainer(&config);
        let mut pieced = advance(&mut first, 131);
        let task = ddppo::env::task(config.task()).unwrap();
        let mut second = Trainer::restore(config.clone(), task, first.snapshot()).unwrap();
        pieced.extend(advance(&mut second, 160));
        assert_eq!(records, pieced, "{limit}");
        assert!(whole.snapshot() == second.snapshot(), "{limit}");
    }
    let sound = advance(&mut trainer(&small("mage", "InvertedPendulum")), 160);
    let resets = sound.iter().filter_map(|record| record.get("agent_resets"));
    assert_eq!(resets.sum::<f64>(), 0.0);
}
