//! Errors of learned models against the closed forms of the point mass.

use std::sync::{Mutex, MutexGuard, OnceLock};

use ddppo::env::trajectory::{VisitedState, sample_points};
use ddppo::env::uniform_actions;
use ddppo::lab::analysis::gradient_error::{ModelError, RealStates, cosine};
use ddppo::lab::analysis::mean_head::MeanHead;
use ddppo::lab::analysis::multi_step::{STEPS, multi_step_errors};
use ddppo::lab::analysis::policy_gradient::{SHARES, policy_gradient_bias};
use ddppo::lab::precision;
use ddppo::model::DynamicsModel;
use ddppo::policy::Actor;
use ddppo::train::Trainer;

/// A run on the point mass right after its first model training.
fn trained() -> MutexGuard<'static, Trainer> {
    static RUN: OnceLock<Mutex<Trainer>> = OnceLock::new();
    let run = RUN.get_or_init(|| {
        let settings = [
            "training.warmup_steps=999",
            "training.batch_size=64",
            "training.model_every_steps=500",
            "training.min_transitions=1000",
            "training.policy_updates_per_step=0",
            "training.critic_updates_per_step=0",
            "model.members=2",
            "model.elites=2",
            "model.hidden=32",
            "model.layers=2",
            "model.weight_decay=[0, 0, 0]",
            "model.patience_epochs=20",
            "rollout.starts=100",
        ];
        let preset = ddppo::methods::preset("ddppo", "PointMass").unwrap();
        let config = preset.with_settings(&settings).unwrap();
        let mut trainer = Trainer::new(config, ddppo::env::task("PointMass").unwrap()).unwrap();
        while !trainer.method().models().unwrap().are_trained() {
            trainer.advance().unwrap();
        }
        Mutex::new(trainer)
    });
    run.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// d(s', r)/d(s, a) of a mean head by central differences of its predictions.
fn differences(model: &DynamicsModel<f64>, point: &VisitedState) -> Vec<f64> {
    let mut head = MeanHead::new(model);
    let (states, columns) = (point.observation.len(), point.observation.len() + point.action.len());
    let mut values = vec![0.0; (states + 1) * columns];
    for column in 0..columns {
        let mut at = |h: f64| {
            let (mut s, mut a) = (point.observation.clone(), point.action.clone());
            if column < states {
                s[column] += h
            } else {
                a[column - states] += h
            }
            head.predict(&s, &a)
        };
        let (ahead, behind) = (at(1e-5), at(-1e-5));
        for (row, (x, y)) in ahead.iter().zip(&behind).enumerate() {
            values[row * columns + column] = (x - y) / 2e-5;
        }
    }
    values
}

#[test]
fn learned_jacobians_equal_central_differences() {
    let task = ddppo::env::task("PointMass").unwrap();
    let model = precision::model(trained().method().models().unwrap().prediction);
    let mut head = MeanHead::new(&model);
    for point in sample_points(&*task, 10, 7, 3, &mut uniform_actions(&*task)).unwrap() {
        let found = head.jacobian(&point.observation, &point.action);
        for (a, b) in found.iter().zip(&differences(&model, &point)) {
            assert!((a - b).abs() < 1e-7 * (1.0 + b.abs()), "{a} for {b}");
        }
    }
}

#[test]
fn errors_are_those_against_the_closed_form() {
    let task = ddppo::env::task("PointMass").unwrap();
    let run = trained();
    let (policy, models) = (run.method().policy(), run.method().models().unwrap());
    let errors = RealStates::meet(policy, &*task, 30, 5).unwrap().errors(models, &*task);
    let group = errors.regular.unwrap();
    assert_eq!((group.states, errors.events), (30, None));
    // The same states again: the policy and the seed decide.
    let mut actor = Actor::new(policy);
    let points = sample_points(&*task, 30, 5, 5, &mut |observation, rng| {
        actor.explore(policy, observation, rng).to_vec()
    })
    .unwrap();
    let check = |model: &DynamicsModel<f32>, error: &ModelError| {
        let model = precision::model(model);
        let (mut squares, mut truth, mut first, mut reward) = (0.0, 0.0, 0.0, 0.0);
        for point in &points {
            let exact = task.closed_form_jacobian(&point.observation, &point.action).unwrap();
            let learned = differences(&model, point);
            squares += learned.iter().zip(&exact).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
            truth += exact.iter().map(|x| x * x).sum::<f64>();
            let column = |values: &[f64]| values.iter().copied().step_by(6).collect::<Vec<_>>();
            first += cosine(&column(&learned), &column(&exact)).unwrap() / 30.0;
            let [px, py, vx, vy] = point.observation[..] else { panic!("four numbers") };
            let cost = px * px
                + py * py
                + 0.1 * (vx * vx + vy * vy)
                + 0.01 * point.action.iter().map(|a| a * a).sum::<f64>();
            let predicted = MeanHead::new(&model).predict(&point.observation, &point.action)[4];
            reward += (predicted + cost).powi(2) / 30.0;
        }
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-4 * b.abs(), "{a} for {b}");
        close(error.mean_gradient(), squares / (30.0 * 30.0));
        close(error.relative_gradient, squares / truth);
        close(error.cosine[0].unwrap(), first);
        close(error.prediction[4], reward);
    };
    check(models.prediction, &group.prediction_model);
    check(models.gradient.unwrap(), group.gradient_model.as_ref().unwrap());
    // A linear world with a quadratic reward is learned from a thousand steps.
    assert!(group.prediction_model.relative_gradient < 0.2, "{group:?}");
    assert!(group.prediction_model.mean_cosine() > 0.9, "{group:?}");
}

