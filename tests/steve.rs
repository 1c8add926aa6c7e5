//! STEVE: its targets and gradients in double precision against loops and differences written out here, and whole small runs.

#[path = "support/counting.rs"]
mod counting;
#[path = "support/pole.rs"]
mod pole;
#[path = "support/small_runs.rs"]
mod small_runs;

use ddppo::config::Config;
use ddppo::critic::{Critic, TargetRule};
use ddppo::data::{Replay, Transition};
use ddppo::methods::steve::dynamics::{SteveDynamics, SteveDynamicsWorkspace, network};
use ddppo::methods::steve::expansion::{Expansion, Targets, mix, moments};
use ddppo::methods::steve::improvement::{CriticPass, PolicyPass};
use ddppo::methods::steve::minibatch::Minibatch;
use ddppo::methods::steve::{Steve, SteveConfig, WorldConfig};
use ddppo::methods::{self, Method};
use ddppo::model::{Credits, Ensemble};
use ddppo::nn::{Activation, Mlp};
use ddppo::policy::{Head, Policy};
use ddppo::rng::Rng;
use ddppo::run::Tally;
use ddppo::run::snapshot::Data;
use ddppo::train::Trainer;
use pole::Balance;
use small_runs::{advance, in_pool, small, trainer, with};

const SIZES: (usize, usize) = (2, 1);
const ROWS: usize = 40;
const GAMMA: f64 = 0.9;

/// All that an update of STEVE is made of, in double precision, with weights and biases large enough to be seen.
struct Parts {
    policy: Policy<f64>,
    critic: Critic<f64>,
    dynamics: SteveDynamics<f64>,
    batch: Minibatch<f64>,
    rng: Rng,
}

fn parts(termination: &str) -> Parts {
    let mut rng = Rng::new(1, "parts");
    let actor = drawn(network((2, 16, 2, 1), 1, &mut rng), &mut rng);
    let infinity = f64::INFINITY;
    // Actions of the task from −2 to 4: the networks read them scaled to ±1.
    let policy =
        Policy::from_network(actor, (&[-2.0], &[4.0]), Head::Deterministic, 1e-3, infinity);
    let networks: Vec<_> =
        (0..3).map(|_| drawn(network((3, 16, 2, 1), 3, &mut rng), &mut rng)).collect();
    let rule = TargetRule::Copy(500);
    let mut critic = Critic::from_networks(networks.into_iter(), 1e-3, infinity, rule);
    for q in &mut critic.networks {
        q.target = drawn(q.target.clone(), &mut rng);
    }
    let preset = methods::preset("steve", "PointMass").unwrap();
    let termination = format!("model.termination={termination}");
    let small = ["model.members=2", "model.hidden=16", "model.layers=3", "model.head_hidden=8"];
    let config = preset.with_settings(&[small[0], small[1], small[2], small[3], &termination]);
    let config: WorldConfig = config.unwrap().section("model").unwrap();
    let mut dynamics = SteveDynamics::new(SIZES, &config, &mut rng);
    let SteveDynamics { transition, reward, termination } = &mut dynamics;
    for ensemble in [Some(transition), Some(reward), termination.as_mut()].into_iter().flatten() {
        for member in &mut ensemble.members {
            member.network = drawn(member.network.clone(), &mut rng);
        }
    }
    let mut real = Replay::new(2, 1, 60);
    for i in 0..60 {
        let mut x = [0.0; 6];
        rng.fill_normal(&mut x);
        real.push(Transition {
            observation: &x[..2],
            action: &[x[2] + 1.0],
            reward: x[3],
            next_observation: &x[4..],
            terminated: i % 5 == 0,
        });
    }
    let mut batch = Minibatch::new(SIZES, ROWS);
    batch.draw(&real, &policy, &mut rng);
    Parts { policy, critic, dynamics, batch, rng }
}

