//! The gradients of DDPPO+, recomputed by an independent autodiff (JAX, in double precision) from what a probe writes: a real minibatch of
//! Hopper, networks of the preset's size.

#[path = "support/python.rs"]
mod python;

use std::path::PathBuf;
use std::process::Command;

use ddppo::lab::probe::{Probe, probe};
use ddppo::methods;
use ddppo::nn::Real;
use ddppo::run::encoding::encode_with_header;
use ddppo::run::snapshot::{Data, Element};
use ddppo::train::Trainer;

/// A Hopper run right after its first block.
fn trained(settings: &[&str]) -> Trainer {
    let small = [
        "training.warmup_steps=600",
        "training.first_updates=20",
        "training.critic_updates=5",
        "model.members=3",
        "model.batch_size=128",
        "model.first_steps=60",
        "model.look_every=30",
        "rollout.starts=64",
        "policy.gradient_source=gradient",
    ];
    let settings: Vec<&str> = small.iter().chain(settings).copied().collect();
    let config = methods::preset("ddppo-plus", "Hopper").unwrap().with_settings(&settings).unwrap();
    let mut trainer = Trainer::new(config, ddppo::env::task("Hopper").unwrap()).unwrap();
    while trainer.step() < 600 {
        trainer.advance().unwrap();
    }
    trainer
}

fn written<T: Real + Element>(trainer: &Trainer) -> Probe {
    probe::<T>(trainer.method(), "ddppo-plus", 7).unwrap()
}

/// Has JAX check a probe; its exit code and what it printed.
fn check(name: &str, probe: Probe, tolerance: &str) -> (Option<i32>, String) {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.safetensors"));
    let header = probe.header.into_iter().collect();
    std::fs::write(&file, encode_with_header(&probe.tensors, Some(header))).unwrap();
    let output = Command::new(python::python("tests/python/requirements-jax.txt"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/check_plus.py"))
        .arg(&file)
        .args(["--tolerance", tolerance])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), text + &String::from_utf8_lossy(&output.stderr))
}

#[test]
fn updates_with_the_gradient_model_equal_autodiff_and_a_wrong_one_is_seen() {
    let run = trained(&[
        "model.initial_weights=kaiming",
        "model.layer_norm=true",
        "critic.initial_weights=kaiming",
        "critic.layer_norm=true",
        "gradient_loss.directions_per_row=2",
        "gradient_loss.value_weights=true",
        "policy.derivative_members=2",
    ]);
    let exact = written::<f64>(&run);
    let Data::F64(weights) = &exact.tensors["model_step/output_weights"].data else {
        panic!("weights of outputs in f64");
    };
    assert!(weights.iter().any(|w| (w - 1.0).abs() > 0.5), "the value says nothing: {weights:?}");
    let (code, text) = check("plus-f64", exact, "1e-8");
    assert_eq!(code, Some(0), "{text}");
    for gradient in ["update/policy_gradient", "update/critic_gradient", "model_step/gradient"] {
        assert!(text.contains(&format!("\"name\": \"{gradient}\"")), "{text}");
    }
    let mut probe = written::<f32>(&run);
    let (code, text) = check("plus-f32", probe.clone(), "1e-4");
    assert_eq!(code, Some(0), "{text}");
    let wrong = probe.tensors.get_mut("model_step/gradient/1/2/weight").map(|t| &mut t.data);
    let Some(Data::F32(gradient)) = wrong else { panic!("the probe has no such gradient") };
    gradient.iter_mut().for_each(|g| *g *= 1.001);
    let (code, text) = check("plus-f32-wrong", probe, "1e-4");
    assert_eq!(code, Some(1), "{text}");
}

#[test]
fn updates_with_the_prediction_model_alone_equal_autodiff() {
    let run = trained(&["policy.gradient_source=prediction"]);
    let (code, text) = check("plus-prediction", written::<f64>(&run), "1e-8");
    assert_eq!(code, Some(0), "{text}");
}
