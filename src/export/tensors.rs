//! The policy as a safetensors file (docs/export.md, "safetensors").

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use crate::nn::Activation;
use crate::policy::Head;
use crate::run::Tensor;
use crate::run::encoding::encode_with_header;

use super::portable::{Affine, PortablePolicy};

/// What the layout is called in the file's own header.
const LAYOUT: &str = "ddppo-policy-1";

/// The file.
pub(super) fn file(policy: &PortablePolicy) -> Vec<u8> {
    let mut tensors = BTreeMap::new();
    let mut put = |name: &str, tensor: Tensor| drop(tensors.insert(name.to_owned(), tensor));
    let mut put_affine = |name: &str, map: &Affine| {
        put(&format!("{name}.weight"), Tensor::new(&[map.inputs, map.outputs], map.weight.clone()));
        put(&format!("{name}.bias"), Tensor::new(&[map.outputs], map.bias.clone()));
    };
    for (l, map) in policy.hidden.iter().enumerate() {
        put_affine(&format!("hidden.{l}"), map);
    }
    put_affine("mean", &policy.mean);
    if let Some(spread) = &policy.spread {
        put_affine("spread", spread);
    }
    let vector = |values: &[f32]| Tensor::new(&[values.len()], values.to_vec());
    if let Some(input) = &policy.input {
        put("input.mean", vector(&input.mean));
        put("input.deviation", vector(&input.deviation));
    }
    put("action.scale", vector(&policy.scale));
    put("action.bias", vector(&policy.bias));
    let bound = |values: &[f64]| Tensor::new(&[values.len()], values.to_vec());
    put("action.low", bound(&policy.about.low));
    put("action.high", bound(&policy.about.high));

    let activation = match policy.activation {
        Activation::Relu => "relu",
        Activation::Silu => "silu",
    };
    let head = match policy.head {
        Head::Gaussian => "gaussian",
        Head::Softplus => "softplus",
        Head::Deterministic => "deterministic",
    };
    let own = [("layout", LAYOUT), ("activation", activation), ("head", head)];
    let own = own.into_iter().map(|(name, value)| (name, Value::from(value)));
    let about: Map<String, Value> =
        own.chain(policy.properties()).map(|(name, value)| (name.to_owned(), value)).collect();
    // One entry: the order of several would be another each time.
    let header = HashMap::from([("policy".to_owned(), Value::Object(about).to_string())]);
    encode_with_header(&tensors, Some(header))
}