/// A network of the same shape whose weights and biases do not vanish.
fn drawn(mut network: Mlp<f64>, rng: &mut Rng) -> Mlp<f64> {
    network.update(|parameters, shape| {
        for (l, layer) in shape.layers.iter().enumerate() {
            let scale = 1.2 / (layer.inputs as f64).sqrt();
            let mut weight = vec![0.0; layer.inputs * layer.outputs];
            let mut bias = vec![0.0; layer.outputs];
            rng.fill_normal(&mut weight);
            rng.fill_normal(&mut bias);
            weight.iter_mut().for_each(|w| *w *= scale);
            bias.iter_mut().for_each(|b| *b *= 0.3);
            shape.import(l, &weight, &bias, parameters);
        }
    });
    network
}

/// A network's output for one input, by sums.
fn output(network: &Mlp<f64>, input: &[&[f64]]) -> Vec<f64> {
    let shape = network.shape();
    assert_eq!(shape.activation, Activation::Relu);
    let mut x = input.concat();
    for (l, layer) in shape.layers.iter().enumerate() {
        let (weight, bias) = shape.export(l, network.parameters());
        let sum = |o: usize| -> f64 {
            bias[o]
                + x.iter().enumerate().map(|(i, x)| x * weight[i * layer.outputs + o]).sum::<f64>()
        };
        let last = l + 1 == shape.layers.len();
        x = (0..layer.outputs).map(|o| if last { sum(o) } else { sum(o).max(0.0) }).collect();
    }
    x
}

/// π.
fn act(policy: &Policy<f64>, state: &[f64]) -> Vec<f64> {
    output(&policy.network, &[state]).iter().map(|z| z.tanh()).collect()
}

/// T_i of one row for one transition, reward and Q network, as the specification writes it.
fn imagined_return(
    expansion: &Expansion<'_, f64>,
    batch: &Minibatch<f64>,
    (row, i): (usize, usize),
    (e, m, k): (usize, usize, usize),
) -> f64 {
    let Expansion { policy, critic, dynamics, task, .. } = expansion;
    let mut state = batch.next_state(row).to_vec();
    let mut alive = if batch.terminated[row] { 0.0 } else { 1.0 };
    let mut sum = batch.rewards[row];
    for j in 1..=i {
        let t = act(policy, &state);
        let change = output(&dynamics.transition.members[e].network, &[&state, &t]);
        let next: Vec<f64> = state.iter().zip(change).map(|(s, c)| s + c).collect();
        let head = [&next[..], &state, &t];
        sum += GAMMA.powi(j as i32) * alive * output(&dynamics.reward.members[m].network, &head)[0];
        alive *= match &dynamics.termination {
            Some(g) => 1.0 - 1.0 / (1.0 + (-output(&g.members[e].network, &head)[0]).exp()),
            None => f64::from(u8::from(!task.terminated(&next))),
        };
        state = next;
    }
    let t = act(policy, &state);
    sum + GAMMA.powi(i as i32 + 1) * alive * output(&critic.networks[k].target, &[&state, &t])[0]
}

#[test]
fn targets_equal_a_loop_over_all_members() {
    let task = Balance { fault: None };
    for (termination, horizon) in
        [("learned", 3), ("given", 3), ("learned", 1), ("learned", 0), ("given", 0)]
    {
        let Parts { policy, critic, dynamics, batch, .. } = parts(termination);
        let expansion = Expansion {
            policy: &policy,
            critic: &critic,
            dynamics: &dynamics,
            task: &task,
            discount: GAMMA,
            horizon,
        };
        let mut targets = Targets::new(&expansion, ROWS);
        targets.set(&expansion, &batch);
        let mut ends = 0;
        for row in 0..ROWS {
            let candidates: Vec<(f64, f64)> = (0..=horizon)
                .map(|i| {
                    let mut all = Vec::new();
                    for e in 0..2 {
                        for m in 0..2 {
                            for k in 0..3 {
                                all.push(imagined_return(&expansion, &batch, (row, i), (e, m, k)));
                            }
                        }
                    }
                    let mean = all.iter().sum::<f64>() / 12.0;
                    (mean, all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 12.0)
                })
                .collect();
            let weights: Vec<f64> = candidates.iter().map(|(_, v)| 1.0 / (v + 1e-8)).collect();
            let total: f64 = weights.iter().sum();
            let sum = |f: &dyn Fn(usize) -> f64| -> f64 {
                (0..=horizon).map(|i| weights[i] / total * f(i)).sum()
            };
            let y = sum(&|i| candidates[i].0);
            let told = targets.values[row];
            assert!(
                (told - y).abs() < 1e-10 * (1.0 + y.abs()),
                "{termination}, H = {horizon}, row {row}: {told} for {y}"
            );
            assert!((targets.depths[row] - sum(&|i| i as f64)).abs() < 1e-10);
            if batch.terminated[row] {
                ends += 1;
                let reward = batch.rewards[row];
                assert!(
                    (told - reward).abs() < 1e-14 * (1.0 + reward.abs()),
                    "{told} for {reward}"
                );
            } else if horizon == 0 {
                let state = batch.next_state(row);
                let t = act(&policy, state);
                let tail = critic.networks.iter().map(|q| output(&q.target, &[state, &t])[0]);
                let one_step = batch.rewards[row] + GAMMA * tail.sum::<f64>() / 3.0;
                assert!((told - one_step).abs() < 1e-10);
            }
        }
        assert!(ends > 0 && ends < ROWS);
    }
}

