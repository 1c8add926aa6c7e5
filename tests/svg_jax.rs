//! SVG's gradients of policy and V, recomputed by an independent autodiff (JAX, in double precision): a real minibatch of Hopper, networks of
//! the preset's size.

#[path = "support/python.rs"]
mod python;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock};

use ddppo::critic::ValueWorkspace;
use ddppo::lab::precision;
use ddppo::methods::preset;
use ddppo::methods::svg::Svg;
use ddppo::nn::{Mlp, Real};
use ddppo::path::{RecordedObjective, RecordedPart, RecordedWorkspace, Recording};
use ddppo::rng::Rng;
use ddppo::run::encoding::encode_with_header;
use ddppo::run::snapshot::{Data, Element, Tensor};
use ddppo::train::Trainer;

/// A Hopper run after its second model training: real data, a policy that has moved since, networks of full size.
fn trainer() -> MutexGuard<'static, Trainer> {
    static TRAINER: OnceLock<Mutex<Trainer>> = OnceLock::new();
    let trainer = TRAINER.get_or_init(|| {
        let settings = [
            "training.warmup_steps=480",
            "model.patience_epochs=1",
            "model.improvement=0.3",
            "evaluation.every_steps=100_000",
        ];
        let config = preset("svg", "Hopper").unwrap().with_settings(&settings).unwrap();
        let mut trainer = Trainer::new(config, ddppo::env::task("Hopper").unwrap()).unwrap();
        while trainer.step() < 620 {
            trainer.advance().unwrap();
        }
        Mutex::new(trainer)
    });
    trainer.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// What an update takes in and gives out, by name.
#[derive(Default)]
struct Written(BTreeMap<String, Tensor>);

impl Written {
    fn put<E: Element>(&mut self, key: &str, shape: &[usize], values: Vec<E>) {
        self.0.insert(key.to_owned(), Tensor::new(shape, values));
    }

    fn put_vector<T: Real + Element>(&mut self, name: &str, network: &Mlp<T>, vector: &[T]) {
        for (l, layer) in network.shape().layers.iter().enumerate() {
            let (weight, bias) = network.shape().export(l, vector);
            self.put(&format!("{name}/{l}/weight"), &[layer.inputs, layer.outputs], weight);
            self.put(&format!("{name}/{l}/bias"), &[layer.outputs], bias);
        }
    }

    fn put_network<T: Real + Element>(&mut self, name: &str, network: &Mlp<T>) {
        self.put_vector(name, network, network.parameters());
    }
}

const BATCH: usize = 256;
const DIVERGENCE_WEIGHT: f64 = 0.7;
const CAP: f64 = 5.0;

/// One update of V and policy along `horizon` recorded steps in `T`.
fn written<T: Real + Element>(
    horizon: usize,
) -> (BTreeMap<String, Tensor>, HashMap<String, String>) {
    let trainer = trainer();
    let svg = trainer.method().downcast::<Svg>().unwrap();
    let policy = precision::policy::<f32, T>(&svg.policy);
    let old = precision::network::<f32, T>(&svg.old);
    let model = precision::model::<f32, T>(&svg.model.model);
    let mut value = precision::value::<f32, T>(&svg.value);
    let discount = 0.99;
    let mut workspace =
        RecordedWorkspace::<T>::new(&policy, &model, &value.network, horizon, BATCH);
    let recording = Recording { real: &svg.real, draws: &svg.draws, window: 100_000 };
    workspace.draw(recording, (&policy, &model), CAP, &mut Rng::new(3, "rows"));
    let report = workspace.differentiate(&RecordedObjective {
        policy: &policy,
        old: &old,
        model: &model,
        value: &value.network,
        discount,
        divergence_weight: DIVERGENCE_WEIGHT,
    });
    report.check(f64::INFINITY).unwrap();
    let mut out = Written::default();
    out.put_network("policy", &policy.network);
    out.put_network("old_policy", &old);
    out.put_network("value", &value.network);
    out.put_network("target_value", &value.target);
    for (m, member) in model.members.iter().enumerate() {
        out.put_network(&format!("prediction_model/{m}"), &member.network);
    }
    let (s, a) = (policy.observation_dim(), policy.action_dim());
    out.put("prediction_model/input_mean", &[s + a], model.standardiser.mean.clone());
    out.put("prediction_model/input_std", &[s + a], model.standardiser.deviation.clone());
    out.put("action_scale", &[a], policy.scale.clone());
    out.put("action_bias", &[a], policy.bias.clone());
    put_rows(&mut out, workspace.parts(), horizon, (s, a));
    let of_rows = |row: usize| svg.real.get(svg.real.row_of(workspace.first(row).0));
    let terminated = (0..BATCH).map(|row| if of_rows(row).terminated { T::ONE } else { T::ZERO });
    out.put("terminated", &[BATCH], terminated.collect());
    out.put("loss", &[1], vec![T::from_f64(report.loss)]);
    out.put_vector("gradient", &policy.network, workspace.gradient());
    let mut of_value = ValueWorkspace::new(&value, BATCH);
    let row = |row: usize| (of_rows(row), workspace.first(row).1);
    let report = value.update_one_step(&mut of_value, discount, row);
    out.put("value_loss", &[1], vec![T::from_f64(report.loss)]);
    out.put_vector("value_gradient", &value.network, of_value.gradient());
    let header = [
        ("discount", discount.to_string()),
        ("divergence_weight", DIVERGENCE_WEIGHT.to_string()),
        ("importance_cap", CAP.to_string()),
        ("min_log_variance", svg.config().model.min_log_variance.to_string()),
        ("max_log_variance", svg.config().model.max_log_variance.to_string()),
    ];
    (out.0, header.map(|(key, value)| (key.to_owned(), value)).into())
}

