//! The gradient along recorded steps against central differences of what it is the gradient of, and against a closed form.

use super::recorded::{RecordedObjective, RecordedPart, Recording};
use super::recorded_workspace::RecordedWorkspace;
use crate::critic::{CriticConfig, ValueNetwork};
use crate::data::{Draws, Replay, Standardiser, Transition};
use crate::model::{DynamicsModel, ModelConfig, StepTape};
use crate::nn::{Activation, Keep, Matrix, Mlp, Shape, Tape};
use crate::policy::{Head, Policy, PolicyConfig, PolicyTape};
use crate::rng::Rng;

const DISCOUNT: f64 = 0.9;
const DIVERGENCE_WEIGHT: f64 = 0.2;
const CAP: f64 = 1.5;

fn model_config(hidden: usize, layers: usize) -> ModelConfig {
    ModelConfig {
        members: 3,
        elites: 2,
        hidden,
        layers,
        learning_rate: 1e-3,
        weight_decay: vec![0.0; layers + 1],
        min_log_variance: -10.0,
        max_log_variance: 0.5,
        train_bounds: false,
        holdout_fraction: 0.2,
        max_holdout: 100,
        bootstrap: false,
        patience_epochs: 1,
        improvement: 0.01,
        restore_best: false,
        termination: crate::model::TerminationSource::Given,
    }
}

/// Two dimensions of state and of action, small networks, and a recording of short episodes by an older policy.
struct Case {
    policy: Policy<f64>,
    old: Policy<f64>,
    model: DynamicsModel<f64>,
    value: ValueNetwork<f64>,
    real: Replay,
    draws: Draws,
}

impl Case {
    fn new() -> Self {
        let rng = &mut Rng::new(0, "recorded");
        let (hidden, learning_rate, gradient_clip) = (12, 1e-3, f64::INFINITY);
        let config =
            PolicyConfig { hidden, learning_rate, gradient_clip, normalised_density: false };
        let mut policy = || Policy::new(2, (&[-2.0, -0.5], &[2.0, 1.0]), &config, rng);
        let (policy, old) = (policy(), policy());
        let mut model = DynamicsModel::new(2, 2, &model_config(12, 2), rng);
        model.elites = vec![2, 0];
        model.standardiser =
            Standardiser { mean: vec![0.1, -0.2, 0.3, 0.0], deviation: vec![1.5, 0.7, 2.0, 0.4] };
        let config = CriticConfig { hidden, learning_rate, gradient_clip, target_rate: 0.1 };
        let value = ValueNetwork::new(2, &config, rng);
        let (mut real, mut draws) = (Replay::new(2, 2, 50), Draws::new(2, 50));
        for i in 0..60 {
            let mut x = [0.0_f32; 8];
            rng.fill_normal(&mut x);
            let (u, scale, bias) = ([0.7 * x[2], 0.7 * x[3]], [2.0, 0.75], [0.0, 0.25]);
            real.push(Transition {
                observation: &x[..2],
                action: &[0, 1].map(|d| scale[d] * u[d].tanh() + bias[d]),
                reward: x[4],
                next_observation: &x[5..7],
                terminated: i % 7 == 0,
            });
            if i % 5 == 0 {
                real.end_episode();
            }
            draws.push(&u, -2.0 - 0.5 * x[7] * x[7]);
        }
        Self { policy, old, model, value, real, draws }
    }

    fn workspace(&self, horizon: usize, batch: usize) -> RecordedWorkspace<f64> {
        let Self { policy, model, value, real, draws, .. } = self;
        // All rows in one part.
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let make = || RecordedWorkspace::new(policy, model, &value.network, horizon, batch);
        let mut workspace = alone.install(make);
        let recording = Recording { real, draws, window: 40 };
        workspace.draw(recording, (policy, model), CAP, &mut Rng::new(1, "recorded"));
        workspace
    }

    fn objective<'a>(&'a self, policy: &'a Policy<f64>) -> RecordedObjective<'a, f64> {
        RecordedObjective {
            policy,
            old: &self.old.network,
            model: &self.model,
            value: &self.value.network,
            discount: DISCOUNT,
            divergence_weight: DIVERGENCE_WEIGHT,
        }
    }
}

fn output(network: &Mlp<f64>, input: &[f64]) -> Vec<f64> {
    let mut tape = Tape::new(network.shape(), 1, Keep::Nothing);
    tape.input.row_mut(0).copy_from_slice(input);
    network.forward(&mut tape, 0..1);
    tape.output.row(0).to_vec()
}