#[test]
fn weights_are_inverse_variances() {
    // Means that show the weights.
    let share = |variances: [f64; 2]| mix([(1.0, variances[0]), (0.0, variances[1])].into_iter()).0;
    assert!((share([1.0, 3.0]) - 0.75).abs() < 1e-8);
    assert!((share([3.0, 1.0]) - 0.25).abs() < 1e-8);
    for variance in [0.0, 1e-3, 7.0] {
        let equal = (0..4).map(|i| (f64::from(i == 2), variance));
        assert!((mix(equal).0 - 0.25).abs() < 1e-12, "{variance}");
    }
    // A small variance around a large mean.
    let (mean, variance) = moments(&[1e6, 1e6 + 1e-3], &[0.0, 0.0], 2);
    assert!((mean - 1e6).abs() < 1e-3 && (variance - 0.25e-6).abs() < 1e-10, "{mean}, {variance}");
}

#[test]
fn identical_members_agree_and_all_depths_weigh_the_same() {
    let Parts { policy, mut critic, mut dynamics, batch, .. } = parts("learned");
    for ensemble in
        [&mut dynamics.transition, &mut dynamics.reward, dynamics.termination.as_mut().unwrap()]
    {
        ensemble.members[1] = ensemble.members[0].clone();
    }
    let first = critic.networks[0].clone();
    critic.networks.fill(first);
    let task = Balance { fault: None };
    let expansion = Expansion {
        policy: &policy,
        critic: &critic,
        dynamics: &dynamics,
        task: &task,
        discount: GAMMA,
        horizon: 3,
    };
    let mut targets = Targets::new(&expansion, ROWS);
    targets.set(&expansion, &batch);
    for row in 0..ROWS {
        assert!((targets.depths[row] - 1.5).abs() < 1e-6, "row {row}: {}", targets.depths[row]);
        let returns = (0..4).map(|i| imagined_return(&expansion, &batch, (row, i), (0, 0, 0)));
        assert!((targets.values[row] - returns.sum::<f64>() / 4.0).abs() < 1e-6);
    }
}

/// Central differences of `loss` by some of a network's parameters, against `gradient`; returns the largest derivative met.
fn compare(
    network: &Mlp<f64>,
    gradient: &[f64],
    loss: &mut dyn FnMut(&Mlp<f64>) -> f64,
    name: &str,
) -> f64 {
    let mut largest = 0.0_f64;
    for (l, layer) in network.shape().layers.iter().enumerate() {
        for at in layer.weight.clone().step_by(37).chain(layer.bias.clone().step_by(5)) {
            // Padding is no parameter.
            if network.parameters()[at] == 0.0 {
                assert_eq!(gradient[at], 0.0, "{name}: padding of layer {l}");
                continue;
            }
            let mut moved = |h: f64| {
                let mut other = network.clone();
                other.update(|parameters, _| parameters[at] += h);
                loss(&other)
            };
            let difference = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            let told = gradient[at];
            assert!(
                (difference - told).abs() < 1e-7 * (1.0 + told.abs()),
                "{name}, layer {l}, {at}: {told} for {difference}"
            );
            largest = largest.max(told.abs());
        }
    }
    assert!(largest > 1e-3, "{name}: nothing to see");
    largest
}

