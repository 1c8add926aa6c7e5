//! Estimators of the derivative and of the policy's gradient: the mean of several members, what is measured of bias and noise, and the off-line study
//! of gradient losses.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use ddppo::lab::analysis::calibration::calibration;
use ddppo::lab::analysis::gradient_noise::gradient_noise;
use ddppo::lab::analysis::horizons::{HORIZONS, PairedPaths};
use ddppo::lab::analysis::policy_gradient::policy_gradient_bias;
use ddppo::lab::estimator_study::{EstimatorStudy, StudySize};
use ddppo::lab::estimator_trial::{EstimatorOutcome, EstimatorTrial, StudiedLoss};
use ddppo::lab::figures::estimators;
use ddppo::lab::{kept, precision};
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

/// A trial of a study, small.
fn study_of(run: &Trainer) -> (EstimatorStudy<'_>, Vec<EstimatorTrial>) {
    let study = EstimatorStudy::new(run, 12).unwrap();
    let size =
        StudySize { steps: 8, seconds: 0.0, seeds: 1, states: 12, members: Some(2), fresh: false };
    let trials = study.trials(size).unwrap();
    (study, trials)
}

#[test]
fn trials_of_a_study_repeat_and_differ_in_their_loss_alone() {
    let run = trained();
    let (study, trials) = study_of(&run);
    assert_eq!(trials.len(), StudiedLoss::ALL.len());
    let numbers = |trial: &EstimatorTrial| {
        let outcome = study.run(trial).unwrap();
        assert_eq!(outcome.by_steps.iter().map(|m| m.steps).collect::<Vec<_>>(), [1, 2, 4, 8]);
        assert_eq!(outcome.at_seconds.steps, 1);
        outcome.by_steps.into_iter().map(|m| m.biases).collect::<Vec<_>>()
    };
    let all: Vec<_> = trials.iter().map(numbers).collect();
    for (i, own) in all.iter().enumerate() {
        assert_eq!(numbers(&trials[i]), *own, "{:?}", trials[i].loss);
        assert!(all[..i].iter().all(|other| other != own), "{:?}", trials[i].loss);
    }
    // So small a weight that single precision does not see it: the same minibatches, so the same model as without.
    let mut weightless = trials[3].clone();
    weightless.gradient_loss.weight = 1e-30;
    let mut without = trials[0].clone();
    // Neighbours are drawn for either, from streams of their own.
    without.gradient_loss.window = weightless.gradient_loss.window;
    assert_eq!(numbers(&weightless), numbers(&without));
    let too_many =
        StudySize { steps: 1, seconds: 0.0, seeds: 1, states: 1, members: Some(4), fresh: true };
    let message = study.trials(too_many).unwrap_err().to_string();
    assert_eq!(message, "--members is 4, but the run's ensemble has 3");
}

#[test]
fn studies_are_kept_and_drawn() {
    let run = trained();
    let (study, trials) = study_of(&run);
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("estimator-trial.json");
    let _ = std::fs::remove_file(&path);
    assert!(kept::read_of::<EstimatorOutcome>(&path, &trials[0]).unwrap().is_none());
    let outcomes: Vec<EstimatorOutcome> =
        trials.iter().map(|trial| study.run(trial).unwrap()).collect();
    kept::write(&path, &outcomes[0]).unwrap();
    let found = kept::read_of::<EstimatorOutcome>(&path, &trials[0]).unwrap();
    assert_eq!(found.as_ref(), Some(&outcomes[0]));
    let message = kept::read_of::<EstimatorOutcome>(&path, &trials[1]).unwrap_err().to_string();
    assert!(
        message.contains("estimator-trial.json holds a trial with other settings"),
        "{message}"
    );
    let table = estimators::summary(&outcomes);
    let csv = estimators::csv(&outcomes);
    for loss in StudiedLoss::ALL {
        assert_eq!(table.matches(&format!("| {} |", loss.name())).count(), 2, "{table}");
        // Five measurements of three horizons.
        assert_eq!(csv.matches(&format!(",{},0,2,false,", loss.name())).count(), 15, "{csv}");
    }
    estimators::picture(&outcomes);
}
