//! The gradients that train, recomputed by an independent autodiff (JAX, in double precision) from what a probe writes:
//! a real minibatch of Hopper, networks of the paper's size.

#[path = "support/python.rs"]
mod python;

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock};

use ddppo::lab::precision;
use ddppo::lab::probe::{Probe, probe};
use ddppo::methods::{self, Method, ddppo::Ddppo};
use ddppo::model::Ending;
use ddppo::nn::Real;
use ddppo::path::{GradientSource, Imagination, Objective, PolicyWorkspace};
use ddppo::rng::Rng;
use ddppo::run::encoding::encode_with_header;
use ddppo::run::snapshot::{Data, Element};
use ddppo::train::Trainer;

/// A Hopper run shortly after its first model training: real data, policy, critic and models of full size.
fn trainer() -> MutexGuard<'static, Trainer> {
    static TRAINER: OnceLock<Mutex<Trainer>> = OnceLock::new();
    let trainer = TRAINER.get_or_init(|| {
        let settings = [
            "training.warmup_steps=740",
            "training.policy_updates_per_step=2",
            "training.critic_updates_per_step=2",
            "gradient_loss.directions_per_row=3",
            "rollout.starts=2000",
            "model.patience_epochs=1",
            "model.improvement=0.3",
        ];
        let config = methods::preset("ddppo", "Hopper").unwrap().with_settings(&settings).unwrap();
        let mut trainer = Trainer::new(config, ddppo::env::task("Hopper").unwrap()).unwrap();
        while trainer.step() < 770 {
            trainer.advance().unwrap();
        }
        Mutex::new(trainer)
    });
    trainer.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The trained run with the derivatives of another source: the same networks and transitions.
fn from_source(source: &str) -> Trainer {
    let mut trained = trainer();
    let setting = format!("policy.gradient_source={source}");
    let config = trained.config().with_settings(&[setting]).unwrap();
    let mut snapshot = trained.snapshot();
    if source != "gradient_model" {
        let of_other =
            |key: &String| key.starts_with("gradient_model") || key == "streams/gradient_model";
        snapshot.tensors.retain(|key, _| !of_other(key));
        snapshot.values.retain(|key, _| !of_other(key));
    }
    Trainer::restore(config, ddppo::env::task("Hopper").unwrap(), snapshot).unwrap()
}

/// A probe of `T`.
fn written<T: Real + Element>(source: &str) -> Probe {
    probe::<T>(from_source(source).method(), "ddppo", 7).unwrap()
}

/// Has JAX check a probe; its exit code and what it printed.
fn check(name: &str, probe: Probe, tolerance: &str) -> (Option<i32>, String) {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.safetensors"));
    let header = probe.header.into_iter().collect();
    std::fs::write(&file, encode_with_header(&probe.tensors, Some(header))).unwrap();
    let output = Command::new(python::python("tests/python/requirements-jax.txt"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/check_probe.py"))
        .arg(&file)
        .args(["--tolerance", tolerance])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), text + &String::from_utf8_lossy(&output.stderr))
}

#[test]
fn gradients_equal_autodiff_in_f64() {
    let (code, text) = check("f64", written::<f64>("gradient_model"), "1e-8");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("policy_update/gradient") && text.contains("gradient_step/r_gradient"));
}

#[test]
fn gradients_equal_autodiff_in_f32_and_a_wrong_one_is_seen() {
    let mut probe = written::<f32>("gradient_model");
    let (code, text) = check("f32", probe.clone(), "1e-4");
    assert_eq!(code, Some(0), "{text}");
    let Some(Data::F32(gradient)) =
        probe.tensors.get_mut("policy_update/gradient/1/weight").map(|t| &mut t.data)
    else {
        panic!("the probe has no such gradient");
    };
    gradient.iter_mut().for_each(|g| *g *= 1.001);
    let (code, text) = check("f32-wrong", probe, "1e-4");
    assert_eq!(code, Some(1), "{text}");
}

#[test]
fn gradients_of_the_prediction_model_equal_autodiff_too() {
    for source in ["prediction_model", "sampled_step"] {
        let (code, text) = check(source, written::<f64>(source), "1e-8");
        assert_eq!(code, Some(0), "{source}: {text}");
    }
}

