//! The gradients that train, recomputed by an independent autodiff (JAX, in double precision) from what a probe writes:
//! a real minibatch of Hopper, networks of the paper's size.

#[path = "support/python.rs"]
mod python;

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock};

use ddppo::algo::adjoint::{Objective, PolicyWorkspace};
use ddppo::analysis::precision;
use ddppo::analysis::probe::{Probe, probe};
use ddppo::config::{Algorithm, Config, GradientSource};
use ddppo::nn::Real;
use ddppo::rng::Rng;
use ddppo::run::encoding::encode_with_header;
use ddppo::run::snapshot::{Data, Element};
use ddppo::train::Trainer;

/// A Hopper run shortly after its first model training: real data, policy, critic and models of full size.
fn trainer() -> MutexGuard<'static, Trainer> {
    static TRAINER: OnceLock<Mutex<Trainer>> = OnceLock::new();
    let trainer = TRAINER.get_or_init(|| {
        let mut config = Config::preset(Algorithm::Ddppo, "Hopper").unwrap();
        config.training.warmup_steps = 740;
        config.training.policy_updates_per_step = 2;
        config.training.critic_updates_per_step = 2;
        config.gradient_loss.directions_per_row = 3;
        config.rollout.starts = 2000;
        config.model.patience_epochs = 1;
        config.model.improvement = 0.3;
        let mut trainer = Trainer::new(config, ddppo::env::task("Hopper").unwrap()).unwrap();
        while trainer.step() < 770 {
            trainer.advance().unwrap();
        }
        Mutex::new(trainer)
    });
    trainer.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A probe of `T`.
fn written<T: Real + Element>(source: GradientSource) -> Probe {
    let trainer = trainer();
    let mut config = trainer.config().clone();
    config.policy.gradient_source = source;
    probe::<T>(trainer.algorithm(), &config, trainer.task(), 7).unwrap()
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
    let (code, text) = check("f64", written::<f64>(GradientSource::GradientModel), "1e-8");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("policy_update/gradient") && text.contains("gradient_step/r_gradient"));
}

#[test]
fn gradients_equal_autodiff_in_f32_and_a_wrong_one_is_seen() {
    let mut probe = written::<f32>(GradientSource::GradientModel);
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
    let (code, text) = check("maac", written::<f64>(GradientSource::PredictionModel), "1e-8");
    assert_eq!(code, Some(0), "{text}");
}

/// Where the gradient model is the prediction model's mean, and the steps carry no noise, the adjoint is plain
/// back-propagation through time: the gradient is the derivative of the imagined return itself.
#[test]
fn adjoint_is_back_propagation_through_time_where_both_models_are_one() {
    let trainer = trainer();
    let learner = trainer.algorithm();
    let original = learner.objective();
    let policy = precision::policy::<f32, f64>(original.policy);
    let critic = precision::critic(original.critic);
    let model = precision::model(original.prediction_model);
    let objective = Objective {
        policy: &policy,
        prediction_model: &model,
        gradient_model: &model,
        gradient_source: GradientSource::PredictionModel,
        critic: &critic,
        task: trainer.task(),
        alpha: original.alpha,
        discount: original.discount,
    };
    let mut workspace = PolicyWorkspace::new(&objective, 64, 3);
    workspace.draw(&objective, &learner.real, &mut Rng::new(3, "through time"));
    for piece in &mut workspace.pieces {
        piece.model_noise.iter_mut().for_each(|noise| noise.fill(0.0));
    }
    workspace.differentiate(&objective);
    let gradient = workspace.gradient().to_vec();
    // Central differences of the loss along random directions of parameter space.
    let mut rng = Rng::new(4, "through time");
    for _ in 0..5 {
        let mut direction = vec![0.0; gradient.len()];
        for (d, &p) in direction.iter_mut().zip(policy.network.parameters()) {
            *d = if p == 0.0 { 0.0 } else { rng.normal() };
        }
        let mut loss_at = |h: f64| {
            let mut moved = policy.clone();
            moved
                .network
                .update(|p, _| p.iter_mut().zip(&direction).for_each(|(p, d)| *p += h * d));
            workspace.differentiate(&Objective { policy: &moved, ..objective }).loss
        };
        let h = 1e-7;
        let difference = (loss_at(h) - loss_at(-h)) / (2.0 * h);
        let product: f64 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
        assert!(
            (difference - product).abs() < 1e-4 * product.abs(),
            "{difference} against {product}"
        );
    }
}