#[test]
fn gradients_of_critic_and_policy_equal_central_differences() {
    let Parts { policy, critic, batch, mut rng, .. } = parts("learned");
    let targets: Vec<f64> = (0..ROWS).map(|i| 0.1 * i as f64 - 1.0).collect();
    let mut pass = CriticPass::new(&critic, ROWS);
    pass.credit(3, &mut rng);
    let report = pass.differentiate(&critic, &batch, &targets);
    assert!(report.finite_gradient && report.loss > 0.0);
    let gradients: Vec<Vec<f64>> = pass.gradients().map(<[f64]>::to_vec).collect();
    for (k, gradient) in gradients.iter().enumerate() {
        let mut loss = |network: &Mlp<f64>| {
            let mut other = critic.clone();
            other.networks[k].network = network.clone();
            pass.differentiate(&other, &batch, &targets).loss
        };
        compare(&critic.networks[k].network, gradient, &mut loss, &format!("Q{k}"));
    }
    let mut pass = PolicyPass::new(&policy, &critic, ROWS);
    let penalty = 0.05;
    let report = pass.differentiate(&policy, &critic, &batch, penalty);
    // The loss by its definition, row by row.
    let by_definition = |network: &Mlp<f64>| -> f64 {
        let row = |i: usize| -> f64 {
            let z = output(network, &[batch.state(i)])[0];
            let values = critic.networks.iter();
            let q = values.map(|q| output(&q.network, &[batch.state(i), &[z.tanh()]])[0]);
            penalty * z * z - q.sum::<f64>() / 3.0
        };
        (0..ROWS).map(row).sum::<f64>() / ROWS as f64
    };
    assert!((report.loss - by_definition(&policy.network)).abs() < 1e-12);
    let gradient = pass.gradient.clone();
    compare(&policy.network, &gradient, &mut |network| by_definition(network), "policy");
}

#[test]
fn gradients_of_the_model_equal_central_differences_of_its_losses() {
    let Parts { dynamics, batch, mut rng, policy, .. } = parts("learned");
    let mut real = Replay::new(2, 1, ROWS);
    for i in 0..ROWS {
        let narrow = |x: &[f64]| x.iter().map(|&x| x as f32).collect::<Vec<f32>>();
        real.push(Transition {
            observation: &narrow(batch.state(i)),
            action: &narrow(batch.action(i)),
            reward: batch.rewards[i] as f32,
            next_observation: &narrow(batch.next_state(i)),
            terminated: batch.terminated[i],
        });
    }
    let mut workspace = SteveDynamicsWorkspace::new(&dynamics, SIZES, ROWS);
    workspace.batch.draw(&real, &policy, &mut rng);
    workspace.credit(2, &mut rng);
    let report = dynamics.clone().update(&mut workspace);
    let gradients = |credits: &mut Credits<f64>| -> Vec<Vec<f64>> {
        credits.passes().0.iter().map(|pass| pass.gradient.clone()).collect()
    };
    let SteveDynamicsWorkspace { batch, members, credits, end_credits } = &mut workspace;
    let [of_f, of_r] = credits;
    let told = [gradients(of_f), gradients(of_r), gradients(end_credits.as_mut().unwrap())];
    let (batch, members) = (&*batch, &*members);
    // Each row's loss by the member that it is credited to.
    let row = |kind: usize, networks: &[&Mlp<f64>], i: usize| -> f64 {
        let network = networks[members[kind][i] as usize];
        let (s, t, next) = (batch.state(i), batch.action(i), batch.next_state(i));
        match kind {
            0 => {
                let f = output(network, &[s, t]);
                (0..2).map(|d| 0.5 * (s[d] + f[d] - next[d]).powi(2)).sum()
            }
            1 => 0.5 * (output(network, &[next, s, t])[0] - batch.rewards[i]).powi(2),
            _ => {
                let p = 1.0 / (1.0 + (-output(network, &[next, s, t])[0]).exp());
                -(if batch.terminated[i] { p } else { 1.0 - p }).ln()
            }
        }
    };
    let ensembles =
        [&dynamics.transition, &dynamics.reward, dynamics.termination.as_ref().unwrap()];
    let reports = [report.transition, report.reward, report.termination.unwrap()];
    for (kind, ensemble) in ensembles.into_iter().enumerate() {
        let networks = |ensemble: &Ensemble<f64>, m: usize, other: &Mlp<f64>| -> f64 {
            let mut all: Vec<&Mlp<f64>> = ensemble.members.iter().map(|m| &m.network).collect();
            all[m] = other;
            (0..ROWS).map(|i| row(kind, &all, i)).sum::<f64>() / ROWS as f64
        };
        for (m, gradient) in told[kind].iter().enumerate() {
            let own = &ensemble.members[m].network;
            assert!((networks(ensemble, m, own) - reports[kind].loss).abs() < 1e-12);
            compare(
                own,
                gradient,
                &mut |other| networks(ensemble, m, other),
                &format!("kind {kind}, member {m}"),
            );
        }
    }
}

