//! Estimators of the derivative and of the policy's gradient: the mean of several members, and what is measured of bias and noise.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use ddppo::lab::analysis::calibration::calibration;
use ddppo::lab::analysis::gradient_noise::gradient_noise;
use ddppo::lab::analysis::horizons::{HORIZONS, PairedPaths};
use ddppo::lab::analysis::policy_gradient::policy_gradient_bias;
use ddppo::lab::precision;
use ddppo::methods;
use ddppo::methods::ddppo::Ddppo;
use ddppo::model::DynamicsModel;
use ddppo::path::{GradientSource, Imagination, Objective, PolicyWorkspace, Valuation};
use ddppo::rng::Rng;
use ddppo::train::Trainer;

const ROWS: usize = 40;

/// The policy gradient over `horizon` steps of fresh networks on the point mass, with the derivative of `k` of the gradient model's members,
/// the first of which is `first` where it is given.
fn gradient(
    source: GradientSource,
    (horizon, k): (usize, usize),
    first: Option<u32>,
    change: impl Fn(&mut DynamicsModel<f64>),
) -> Vec<f64> {
    let config = methods::preset("ddppo", "PointMass").unwrap().with_settings(&["model.hidden=24"]);
    let task = ddppo::env::task("PointMass").unwrap();
    let method = Ddppo::new(&config.unwrap(), Arc::clone(&task));
    let policy = precision::policy::<f32, f64>(&method.policy);
    let critic = precision::critic(&method.critic);
    let mut prediction_model = precision::model(&method.prediction_model.model);
    let mut gradient_model = precision::model(&method.gradient_model.as_ref().unwrap().model);
    for model in [&mut prediction_model, &mut gradient_model] {
        model.elites = vec![4, 1, 6];
        change(model);
    }
    let imagination = Imagination {
        horizon,
        prediction_model: &prediction_model,
        gradient_model: &gradient_model,
        gradient_source: source,
        derivative_members: k,
        ending: ddppo::model::Ending::Given(&*task),
    };
    let objective = Objective {
        policy: &policy,
        imagination: Some(imagination),
        critic: &critic,
        alpha: 0.1,
        discount: 0.9,
    };
    let mut workspace = PolicyWorkspace::new(&objective, ROWS);
    let starts: Vec<[f32; 4]> =
        (0..ROWS).map(|i| std::array::from_fn(|d| (0.7 * (i * 4 + d) as f32).sin())).collect();
    workspace.draw(&objective, |row, _| &starts[row], &mut Rng::new(5, "members"));
    if let Some(first) = first {
        for part in workspace.parts_mut() {
            part.gradient_elites.iter_mut().for_each(|elites| elites.fill(first));
        }
    }
    workspace.differentiate(&objective);
    workspace.gradient().to_vec()
}

fn assert_close(found: &[f64], expected: &[f64]) {
    let largest = expected.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-12 * largest, "{found} for {expected}");
    }
}

/// Over one step the gradient is linear in the derivative.
#[test]
fn the_mean_of_members_is_the_mean_of_their_gradients() {
    let source = GradientSource::GradientModel;
    let of = |k, first| gradient(source, (1, k), Some(first), |_| ());
    let alone = [4, 1, 6].map(|first| of(1, first));
    let mean = |members: &[usize]| -> Vec<f64> {
        let sum = |p: usize| members.iter().map(|&m| alone[m][p]).sum::<f64>();
        (0..alone[0].len()).map(|p| sum(p) / members.len() as f64).collect()
    };
    // The drawn elite, then those after it in the order of the elites.
    for (k, first, members) in
        [(2, 4, &[0, 1][..]), (2, 1, &[1, 2]), (2, 6, &[2, 0]), (3, 1, &[0, 1, 2])]
    {
        assert_close(&of(k, first), &mean(members));
    }
    assert!(alone[0] != alone[1]);
}

/// Over several steps, and with the noise differentiated, equal members must be as good as one.
#[test]
fn equal_members_are_as_one() {
    let equal = |model: &mut DynamicsModel<f64>| {
        let one = model.members[0].clone();
        model.members.fill(one);
    };
    for source in [
        GradientSource::GradientModel,
        GradientSource::PredictionModel,
        GradientSource::SampledStep,
    ] {
        let one = gradient(source, (3, 1), None, equal);
        for k in [2, 3] {
            assert_close(&gradient(source, (3, k), None, equal), &one);
        }
        assert!(one.iter().any(|g| g.abs() > 1e-6));
        let different = |k| gradient(source, (3, k), None, |_| ());
        assert!(different(1) != different(2), "{source:?}");
    }
}