/// The loss of row `i` by its definition: the actions and states are made again from the noise, one after the other.
fn row_loss(case: &Case, policy: &Policy<f64>, part: &RecordedPart<f64>, i: usize) -> f64 {
    let (a, s) = (2, 2);
    let mut state = part.points[0].network.input.row(i).to_vec();
    let (mut sum, mut factor) = (0.0, 1.0);
    for j in 0..part.lengths[i] {
        let out = output(&policy.network, &state);
        let action: Vec<f64> = (0..a)
            .map(|d| {
                let u = out[d] + out[a + d].exp() * part.points[j].noise[i * a + d];
                policy.scale[d] * u.tanh() + policy.bias[d]
            })
            .collect();
        let mut step = StepTape::new(&case.model, 1, Keep::Nothing);
        let mut states = Matrix::zeros(1, s);
        states.row_mut(0).copy_from_slice(&state);
        case.model.forward(&mut step, &part.elites[j][i..=i], &states, &action);
        let mut next = vec![0.0; s];
        let noise = &part.model_noise[j][i * (1 + s)..][..1 + s];
        sum += factor * case.model.sample(step.output(0), noise, &state, &mut next);
        factor *= DISCOUNT;
        state = next;
    }
    sum += factor * part.alive[i] * output(&case.value.network, &state)[0];
    let start = part.points[0].network.input.row(i);
    let [new, old] = [&policy.network, &case.old.network].map(|network| output(network, start));
    let divergence: f64 = (0..a)
        .map(|d| {
            let (sigma, before) = (f64::exp(new[a + d]), f64::exp(old[a + d]));
            let moved: f64 = new[d] - old[d];
            (moved.powi(2) + sigma.powi(2) - before.powi(2)) / (2.0 * before.powi(2))
                + (before / sigma).ln()
        })
        .sum();
    DIVERGENCE_WEIGHT * divergence - part.weights[i] * sum
}

#[test]
fn the_gradient_equals_central_differences_along_one_step_and_along_several() {
    let case = Case::new();
    for (horizon, batch) in [(1, 40), (4, 40)] {
        let mut workspace = case.workspace(horizon, batch);
        let report = workspace.differentiate(&case.objective(&case.policy));
        report.check(f64::INFINITY).unwrap();
        assert_eq!(workspace.parts().len(), 1);
        let loss = |policy: &Policy<f64>| {
            let row = |i| row_loss(&case, policy, &workspace.parts()[0], i);
            (0..batch).map(row).sum::<f64>() / batch as f64
        };
        let part = &workspace.parts()[0];
        let lengths: Vec<usize> = (1..=horizon).collect();
        assert!(lengths.iter().all(|l| part.lengths.contains(l)), "{:?}", part.lengths);
        assert!(part.alive.contains(&0.0) && part.alive.contains(&1.0));
        assert!(part.weights.iter().any(|&w| w < CAP) && part.weights.contains(&CAP));
        let expected = loss(&case.policy);
        assert!((report.loss - expected).abs() < 1e-10, "{} {expected}", report.loss);
        let mut largest = 0.0_f64;
        for (k, &g) in workspace.gradient().iter().enumerate() {
            if case.policy.network.parameters()[k] == 0.0 && g == 0.0 {
                continue;
            }
            let at = |h: f64| {
                let mut moved = case.policy.clone();
                moved.network.update(|p, _| p[k] += h);
                loss(&moved)
            };
            let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
            let close = (difference - g).abs() < 1e-6 * (1.0 + g.abs());
            assert!(close, "H = {horizon}, parameter {k}: {difference} {g}");
            largest = largest.max(g.abs());
        }
        assert!(largest > 0.05, "{largest}");
    }
}

#[test]
fn actions_rewards_and_states_are_made_again_from_the_noise() {
    let case = Case::new();
    let mut workspace = case.workspace(3, 40);
    workspace.differentiate(&case.objective(&case.policy));
    let part = &workspace.parts()[0];
    let mut step = StepTape::new(&case.model, 40, Keep::Nothing);
    for j in 0..3 {
        let states = &part.points[j].network.input;
        case.model.forward(&mut step, &part.elites[j], states, &part.actions[j]);
        for i in 0..40 {
            let start = part.starts[i];
            let steps = (j as u64).min(part.lengths[i] as u64 - 1);
            let t = case.real.get(case.real.row_of(start + steps));
            for d in 0..2 {
                let again = part.points[j].actions[i * 2 + d];
                assert!((again - f64::from(t.action[d])).abs() < 1e-6, "action {again}");
            }
            let (state, mut next) = (states.row(i), [0.0; 2]);
            let noise = &part.model_noise[j][i * 3..(i + 1) * 3];
            let reward = case.model.sample(step.output(i), noise, state, &mut next);
            assert!((reward - f64::from(t.reward)).abs() < 1e-12, "reward {reward}");
            for (d, next) in next.iter().enumerate() {
                let real = f64::from(t.next_observation[d]);
                assert!((next - real).abs() < 1e-12, "s' {next} {real}");
            }
        }
    }
}

/// A linear map with this row-major weight `[inputs, outputs]` and bias.
fn linear(inputs: usize, weight: &[f64], bias: &[f64]) -> Mlp<f64> {
    let shape = Shape::new(&[inputs, bias.len()], Activation::Silu);
    let mut network = Mlp::new(shape, |_| 0.0);
    network.update(|p, shape| shape.import(0, weight, bias, p));
    network
}

