//! DDPPO+: its derivatives against central differences, equal bits at any number of threads and after a restart, no allocation in its updates.

#[path = "support/small_runs.rs"]
mod small_runs;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use ddppo::config::Config;
use ddppo::critic::Critic;
use ddppo::data::Standardiser;
use ddppo::env::Task;
use ddppo::methods::ddppo_plus::DdppoPlus;
use ddppo::model::NormalisedModel;
use ddppo::nn::{Activation, Keep, Mlp, Shape, Tape};
use ddppo::path::{DerivativeSource, ShortPath, ShortPathConfig, ShortPathWorkspace};
use ddppo::policy::{Head, Policy};
use ddppo::rng::Rng;
use ddppo::run::Tally;
use ddppo::train::Trainer;
use small_runs::{advance, in_pool, small, trainer, with};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches a thread's own cell, which has no
// destructor and whose making allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROWS: usize = 40;
const HORIZON: usize = 3;

/// Networks and models in f64, of 4 observations and 2 actions (PointMass).
struct Parts {
    policy: Policy<f64>,
    critic: Critic<f64>,
    model: NormalisedModel<f64>,
    task: std::sync::Arc<dyn Task>,
}

fn parts() -> Parts {
    let rng = &mut Rng::new(0, "parts");
    let task = ddppo::env::task("PointMass").unwrap();
    let (s, a) = (task.observation_dim(), task.action_dim());
    let network = |sizes: &[usize], rng: &mut Rng| {
        Mlp::<f64>::orthogonal(Shape::new(sizes, Activation::Silu), rng)
    };
    // Ranges that are not [−1, 1], so that a forgotten scale shows.
    let (low, high) = (vec![-0.5; a], vec![2.0; a]);
    let of_policy = network(&[s, 16, 16, 2 * a], rng);
    let mut policy = Policy::from_network(of_policy, (&low, &high), Head::Softplus, 1e-3, 1.0);
    policy.normalise_density();
    // Normalised layers' outputs are of the order of 1: values well inside their range are small ones.
    let one = |_| {
        let mut network = network(&[s + a, 16, 16, 1], rng).with_layer_norm(|_| 0.01);
        network.update(|p, shape| {
            p[shape.layers[2].weight.clone()].iter_mut().for_each(|w| *w *= 0.1)
        });
        network
    };
    let networks: Vec<_> = (0..3).map(one).collect();
    let critic = Critic::from_networks(
        networks.into_iter(),
        1e-3,
        1.0,
        ddppo::critic::TargetRule::Polyak(0.005),
    );
    let mut model = NormalisedModel::<f64>::new((s, a), 4, (16, 2), rng).with_layer_norm();
    let mut numbers = |n: usize, low: f64, high: f64| -> Vec<f64> {
        (0..n).map(|_| rng.uniform_in(low, high)).collect()
    };
    let mut standardiser = |n: usize, low: f64, high: f64| Standardiser {
        mean: numbers(n, -0.3, 0.3),
        deviation: numbers(n, low, high),
    };
    model.inputs = standardiser(s + a, 0.5, 2.0);
    model.labels = standardiser(1 + s, 0.2, 0.8);
    for member in &mut model.members {
        member.log_sigma.iter_mut().for_each(|l| *l = -1.0);
        member.network.update(|p, _| p.iter_mut().for_each(|p| *p *= 2.0));
    }
    model.trained = true;
    Parts { policy, critic, model, task }
}

impl Parts {
    fn path<'a>(
        &'a self,
        gradient: Option<&'a NormalisedModel<f64>>,
        k: usize,
    ) -> ShortPath<'a, f64> {
        let source = match gradient {
            Some(_) => DerivativeSource::Gradient,
            None => DerivativeSource::Prediction,
        };
        ShortPath {
            config: ShortPathConfig {
                horizon: HORIZON,
                gradient_source: source,
                derivative_members: k,
            },
            policy: &self.policy,
            critic: &self.critic,
            range: (3.0, 20.0),
            pair: (2, 0),
            prediction_model: &self.model,
            gradient_model: gradient,
            alpha: 0.3,
            discount: 0.9,
            task: &*self.task,
        }
    }
}

/// Imagines paths from fixed draws.
fn imagine(workspace: &mut ShortPathWorkspace<f64>, path: &ShortPath<'_, f64>) {
    let starts: Vec<[f32; 4]> = (0..ROWS)
        .map(|i| [0.3, -0.2, 0.1, 0.4].map(|x: f32| x * (1.0 + i as f32 / 20.0)))
        .collect();
    workspace.imagine(
        path,
        |row, _| &starts[row][..path.policy.observation_dim()],
        &mut Rng::from_word(5),
    );
}

fn workspace(path: &ShortPath<'_, f64>) -> ShortPathWorkspace<f64> {
    ShortPathWorkspace::new(path, ROWS)
}