#[test]
fn biases_follow_from_the_derivatives() {
    let task = ddppo::env::task("PointMass").unwrap();
    let run = trained();
    let models = run.method().models().unwrap();
    let of = run.method().valuation().unwrap();
    let bias = policy_gradient_bias(of, models, &*task, 2, 50, 1).unwrap().unwrap();
    assert_eq!((bias.horizon, bias.trajectories), (2, 50));
    for bias in [bias.prediction_model, bias.gradient_model.unwrap()] {
        assert!(bias.relative > 0.0 && bias.relative < 0.5 && bias.cosine > 0.9, "{bias:?}");
    }
    let terms = bias.theorem1;
    assert_eq!(terms.states, 100);
    for terms in [terms.prediction_model, terms.gradient_model.unwrap()] {
        let (mean, largest) = (terms.mean, terms.largest);
        // A step moves the point mass by parts of 1, and its reward's slope is as large as its distance.
        for (mean, largest, most) in [
            (mean.prediction, largest.prediction, 0.2),
            (mean.transition_gradient, largest.transition_gradient, 0.2),
            (mean.reward_gradient, largest.reward_gradient, 50.0),
        ] {
            assert!(mean > 0.0 && mean < largest && largest < most, "{terms:?}");
        }
    }
    // Equal seeds give equal figures at any number of threads.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(
        pool.install(|| policy_gradient_bias(of, models, &*task, 2, 50, 1).unwrap().unwrap()),
        bias
    );
}

/// Over one step g is affine in the Jacobian, so ‖g − g*‖² is a polynomial of second degree in the mixture's share.
#[test]
fn mixtures_lie_between_the_models() {
    let task = ddppo::env::task("PointMass").unwrap();
    let run = trained();
    let models = run.method().models().unwrap();
    let of = run.method().valuation().unwrap();
    let bias = policy_gradient_bias(of, models, &*task, 1, 50, 1).unwrap().unwrap();
    assert_eq!(bias.mixtures.iter().map(|mixture| mixture.share).collect::<Vec<_>>(), SHARES);
    let between = bias.mixtures.iter().map(|mixture| mixture.bias.relative);
    let ends = [bias.prediction_model.relative, bias.gradient_model.unwrap().relative];
    let squares: Vec<f64> =
        [ends[0]].into_iter().chain(between).chain([ends[1]]).map(|r| r * r).collect();
    let [a, b, c, d, e] = squares[..] else { panic!("five shares") };
    for third_difference in [d - 3.0 * c + 3.0 * b - a, e - 3.0 * d + 3.0 * c - b] {
        assert!(third_difference.abs() < 1e-9 * a.max(e), "{squares:?}");
    }
    let curvature = a - 2.0 * c + e;
    assert!(curvature > 1e-6 * a.max(e), "the models differ: {squares:?}");
}

#[test]
fn errors_over_one_step_are_those_on_the_same_states() {
    let task = ddppo::env::task("PointMass").unwrap();
    let run = trained();
    let (policy, models) = (run.method().policy(), run.method().models().unwrap());
    let errors = multi_step_errors(policy, models, &*task, 80, 5).unwrap();
    let one = RealStates::meet(policy, &*task, 80, 5).unwrap().errors(models, &*task);
    let one = one.regular.unwrap();
    assert_eq!(one.states, 80);
    let of_gradient_model = errors[0].gradient_model.clone().unwrap();
    for (found, expected) in [
        (&errors[0].prediction_model, one.prediction_model),
        (&of_gradient_model, one.gradient_model.unwrap()),
    ] {
        for (found, expected) in found.by_output.iter().zip(&expected.prediction) {
            assert!((found - expected).abs() < 1e-12 * expected, "{found} for {expected}");
        }
    }
    // Of the 40 that begin in an episode of 200 steps, that of step 195 has only five.
    let counts: Vec<(usize, usize)> = errors.iter().map(|e| (e.steps, e.trajectories)).collect();
    let expected: Vec<(usize, usize)> =
        (1..=STEPS).map(|steps| (steps, if steps > 5 { 78 } else { 80 })).collect();
    assert_eq!(counts, expected);
    assert!(errors[9].prediction_model.mean > errors[0].prediction_model.mean, "{errors:?}");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let again = pool.install(|| multi_step_errors(policy, models, &*task, 80, 5).unwrap());
    assert_eq!(again, errors);
}