/// One dimension, linear-quadratic: a = 2·tanh(u) with u = k·s + σ·η, s' = A·s + b·a + ξ, r = −(q·s² + c·a²), V = −p·s². The
/// networks are the tangents of these at the recorded point, which is all that a gradient sees. By u's slope 2·(1 − tanh²u), the
/// row's gradient by k is −2s·(c·a + γ·p·b·s') and by σ −2η·(c·a + γ·p·b·s').
#[test]
fn the_linear_quadratic_row_has_its_closed_form() {
    let (k, log_sigma, decay, b, q, c, p) = (0.4, -0.7_f64, 0.8, 0.5, 1.2, 0.3, 2.0);
    for (discount, terminated) in [(0.9, false), (0.9, true), (0.0, false)] {
        for case in 0..4 {
            let rng = &mut Rng::new(case, "linear");
            // What is recorded is in 32 bits.
            let [s, u, xi] = [(); 3].map(|()| rng.normal() as f32);
            let a = 2.0 * u.tanh();
            let next = decay as f32 * s + b as f32 * a + 0.1 * xi;
            let reward = -(q as f32 * s * s + c as f32 * a * a);
            let [s, u, a, next] = [s, u, a, next].map(f64::from);
            let policy = Policy::from_network(
                linear(1, &[k, 0.0], &[0.0, log_sigma]),
                (&[-2.0], &[2.0]),
                Head::Gaussian,
                1e-3,
                f64::INFINITY,
            );
            let mut model = DynamicsModel::new(1, 1, &model_config(1, 0), rng);
            // (r, Δs) and their log-variances from (s, a): slopes alone; inferred noise makes up for the rest.
            let slopes = [-2.0 * q * s, decay - 1.0, 0.0, 0.0, -2.0 * c * a, b, 0.0, 0.0];
            for member in &mut model.members {
                member.network = linear(2, &slopes, &[0.0; 4]);
            }
            model.elites = vec![1];
            let value = linear(1, &[-2.0 * p * next], &[p * next * next]);
            let (mut real, mut draws) = (Replay::new(1, 1, 1), Draws::new(1, 1));
            real.push(Transition {
                observation: &[s as f32],
                action: &[a as f32],
                reward,
                next_observation: &[next as f32],
                terminated,
            });
            let eta = (u - k * s) / log_sigma.exp();
            let density = -0.5 * eta * eta - log_sigma - 0.5 * std::f64::consts::TAU.ln();
            draws.push(&[u as f32], density as f32);
            let mut workspace = RecordedWorkspace::new(&policy, &model, &value, 1, 1);
            let recording = Recording { real: &real, draws: &draws, window: 1 };
            workspace.draw(recording, (&policy, &model), 5.0, rng);
            let report = workspace.differentiate(&RecordedObjective {
                policy: &policy,
                old: &policy.network,
                model: &model,
                value: &value,
                discount,
                divergence_weight: 1e3,
            });
            assert_eq!(report.divergence, 0.0);
            let weight = workspace.first(0).1;
            assert!((weight - 1.0).abs() < 1e-5, "{weight}");
            let (by_weight, by_bias) = policy.network.shape().export(0, workspace.gradient());
            let after = if terminated { 0.0 } else { discount * p * b * next };
            let slope = 2.0 * (1.0 - u.tanh().powi(2));
            let by_u = -2.0 * (c * a + after) * slope;
            // The loss is minus the objective; log σ moves u by σ·η.
            let expected = [-by_u * s, -by_u * eta * log_sigma.exp()];
            for (got, expected) in [by_weight[0], by_bias[1]].iter().zip(expected) {
                let close = (got / weight - expected).abs() < 1e-5 * (1.0 + expected.abs());
                assert!(close, "γ = {discount}, d = {terminated}: {got} {expected}");
            }
        }
    }
}

#[test]
fn no_row_weighs_more_than_the_cap_and_noise_is_that_of_the_action() {
    let case = Case::new();
    let workspace = case.workspace(1, 40);
    let part = &workspace.parts()[0];
    let mut tape = PolicyTape::new(&case.policy, 40, Keep::Nothing);
    for i in 0..40 {
        tape.network.input.row_mut(i).copy_from_slice(part.points[0].network.input.row(i));
    }
    tape.noise.copy_from_slice(&part.points[0].noise);
    case.policy.sample(&mut tape, 40);
    for (again, recorded) in tape.actions.iter().zip(&part.actions[0]) {
        assert!((again - recorded).abs() < 1e-6, "{again} {recorded}");
    }
    let (mean, truncated) = workspace.weights(CAP);
    assert!(mean <= CAP && truncated > 0.0 && truncated < 1.0, "{mean} {truncated}");
    assert!(part.first_weights.iter().all(|&w| w <= CAP));
}