/// Compares a gradient with central differences of `loss`, parameter by parameter.
fn compare(network: &Mlp<f64>, gradient: &[f64], mut loss: impl FnMut(Mlp<f64>) -> f64) {
    let mut seen = 0;
    for (k, &expected) in gradient.iter().enumerate() {
        let mut at = |h: f64| {
            let mut moved = network.clone();
            moved.update(|p, _| p[k] += h);
            loss(moved)
        };
        // Padding has no part in anything: the products never read it.
        if expected == 0.0 && network.parameters()[k] == 0.0 {
            continue;
        }
        let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
        assert!(
            (difference - expected).abs() < 1e-6 * (1.0 + difference.abs()),
            "parameter {k}: {expected} for {difference}"
        );
        seen += usize::from(expected.abs() > 1e-4);
    }
    assert!(seen > 200, "only {seen} parameters matter");
}

#[test]
fn the_policys_gradient_through_the_prediction_model_equals_central_differences() {
    let mut parts = parts();
    let gradient = {
        let path = parts.path(None, 1);
        let mut workspace = workspace(&path);
        imagine(&mut workspace, &path);
        workspace.differentiate(&path, true);
        let mut gradient = vec![0.0; path.policy.network.parameters().len()];
        workspace.policy_gradient(&path.policy.network, &mut gradient);
        gradient
    };
    let network = parts.policy.network.clone();
    compare(&network, &gradient, |moved| {
        parts.policy.network = moved;
        let path = parts.path(None, 1);
        let mut workspace = workspace(&path);
        imagine(&mut workspace, &path);
        workspace.differentiate(&path, true).policy_loss
    });
}

#[test]
fn the_critics_gradient_equals_central_differences_of_its_loss() {
    let mut parts = parts();
    let gradient = {
        let path = parts.path(None, 1);
        let mut workspace = workspace(&path);
        imagine(&mut workspace, &path);
        workspace.differentiate(&path, false);
        let mut gradient = vec![0.0; path.critic.shape().parameter_len()];
        workspace.critic_gradient(1, &path.critic.networks[1].network, &mut gradient);
        gradient
    };
    let network = parts.critic.networks[1].network.clone();
    compare(&network, &gradient, |moved| {
        parts.critic.networks[1].network = moved;
        let path = parts.path(None, 1);
        let mut workspace = workspace(&path);
        imagine(&mut workspace, &path);
        workspace.differentiate(&path, false).critic_loss
    });
}

/// Gradient of the policy with these derivatives.
fn gradient(path: &ShortPath<'_, f64>) -> Vec<f64> {
    let mut workspace = workspace(path);
    imagine(&mut workspace, path);
    workspace.differentiate(path, true);
    let mut gradient = vec![0.0; path.policy.network.parameters().len()];
    workspace.policy_gradient(&path.policy.network, &mut gradient);
    gradient
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    let square =
        |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
    (square(a, b) / square(a, &vec![0.0; a.len()])).sqrt()
}

#[test]
fn derivatives_come_from_the_gradient_model_and_are_the_mean_of_k_members() {
    let parts = parts();
    let all = parts.model.members.len();
    // The mean of all members is the same whichever member comes first.
    let mean = gradient(&parts.path(None, all));
    let same = gradient(&parts.path(Some(&parts.model), all));
    assert!(distance(&mean, &same) < 1e-12, "{}", distance(&mean, &same));
    let mut other = parts.model.clone();
    for member in &mut other.members {
        member.network.update(|p, _| p.iter_mut().for_each(|p| *p *= 0.5));
    }
    let moved = gradient(&parts.path(Some(&other), all));
    assert!(distance(&mean, &moved) > 0.01, "{}", distance(&mean, &moved));
    let one = gradient(&parts.path(None, 1));
    assert!(distance(&mean, &one) > 0.001, "{}", distance(&mean, &one));
}

