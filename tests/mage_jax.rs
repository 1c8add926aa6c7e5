//! MAGE's updates recomputed by an independent autodiff (JAX, in double precision) on a real minibatch of Hopper: the targets, their
//! slopes by the action, and the gradients of both losses. `tests/python/check_mage.py` differentiates the definitions.

#[path = "support/mage_runs.rs"]
mod mage_runs;
#[path = "support/python.rs"]
mod python;
#[path = "support/small_runs.rs"]
mod small_runs;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use ddppo::methods::mage::{Agent, Block, Mage, Minibatch, Updates, Weights};
use ddppo::model::StandardisedModel;
use ddppo::nn::{Mlp, Real, Shape};
use ddppo::run::encoding::encode_with_header;
use ddppo::run::snapshot::{Data, Element, Tensor};
use ddppo::train::Trainer;
use mage_runs::{BATCH, DISCOUNT, parts, run};

type Tensors = BTreeMap<String, Tensor>;

fn put<E: Element>(tensors: &mut Tensors, key: &str, shape: &[usize], values: Vec<E>) {
    tensors.insert(key.to_owned(), Tensor::new(shape, values));
}

fn put_vector<T: Real + Element>(to: &mut Tensors, name: &str, shape: &Shape, vector: &[T]) {
    for (l, layer) in shape.layers.iter().enumerate() {
        let (weight, bias) = shape.export(l, vector);
        put(to, &format!("{name}/{l}/weight"), &[layer.inputs, layer.outputs], weight);
        put(to, &format!("{name}/{l}/bias"), &[layer.outputs], bias);
    }
}

fn put_network<T: Real + Element>(to: &mut Tensors, name: &str, network: &Mlp<T>) {
    put_vector(to, name, network.shape(), network.parameters());
}

/// An update of critic and policy in `T`, written out.
fn written<T: Real + Element>(trainer: &Trainer) -> Tensors {
    let mage: &Mage = trainer.method().downcast().unwrap();
    let (agent, model, mut minibatch): (Agent<T>, StandardisedModel<T>, Minibatch<T>) = parts(mage);
    assert_eq!(minibatch.imagine(&agent, &model, trainer.task(), DISCOUNT, true), 0);
    let mut updates = Updates::new(&agent, &minibatch);
    let weights = Weights { action_gradient: 5.0, error: 1.0 };
    let losses = updates.differentiate_critic(&agent, &minibatch, weights);
    // Rows on both sides of Huber's threshold.
    assert!(losses.action_gradient > 0.0 && losses.error > 0.0);
    let mut to = Tensors::new();
    put_network(&mut to, "policy", &agent.policy.network);
    put_network(&mut to, "target_policy", &agent.target_policy);
    for (q, own) in agent.critic.networks.iter().enumerate() {
        put_network(&mut to, &format!("critic{}", q + 1), &own.network);
        put_network(&mut to, &format!("target_critic{}", q + 1), &own.target);
    }
    for (m, member) in model.members.iter().enumerate() {
        put_network(&mut to, &format!("model/{m}"), &member.network);
    }
    let (s, a) = (agent.policy.observation_dim(), agent.policy.action_dim());
    let standardisers =
        [("agent", agent.standardiser()), ("input", &model.input), ("label", &model.label)];
    for (name, standardiser) in standardisers {
        let dim = [standardiser.mean.len()];
        put(&mut to, &format!("{name}_mean"), &dim, standardiser.mean.clone());
        put(&mut to, &format!("{name}_deviation"), &dim, standardiser.deviation.clone());
    }
    put(&mut to, "action_scale", &[a], agent.policy.scale.clone());
    put(&mut to, "action_bias", &[a], agent.policy.bias.clone());
    let members: Vec<u32> = minibatch.blocks.iter().flat_map(|b| b.members.clone()).collect();
    put(&mut to, "members", &[BATCH], members);
    let states = minibatch.blocks.iter();
    let states = states.flat_map(|b| (0..b.members.len()).flat_map(|i| b.states.row(i).to_vec()));
    put(&mut to, "states", &[BATCH, s], states.collect::<Vec<T>>());
    let all = |of: fn(&Block<T>) -> &Vec<T>| -> Vec<T> {
        minibatch.blocks.iter().flat_map(|b| of(b).clone()).collect()
    };
    put(&mut to, "noise", &[BATCH, s], all(|b| &b.noise));
    put(&mut to, "smoothing", &[BATCH, a], all(|b| &b.smoothing));
    put(&mut to, "alive", &[BATCH], all(|b| &b.alive));
    put(&mut to, "found/actions", &[BATCH, a], all(|b| &b.actions));
    put(&mut to, "found/targets", &[BATCH], all(|b| &b.targets));
    put(&mut to, "found/slopes", &[BATCH, a], all(|b| &b.slopes));
    let loss = weights.action_gradient * losses.action_gradient + weights.error * losses.error;
    put(&mut to, "found/critic_loss", &[1], vec![loss]);
    for (q, gradient) in updates.critic_gradients().enumerate() {
        put_vector(&mut to, &format!("found/critic{}", q + 1), agent.critic.shape(), gradient);
    }
    let loss = updates.differentiate_policy(&agent, &mut minibatch);
    put(&mut to, "found/policy_loss", &[1], vec![loss]);
    let shape = agent.policy.network.shape();
    put_vector(&mut to, "found/policy", shape, updates.policy_gradient());
    to
}

/// Has JAX check it; the exit code and what was printed.
fn check(name: &str, tensors: &Tensors, tolerance: &str) -> (Option<i32>, String) {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.safetensors"));
    std::fs::write(&file, encode_with_header(tensors, None)).unwrap();
    let output = Command::new(python::python("tests/python/requirements-jax.txt"))
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/check_mage.py"))
        .arg(&file)
        .arg(tolerance)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), text + &String::from_utf8_lossy(&output.stderr))
}

#[test]
fn updates_equal_autodiff_in_both_precisions_and_a_wrong_gradient_is_seen() {
    let trainer = run();
    let (code, text) = check("mage-f64", &written::<f64>(&trainer), "1e-8");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("critic2/1/weight") && text.contains("slopes"), "{text}");
    let mut tensors = written::<f32>(&trainer);
    let (code, text) = check("mage-f32", &tensors, "1e-4");
    assert_eq!(code, Some(0), "{text}");
    let gradient = tensors.get_mut("found/critic1/0/bias").map(|tensor| &mut tensor.data);
    let Some(Data::F32(gradient)) = gradient else { panic!("there is no such gradient") };
    gradient.iter_mut().for_each(|g| *g *= 1.001);
    let (code, text) = check("mage-wrong", &tensors, "1e-4");
    assert_eq!(code, Some(1), "{text}");
}