/// The minibatch, step by step.
fn put_rows<T: Real + Element>(
    out: &mut Written,
    parts: &[RecordedPart<T>],
    horizon: usize,
    (s, a): (usize, usize),
) {
    let by_step = |of: &dyn Fn(&RecordedPart<T>, usize) -> Vec<T>| -> Vec<T> {
        (0..horizon).flat_map(|j| parts.iter().flat_map(move |part| of(part, j))).collect()
    };
    let states = by_step(&|part, j| {
        let input = &part.points[j].network.input;
        (0..part.rows.len()).flat_map(|i| input.row(i).to_vec()).collect()
    });
    out.put("states", &[horizon, BATCH, s], states);
    out.put("pre_squash", &[horizon, BATCH, a], by_step(&|part, j| part.pre_squash[j].clone()));
    out.put("actions", &[horizon, BATCH, a], by_step(&|part, j| part.actions[j].clone()));
    out.put("labels", &[horizon, BATCH, 1 + s], by_step(&|part, j| part.labels[j].clone()));
    let drawn = by_step(&|part, j| part.drawn_densities[j].clone());
    out.put("drawn_densities", &[horizon, BATCH], drawn);
    let elites = (0..horizon).flat_map(|j| parts.iter().flat_map(move |p| p.elites[j].clone()));
    out.put("elites", &[horizon, BATCH], elites.collect::<Vec<u32>>());
    let lengths = parts.iter().flat_map(|part| part.lengths.iter().map(|&l| l as u32));
    out.put("lengths", &[BATCH], lengths.collect::<Vec<u32>>());
    let all = |of: fn(&RecordedPart<T>) -> &Vec<T>| -> Vec<T> {
        parts.iter().flat_map(|part| of(part).clone()).collect()
    };
    out.put("alive", &[BATCH], all(|part| &part.alive));
    out.put("weights", &[BATCH], all(|part| &part.weights));
}

/// Has JAX check what was written; its exit code and what it printed.
fn check(
    name: &str,
    (tensors, header): (BTreeMap<String, Tensor>, HashMap<String, String>),
    tolerance: &str,
) -> (Option<i32>, String) {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.safetensors"));
    std::fs::write(&file, encode_with_header(&tensors, Some(header))).unwrap();
    let output = Command::new(python::python("tests/python/requirements-jax.txt"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/check_svg.py"))
        .arg(&file)
        .args(["--tolerance", tolerance])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), text + &String::from_utf8_lossy(&output.stderr))
}

#[test]
fn gradients_equal_autodiff_in_f64() {
    for horizon in [1, 4] {
        let (code, text) = check(&format!("svg{horizon}"), written::<f64>(horizon), "1e-8");
        assert_eq!(code, Some(0), "H = {horizon}: {text}");
        assert!(text.contains("value_gradient/0/weight") && text.contains("\"gradient/0/weight"));
    }
}

#[test]
fn gradients_equal_autodiff_in_f32_and_a_wrong_one_is_seen() {
    let (mut tensors, header) = written::<f32>(1);
    let (code, text) = check("svg-f32", (tensors.clone(), header.clone()), "1e-4");
    assert_eq!(code, Some(0), "{text}");
    let Some(Data::F32(gradient)) = tensors.get_mut("gradient/1/weight").map(|t| &mut t.data)
    else {
        panic!("no such gradient was written");
    };
    gradient.iter_mut().for_each(|g| *g *= 1.001);
    let (code, text) = check("svg-f32-wrong", (tensors, header), "1e-4");
    assert_eq!(code, Some(1), "{text}");
}