/// The penalty of the losses is ½·λ of all numbers' squares: with nothing else it moves weights and biases alike, towards 0.
#[test]
fn the_penalty_moves_biases_and_members_without_rows_too() {
    let Parts { mut dynamics, .. } = parts("learned");
    let before = dynamics.reward.clone();
    let mut credits = Credits::new(dynamics.reward.shape(), 2, 4);
    let nothing = |_: usize, _: &[f64], adjoint: &mut [f64]| {
        adjoint.fill(0.0);
        0.0
    };
    dynamics.reward.decay = 1e-2;
    dynamics.reward.update(&mut credits, &[0, 0, 0, 0], |_, input| input.fill(1.0), nothing);
    for (old, new) in before.members.iter().zip(&dynamics.reward.members) {
        let moved = old.network.parameters().iter().zip(new.network.parameters());
        for (&old, &new) in moved.filter(|(old, _)| old.abs() > 1e-3) {
            // Adam's first step is its step size against the sign, of gradients well above its ε.
            assert!((old - new - 3e-4 * old.signum()).abs() < 1e-6, "{old} became {new}");
        }
    }
}

/// A small run, five critic updates to a copy.
fn tiny(task: &str) -> Config {
    with(&small("steve", task), &["critic.copy_every_updates=5"])
}

#[test]
fn runs_are_equal_at_any_number_of_threads() {
    for settings in [&["steve.horizon=3"][..], &["steve.horizon=1", "model.termination=given"]] {
        let config = with(&tiny("Hopper"), settings);
        let run = |threads| {
            in_pool(threads, || {
                let mut trainer = trainer(&config);
                (advance(&mut trainer, 260), trainer.snapshot())
            })
        };
        let alone = run(1);
        let train = alone.0.iter().find(|record| record.kind == "train").unwrap();
        for (name, count) in
            [("critic_updates", 150.0), ("policy_updates", 150.0), ("model_updates", 170.0)]
        {
            assert_eq!(train.get(name), Some(count), "{name}");
        }
        assert!(train.get("expanded_steps").is_some_and(|steps| steps > 0.0));
        for threads in [2, 4] {
            let other = run(threads);
            assert_eq!(alone.0, other.0, "{settings:?}, {threads} threads");
            assert!(alone.1 == other.1, "{settings:?}, {threads} threads: final states differ");
        }
    }
}

#[test]
fn a_run_is_resumed_to_the_bit() {
    let config = tiny("InvertedPendulum");
    let mut whole = trainer(&config);
    let records = advance(&mut whole, 262);
    // Among the random steps, at their end, between two copies of the targets.
    for stop in [60, 100, 173] {
        let mut first = trainer(&config);
        let mut pieced = advance(&mut first, stop);
        let snapshot = first.snapshot();
        let task = ddppo::env::task("InvertedPendulum").unwrap();
        let mut second = Trainer::restore(config.clone(), task, snapshot).unwrap();
        pieced.extend(advance(&mut second, 262));
        assert_eq!(records, pieced, "stopped at {stop}");
        assert!(whole.snapshot() == second.snapshot(), "stopped at {stop}: final states differ");
    }
}