#[test]
fn targets_are_the_expansion_clipped_to_the_range() {
    let parts = parts();
    let mut clipped_somewhere = false;
    for half_width in [20.0, 0.1] {
        let mut path = parts.path(None, 1);
        path.range.1 = half_width;
        let mut workspace = workspace(&path);
        imagine(&mut workspace, &path);
        let report = workspace.differentiate(&path, false);
        let (s, a) = (path.policy.observation_dim(), path.policy.action_dim());
        let mut tape = Tape::new(path.critic.shape(), 1, Keep::Nothing);
        for part in &workspace.parts {
            for i in 0..part.targets.len() {
                let mut y = 0.0;
                for j in 0..HORIZON {
                    // The reward again, from the member that was drawn.
                    let network = &parts.model.members[part.members[j][i] as usize].network;
                    let mut step = Tape::new(network.shape(), 1, Keep::Nothing);
                    let action = &part.points[j].actions[i * a..(i + 1) * a];
                    let input = step.input.row_mut(0);
                    input[..s].copy_from_slice(part.points[j].network.input.row(i));
                    for d in 0..a {
                        let (mean, deviation) =
                            (parts.model.inputs.mean[s + d], parts.model.inputs.deviation[s + d]);
                        input[s + d] = (action[d] - mean) / deviation;
                    }
                    network.forward(&mut step, 0..1);
                    let labels = &parts.model.labels;
                    let reward = labels.mean[0] + labels.deviation[0] * step.output.row(0)[0];
                    let entropy = if j == 0 { 0.0 } else { -0.3 * part.points[j].log_probs[i] };
                    y += 0.9_f64.powi(j as i32) * part.alive[j][i] * (reward + entropy);
                }
                let end = &part.points[HORIZON];
                let mut value = f64::INFINITY;
                for q in [2, 0] {
                    let input = tape.input.row_mut(0);
                    input[..s].copy_from_slice(end.network.input.row(i));
                    for d in 0..a {
                        // Actions between −0.5 and 2, scaled to [−1, 1].
                        input[s + d] = (end.actions[i * a + d] - 0.75) / 1.25;
                    }
                    path.critic.networks[q].target.forward(&mut tape, 0..1);
                    value = value.min(3.0 + half_width * tape.output.row(0)[0]);
                }
                y += 0.9_f64.powi(HORIZON as i32)
                    * part.alive[HORIZON][i]
                    * (value - 0.3 * end.log_probs[i]);
                let expected = y.clamp(3.0 - half_width, 3.0 + half_width);
                clipped_somewhere |= expected != y;
                let found = part.targets[i];
                assert!((found - expected).abs() < 1e-9, "row {i}: {found} for {expected}");
            }
        }
        assert_eq!(report.clipped > 0.0, half_width == 0.1, "{report:?}");
    }
    assert!(clipped_somewhere);
}

/// A small run.
fn config(task: &str, source: &str, k: usize) -> Config {
    let (source, k) =
        (format!("policy.gradient_source={source}"), format!("policy.derivative_members={k}"));
    let settings = ["training.critic_updates=10", "rollout.every_updates=15", &source, &k];
    with(&small("ddppo-plus", task), &settings)
}

#[test]
fn one_seed_gives_one_result_at_1_2_and_4_threads() {
    for (source, k) in [("prediction", 1), ("gradient", 2)] {
        let config = config("Hopper", source, k);
        let run = |threads| {
            in_pool(threads, || {
                let mut trainer = trainer(&config);
                (advance(&mut trainer, 200), trainer.snapshot())
            })
        };
        let alone = run(1);
        assert_eq!(alone.0.iter().filter(|record| record.kind == "model").count(), 3);
        for threads in [2, 4] {
            assert!(run(threads) == alone, "{source}: {threads} threads");
        }
    }
}

#[test]
fn a_restored_run_continues_to_the_bit() {
    for (source, k) in [("prediction", 2), ("gradient", 1)] {
        let config = config("PointMass", source, k);
        let mut whole = trainer(&config);
        let records = advance(&mut whole, 250);
        for stop in [40, 100, 101, 175] {
            let mut first = trainer(&config);
            let mut pieced = advance(&mut first, stop);
            let snapshot = first.snapshot();
            let task = ddppo::env::task("PointMass").unwrap();
            let mut second = Trainer::restore(config.clone(), task, snapshot).unwrap();
            pieced.extend(advance(&mut second, 250));
            assert_eq!(records, pieced, "{source} stopped at {stop}");
            assert!(whole.snapshot() == second.snapshot(), "{source} stopped at {stop}");
        }
    }
}

#[test]
fn updates_and_rollouts_allocate_nothing_after_the_first() {
    in_pool(1, || {
        let config = config("Hopper", "gradient", 2);
        let mut learner = DdppoPlus::new(&config, ddppo::env::task("Hopper").unwrap());
        let rng = &mut Rng::new(0, "allocations");
        for _ in 0..300 {
            let mut x = [0.0_f32; 15];
            rng.fill_normal(&mut x);
            let mut next = [0.0; 11];
            next.iter_mut().zip(&x).for_each(|(n, x)| *n = 0.9 * x);
            learner.real.push(ddppo::data::Transition {
                observation: &x[..11],
                action: &x[11..14],
                reward: x[14],
                next_observation: &next,
                terminated: false,
            });
        }
        let mut tally = Tally::default();
        let mut run = |numbers: std::ops::Range<u64>| {
            for number in numbers {
                if number % 15 == 0 {
                    learner.roll_out(&mut tally).unwrap();
                }
                learner.update((number % 3 > 0).then_some(number), &mut tally).unwrap();
            }
        };
        run(0..260);
        let before = ALLOCATIONS.with(Cell::get);
        run(260..520);
        assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
    });
}
