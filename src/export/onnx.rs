//! The policy as an ONNX model (docs/export.md, "ONNX"), by the field numbers of the published `onnx.proto`.

use crate::nn::Activation;
use crate::run::protobuf::Message;

use super::portable::{Affine, PortablePolicy, program};

/// Version of the format; that of ONNX 1.8, which came with [`OPSET`].
const IR_VERSION: u64 = 7;
/// Version of the operators. All that are used mean the same in every later one.
const OPSET: u64 = 13;
/// `TensorProto.DataType.FLOAT`.
const FLOAT: u64 = 1;

/// Name of the input, `[batch, observation_dim]`.
const OBSERVATION: &str = "observation";
/// Name of the output, `[batch, action_dim]`.
const ACTION: &str = "action";

/// The model's file.
pub(super) fn model(policy: &PortablePolicy) -> Vec<u8> {
    let about = &policy.about;
    let opset = Message::new().text(1, "").whole(2, OPSET);
    let mut model = Message::new()
        .whole(1, IR_VERSION)
        .text(2, "ddppo")
        .text(3, env!("CARGO_PKG_VERSION"))
        .whole(5, about.step)
        .text(6, &description(policy))
        .message(7, &graph(policy))
        .message(8, &opset);
    for (name, value) in policy.properties() {
        // Metadata are texts: a word as it is, all else as JSON.
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        model = model.message(14, &Message::new().text(1, name).text(2, &value));
    }
    model.encoded().to_vec()
}

fn description(policy: &PortablePolicy) -> String {
    let about = &policy.about;
    format!(
        "The deterministic policy of {} by {} after {} environment steps, written by {}: the action in the environment's units, \
         between action_low and action_high, for a raw observation.",
        about.task,
        about.method,
        about.step,
        program()
    )
}

/// Nodes one after the other, each working on what the last one gave.
struct Chain {
    nodes: Vec<Message>,
    tensors: Vec<Message>,
    /// Name of what the last node gave.
    at: String,
}

impl Chain {
    /// A node that turns the chain's end, and tensors, into `to`.
    fn node(&mut self, operator: &str, tensors: &[&str], to: &str) {
        let mut node = Message::new().text(1, &self.at);
        for tensor in tensors {
            node = node.text(1, tensor);
        }
        self.nodes.push(node.text(2, to).text(3, to).text(4, operator));
        to.clone_into(&mut self.at);
    }

    /// A constant.
    fn tensor(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        let mut tensor = Message::new();
        for &size in shape {
            tensor = tensor.whole(1, size as u64);
        }
        // Raw numbers are little-endian, whatever the machine.
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensors.push(tensor.whole(2, FLOAT).text(8, name).bytes(9, &raw));
    }

    /// With one number a column.
    fn by_column(&mut self, operator: &str, name: &str, values: &[f32], to: &str) {
        self.tensor(name, &[values.len()], values);
        self.node(operator, &[name], to);
    }

    fn affine(&mut self, name: &str, map: &Affine) {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        self.tensor(&weight, &[map.inputs, map.outputs], &map.weight);
        self.tensor(&bias, &[map.outputs], &map.bias);
        self.node("Gemm", &[&weight, &bias], &format!("{name}.sum"));
    }
}

fn graph(policy: &PortablePolicy) -> Message {
    let mut chain = Chain { nodes: Vec::new(), tensors: Vec::new(), at: OBSERVATION.to_owned() };
    if let Some(input) = &policy.input {
        chain.by_column("Sub", "input.mean", &input.mean, "centred");
        chain.by_column("Div", "input.deviation", &input.deviation, "standardised");
    }
    for (l, map) in policy.hidden.iter().enumerate() {
        let name = format!("hidden.{l}");
        chain.affine(&name, map);
        let to = format!("{name}.output");
        match policy.activation {
            Activation::Relu => chain.node("Relu", &[], &to),
            Activation::Silu => {
                // z·σ(z): a product of what the sum gave and its own sigmoid.
                let (sum, sigmoid) = (chain.at.clone(), format!("{name}.sigmoid"));
                chain.node("Sigmoid", &[], &sigmoid);
                chain.node("Mul", &[&sum], &to);
            }
        }
    }
    chain.affine("mean", &policy.mean);
    chain.node("Tanh", &[], "squashed");
    chain.by_column("Mul", "action.scale", &policy.scale, "scaled");
    chain.by_column("Add", "action.bias", &policy.bias, ACTION);

    let mut graph = Message::new();
    for node in &chain.nodes {
        graph = graph.message(1, node);
    }
    graph = graph.text(2, "policy");
    for tensor in &chain.tensors {
        graph = graph.message(5, tensor);
    }
    graph
        .message(11, &rows_of(OBSERVATION, policy.observation_dim()))
        .message(12, &rows_of(ACTION, policy.action_dim()))
}

/// `ValueInfoProto` of a matrix with as many rows as the user likes.
fn rows_of(name: &str, columns: usize) -> Message {
    let batch = Message::new().text(2, "batch");
    let shape =
        Message::new().message(1, &batch).message(1, &Message::new().whole(1, columns as u64));
    let tensor = Message::new().whole(1, FLOAT).message(2, &shape);
    Message::new().text(1, name).message(2, &Message::new().message(1, &tensor))
}
