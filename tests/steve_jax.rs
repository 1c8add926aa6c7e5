//! STEVE's targets and gradients on a real minibatch of Hopper, recomputed by an independent autodiff (JAX, in double precision).

#[path = "support/python.rs"]
mod python;

use std::path::PathBuf;
use std::process::Command;

use ddppo::lab::precision;
use ddppo::methods;
use ddppo::methods::steve::Steve;
use ddppo::methods::steve::dynamics::{SteveDynamics, SteveDynamicsWorkspace};
use ddppo::methods::steve::expansion::{Expansion, Targets};
use ddppo::methods::steve::improvement::{CriticPass, PolicyPass};
use ddppo::methods::steve::minibatch::Minibatch;
use ddppo::model::{Credits, Ensemble};
use ddppo::nn::{Mlp, Real, Shape};
use ddppo::rng::Rng;
use ddppo::run::encoding::encode_with_header;
use ddppo::run::snapshot::{Element, Snapshot};
use ddppo::train::Trainer;

const ROWS: usize = 512;
const DISCOUNT: f64 = 0.99;
const HORIZON: usize = 3;
const PENALTY: f64 = 1e-3;

/// A Hopper run shortly after its first updates, with networks of the size of `steve-small`.
fn trainer() -> Trainer {
    let info = methods::find("steve").unwrap();
    let config = info.with_variant(&info.preset("Hopper").unwrap(), "steve-small").unwrap();
    let settings = ["training.warmup_steps=600", "training.pretraining_updates=40"];
    let config = config.with_settings(&settings).unwrap();
    let mut trainer = Trainer::new(config, ddppo::env::task("Hopper").unwrap()).unwrap();
    while trainer.step() < 606 {
        trainer.advance().unwrap();
    }
    trainer
}

fn put_vector<T: Real + Element>(file: &mut Snapshot, name: &str, shape: &Shape, vector: &[T]) {
    for (l, layer) in shape.layers.iter().enumerate() {
        let (weight, bias) = shape.export(l, vector);
        file.put(&format!("{name}/{l}/weight"), &[layer.inputs, layer.outputs], weight);
        file.put(&format!("{name}/{l}/bias"), &[layer.outputs], bias);
    }
}

fn put_network<T: Real + Element>(file: &mut Snapshot, name: &str, network: &Mlp<T>) {
    put_vector(file, name, network.shape(), network.parameters());
}

fn ensemble<T: Real>(from: &Ensemble<f32>) -> Ensemble<T> {
    let convert = |network: &Mlp<f32>| {
        let mut other = Mlp::<T>::new(network.shape().clone(), |_| 0.0);
        other.update(|to, _| {
            to.iter_mut().zip(network.parameters()).for_each(|(t, &f)| *t = T::from_f32(f));
        });
        other
    };
    let networks = from.members.iter().map(|member| convert(&member.network));
    Ensemble::from_networks(networks, 3e-4, from.decay)
}

fn put_credits<T: Real + Element>(
    file: &mut Snapshot,
    name: &str,
    shape: &Shape,
    credits: &mut Credits<T>,
) {
    for (m, pass) in credits.passes().0.iter().enumerate() {
        put_vector(file, &format!("gradient/{name}/{m}"), shape, &pass.gradient);
    }
}

fn put_batch<T: Real + Element>(file: &mut Snapshot, name: &str, batch: &Minibatch<T>) {
    let rows = |of: &dyn Fn(usize) -> Vec<T>| (0..ROWS).flat_map(of).collect::<Vec<T>>();
    let (s, a) = (batch.observation_dim(), batch.action_dim());
    file.put(&format!("{name}/states"), &[ROWS, s], rows(&|i| batch.state(i).to_vec()));
    file.put(&format!("{name}/actions"), &[ROWS, a], rows(&|i| batch.action(i).to_vec()));
    file.put(&format!("{name}/next_states"), &[ROWS, s], rows(&|i| batch.next_state(i).to_vec()));
    file.put(&format!("{name}/rewards"), &[ROWS], batch.rewards.clone());
    let ended = |&d: &bool| if d { T::ONE } else { T::ZERO };
    let ended: Vec<T> = batch.terminated.iter().map(ended).collect();
    file.put(&format!("{name}/terminated"), &[ROWS], ended);
}