/// Where the derivatives are those of the very steps taken, the adjoint is plain back-propagation through time, and the
/// gradient the derivative of the imagined return itself: with the mean head's derivatives if the steps carry no noise, with
/// the sampled step's in any case. With K = 0 it is soft actor-critic's gradient.
#[test]
fn adjoint_is_back_propagation_through_time_where_the_steps_are_differentiated() {
    let cases = [
        (GradientSource::PredictionModel, 3, false),
        (GradientSource::SampledStep, 3, true),
        (GradientSource::SampledStep, 0, true),
    ];
    for (gradient_source, horizon, noisy) in cases {
        let agrees = |draw| {
            let (differences, products) = slopes(gradient_source, horizon, noisy, draw);
            let mut pairs = differences.iter().zip(&products);
            pairs.all(|(d, p)| (d - p).abs() < 1e-6 * p.abs())
        };
        // In some draws a ReLU opens or the lesser critic changes within the step of a difference, which then is no derivative.
        let agreeing = (3..9).filter(|&draw| agrees(draw)).count();
        assert!(agreeing >= 3, "{gradient_source:?}, K = {horizon}: {agreeing} of six draws");
    }
    // And the noise is not nothing: the mean head's derivatives miss its part, more of it in some draws than in others.
    let missed = |draw| {
        let (differences, products) = slopes(GradientSource::PredictionModel, 3, true, draw);
        differences.iter().zip(&products).map(|(d, p)| ((d - p) / p).abs()).fold(0.0, f64::max)
    };
    let missed: Vec<f64> = (3..13).map(missed).collect();
    assert!(missed.iter().any(|&m| m > 1e-3), "{missed:?}");
    assert!(missed.iter().all(|&m| m > 1e-5), "{missed:?}");
}

/// Derivatives of the loss along random directions of parameter space: by central differences, and from the gradient.
fn slopes(
    gradient_source: GradientSource,
    horizon: usize,
    noisy: bool,
    draw: u64,
) -> (Vec<f64>, Vec<f64>) {
    let trainer = trainer();
    let learner = trainer.method().downcast::<Ddppo>().unwrap();
    let policy = precision::policy::<f32, f64>(&learner.policy);
    let critic = precision::critic(&learner.critic);
    let model = precision::model(&learner.prediction_model.model);
    let of = learner.objective().unwrap();
    let imagination = Imagination {
        horizon,
        prediction_model: &model,
        gradient_model: &model,
        gradient_source,
        derivative_members: 1,
        ending: Ending::Given(trainer.task()),
    };
    let objective = Objective {
        policy: &policy,
        imagination: (horizon > 0).then_some(imagination),
        critic: &critic,
        alpha: of.alpha,
        discount: of.discount,
    };
    let mut workspace = PolicyWorkspace::new(&objective, 64);
    let real = &learner.real;
    let start = |_, rng: &mut Rng| real.get(rng.below(real.len())).observation;
    workspace.draw(&objective, start, &mut Rng::new(draw, "through time"));
    if !noisy {
        for part in workspace.parts_mut() {
            part.model_noise.iter_mut().for_each(|noise| noise.fill(0.0));
        }
    }
    workspace.differentiate(&objective);
    let gradient = workspace.gradient().to_vec();
    let mut rng = Rng::new(4, "through time");
    let mut along = |direction: Vec<f64>| {
        let mut loss_at = |h: f64| {
            let mut moved = policy.clone();
            moved
                .network
                .update(|p, _| p.iter_mut().zip(&direction).for_each(|(p, d)| *p += h * d));
            workspace.differentiate(&Objective { policy: &moved, ..objective }).loss
        };
        let h = 1e-7;
        let product: f64 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
        ((loss_at(h) - loss_at(-h)) / (2.0 * h), product)
    };
    let parameters = policy.network.parameters();
    (0..5)
        .map(|_| {
            let draw = |&p: &f64| if p == 0.0 { 0.0 } else { rng.normal() };
            along(parameters.iter().map(draw).collect())
        })
        .unzip()
}