#[test]
fn updates_allocate_nothing() {
    rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(|| {
        let config = tiny("Hopper");
        let task = ddppo::env::task("Hopper").unwrap();
        let mut steve = Steve::new(&config, task);
        let mut rng = Rng::new(0, "transitions");
        for _ in 0..300 {
            let mut x = [0.0; 26];
            rng.fill_normal(&mut x);
            steve.real.push(Transition {
                observation: &x[..11],
                action: &x[11..14],
                reward: x[14],
                next_observation: &x[15..],
                terminated: x[14] > 1.5,
            });
        }
        let mut tally = Tally::default();
        let mut learn = |step| steve.learn(step, &mut tally).unwrap();
        learn(100);
        learn(101);
        let before = counting::allocations();
        // A copy of the targets is among these.
        (102..112).for_each(&mut learn);
        assert_eq!(counting::allocations() - before, 0);
        drop(std::hint::black_box(Box::new(1)));
        assert_eq!(counting::allocations() - before, 1, "the counter counts");
    });
}

/// NaN put into one part of the state stops the run at the next update that sees it, by name and step.
#[test]
fn numbers_that_break_are_named() {
    let config = tiny("InvertedPendulum");
    let mut good = trainer(&config);
    advance(&mut good, 160);
    for (part, expected, step) in [
        ("policy/0/weight", "the policy's action", 160),
        ("critic2/1/weight", "the critic's loss", 161),
        ("target_critic3/0/bias", "the critic's target", 161),
        ("transition_model/1/2/weight", "the transition model's loss", 161),
        ("reward_model/0/0/weight", "the reward model's loss", 161),
        ("termination_model/3/1/bias", "the termination model's loss", 161),
        ("real-rewards", "the reward model's loss", 161),
        ("real-observations", "the transition model's loss", 161),
    ] {
        let mut snapshot = good.snapshot();
        let all = snapshot.tensors.iter_mut().chain(&mut snapshot.rows);
        let tensor = all
            .into_iter()
            .find(|(key, _)| *key == part)
            .unwrap_or_else(|| panic!("{part} is no part"));
        let Data::F32(values) = &mut tensor.1.data else { panic!("{part} holds no f32") };
        values.fill(f32::NAN);
        let task = ddppo::env::task("InvertedPendulum").unwrap();
        let mut bad = Trainer::restore(config.clone(), task, snapshot).unwrap();
        let mut error = String::new();
        while bad.step() < 170 && error.is_empty() {
            error = bad.advance().err().map(|e| e.to_string()).unwrap_or_default();
        }
        assert!(error.contains(expected), "NaN in {part}: `{error}`");
        assert!(error.contains(&format!("step {step}:")), "{part}: {error}");
    }
}

#[test]
fn a_loss_beyond_the_guard_stops_the_run() {
    let config = with(&tiny("InvertedPendulum"), &["guards.max_loss=1e-9"]);
    let mut trainer = trainer(&config);
    let error = loop {
        match trainer.advance() {
            Ok(_) => assert!(trainer.step() < 110, "nothing stopped it"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains("the critic's loss") && error.contains("guards.max_loss"), "{error}");
}

#[test]
fn the_variant_has_small_transition_networks_and_every_preset_is_sound() {
    let info = methods::find("steve").unwrap();
    for task in info.tasks_with_presets() {
        let config = info.preset(task).unwrap();
        let small: SteveConfig = info.with_variant(&config, "steve-small").unwrap().view();
        assert_eq!(
            (small.model.hidden, small.model.layers, small.model.head_hidden),
            (200, 4, 128)
        );
        let SteveConfig { training, .. } = config.view();
        assert_eq!(training.pretraining_updates, training.experience.warmup_steps, "{task}");
    }
}