/// All that goes into the updates and comes out of them, in the precision of `T`.
fn written<T: Real + Element>(trainer: &Trainer) -> Snapshot {
    let steve: &Steve = trainer.method().downcast().unwrap();
    let (policy, critic) = (precision::policy(&steve.policy), precision::critic(&steve.critic));
    let mut dynamics = SteveDynamics::<T> {
        transition: ensemble(&steve.dynamics.transition),
        reward: ensemble(&steve.dynamics.reward),
        termination: steve.dynamics.termination.as_ref().map(ensemble),
    };
    let mut file = Snapshot::new();
    put_network(&mut file, "policy", &policy.network);
    for (k, q) in critic.networks.iter().enumerate() {
        put_network(&mut file, &format!("critic/{k}"), &q.network);
        put_network(&mut file, &format!("target/{k}"), &q.target);
    }
    let kinds = [&dynamics.transition, &dynamics.reward, dynamics.termination.as_ref().unwrap()];
    for (name, of) in ["transition", "reward", "termination"].into_iter().zip(kinds) {
        for (m, member) in of.members.iter().enumerate() {
            put_network(&mut file, &format!("{name}/{m}"), &member.network);
        }
    }
    let mut rng = Rng::new(7, "steve in JAX");
    let sizes = (policy.observation_dim(), policy.action_dim());
    let mut batch = Minibatch::new(sizes, ROWS);
    batch.draw(&steve.real, &policy, &mut rng);
    put_batch(&mut file, "batch", &batch);

    let expansion = Expansion {
        policy: &policy,
        critic: &critic,
        dynamics: &dynamics,
        task: trainer.task(),
        discount: DISCOUNT,
        horizon: HORIZON,
    };
    let mut targets = Targets::new(&expansion, ROWS);
    targets.set(&expansion, &batch);
    file.put("targets", &[ROWS], targets.values.clone());
    file.put("depths", &[ROWS], targets.depths.clone());

    let mut pass = CriticPass::new(&critic, ROWS);
    let mut same = rng.clone();
    pass.credit(critic.networks.len(), &mut rng);
    let credited: Vec<f64> = (0..ROWS).map(|_| same.below(critic.networks.len()) as f64).collect();
    file.put("credited", &[ROWS], credited);
    pass.differentiate(&critic, &batch, &targets.values);
    for (k, gradient) in pass.gradients().enumerate() {
        put_vector(&mut file, &format!("gradient/critic/{k}"), critic.shape(), gradient);
    }
    let mut pass = PolicyPass::new(&policy, &critic, ROWS);
    pass.differentiate(&policy, &critic, &batch, PENALTY);
    put_vector(&mut file, "gradient/policy", policy.network.shape(), &pass.gradient);

    let mut workspace = SteveDynamicsWorkspace::new(&dynamics, sizes, ROWS);
    workspace.batch.draw(&steve.real, &policy, &mut rng);
    workspace.credit(dynamics.transition.members.len(), &mut rng);
    put_batch(&mut file, "model_batch", &workspace.batch);
    for (name, of) in ["transition", "reward", "termination"].into_iter().zip(&workspace.members) {
        let members: Vec<f64> = of.iter().map(|&m| f64::from(m)).collect();
        file.put(&format!("members/{name}"), &[ROWS], members);
    }
    dynamics.update(&mut workspace);
    let SteveDynamicsWorkspace { credits: [of_f, of_r], end_credits, .. } = &mut workspace;
    put_credits(&mut file, "transition", dynamics.transition.shape(), of_f);
    put_credits(&mut file, "reward", dynamics.reward.shape(), of_r);
    let shape = dynamics.termination.as_ref().unwrap().shape();
    put_credits(&mut file, "termination", shape, end_credits.as_mut().unwrap());
    file
}

fn check(name: &str, file: &Snapshot, tolerance: &str) -> (Option<i32>, String) {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.safetensors"));
    std::fs::write(&path, encode_with_header(&file.tensors, None)).unwrap();
    let output = Command::new(python::python("tests/python/requirements-jax.txt"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/check_steve.py"))
        .arg(&path)
        .arg(tolerance)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), text + &String::from_utf8_lossy(&output.stderr))
}

#[test]
fn targets_and_gradients_equal_autodiff_and_a_wrong_one_is_seen() {
    let trainer = trainer();
    let (code, text) = check("steve-f64", &written::<f64>(&trainer), "1e-8");
    println!("{text}");
    assert_eq!(code, Some(0), "{text}");
    let mut file = written::<f32>(&trainer);
    let (code, text) = check("steve-f32", &file, "1e-4");
    println!("{text}");
    assert_eq!(code, Some(0), "{text}");
    let part = file.tensors.get_mut("gradient/transition/2/1/weight").unwrap();
    let ddppo::run::snapshot::Data::F32(gradient) = &mut part.data else { panic!("f32") };
    gradient.iter_mut().for_each(|g| *g *= 1.001);
    assert_eq!(check("steve-wrong", &file, "1e-4").0, Some(1));
}