/// A run of DDPPO on the point mass right after its first model training.
fn trained() -> MutexGuard<'static, Trainer> {
    static RUN: OnceLock<Mutex<Trainer>> = OnceLock::new();
    // Within a pool: from outside, each of thousands of small steps would wait for another thread.
    let train = || {
        let settings = "training.warmup_steps=599 training.batch_size=64 training.model_every_steps=300 \
                        training.min_transitions=600 training.policy_updates_per_step=0 \
                        training.critic_updates_per_step=0 model.members=3 model.elites=2 model.hidden=24 \
                        model.layers=2 model.weight_decay=[0,0,0] rollout.starts=100";
        let settings: Vec<&str> = settings.split_whitespace().collect();
        let config = methods::preset("ddppo", "PointMass").unwrap().with_settings(&settings);
        let task = ddppo::env::task("PointMass").unwrap();
        let mut trainer = Trainer::new(config.unwrap(), task).unwrap();
        while trainer.method().objective().is_none() {
            trainer.advance().unwrap();
        }
        Mutex::new(trainer)
    };
    let run = RUN.get_or_init(|| on_one_thread(train));
    run.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn on_one_thread<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(run)
}

#[test]
fn the_longest_horizons_bias_is_that_over_its_own_paths() {
    let run = trained();
    let (of, models) = (run.method().valuation().unwrap(), run.method().models().unwrap());
    let task = run.task();
    let all = [models.prediction, models.gradient.unwrap()];
    let paths = PairedPaths::meet(of, task, 30, 4).unwrap().unwrap();
    let found = paths.biases(&all, task);
    assert_eq!(found.iter().map(|h| h.horizon).collect::<Vec<_>>(), HORIZONS);
    // The same states and noise: nothing is left out in this environment.
    assert_eq!(paths.count(), 30);
    let longest = policy_gradient_bias(of, models, task, 5, 30, 4).unwrap().unwrap();
    let expected = [longest.prediction_model, longest.gradient_model.unwrap()];
    for (found, expected) in found[2].models.iter().zip(expected) {
        assert!((found.relative / expected.relative - 1.0).abs() < 1e-9, "{found:?}, {expected:?}");
        assert!((found.cosine - expected.cosine).abs() < 1e-12, "{found:?}, {expected:?}");
    }
    for horizon in &found {
        let [p, g] = horizon.models[..] else { panic!("two models") };
        let (gain, error) = horizon.gains[0];
        assert!((g.row_cosine - p.row_cosine - gain).abs() < 1e-12 && error > 0.0, "{horizon:?}");
        assert!(p.row_cosine > 0.5 && p.row_cosine < 1.0, "{horizon:?}");
    }
    assert_eq!(on_one_thread(|| paths.biases(&all, task)), found);
}

#[test]
fn the_noise_is_that_of_the_runs_own_minibatches() {
    let run = trained();
    let (of, real) = (run.method().objective().unwrap(), run.method().starts().unwrap());
    let [few, many] = [16, 1024].map(|batch| gradient_noise(of, real, batch, 1).unwrap());
    assert!(few.own.cosine < many.own.cosine, "{few:?}, {many:?}");
    assert!(many.own.cosine > 0.5 && many.own.clipped == 0.0, "{many:?}");
    // Both estimate the same number of rows.
    let [a, b] = [&few, &many].map(|noise| noise.own.rows_for_half.unwrap());
    assert!(a / b < 5.0 && b / a < 5.0, "{a} and {b}");
    assert!(many.own.largest_percent > 0.01 && many.own.largest_tenth > 0.1, "{many:?}");
    assert!(many.between.unwrap() > 0.3 && many.prediction_model.is_some(), "{many:?}");
    assert_eq!(on_one_thread(|| gradient_noise(of, real, 16, 1).unwrap()), few);
}

#[test]
fn a_fresh_critic_is_seen_to_know_nothing_yet() {
    let run = trained();
    // Without the bonus for entropy, returns are sums of costs.
    let of = Valuation { alpha: 0.0, ..run.method().valuation().unwrap() };
    let found = calibration(of, run.task(), 2).unwrap();
    // Five episodes of 200 steps, and a fresh critic: costs lie far below its values.
    assert_eq!((found.episodes, found.states), (5, 1000));
    assert!(found.discounted_return < found.value - 1.0, "{found:?}");
    assert!(found.relative_error > 0.5 && found.correlation.unwrap().abs() <= 1.0, "{found:?}");
}
