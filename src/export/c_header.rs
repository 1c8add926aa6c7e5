//! The policy as a C99 header (docs/export.md, "C"): constant weights and one function, which needs `math.h` and allocates nothing.

use std::fmt::Write;
use std::path::Path;

use crate::nn::Activation;

use super::portable::{Affine, PortablePolicy, program};

/// Numbers in a line of a table.
const COLUMNS: usize = 8;

/// The header. Its file's name says what is in it: `left_arm.h` has `left_arm_act`.
pub(super) fn header(policy: &PortablePolicy, path: &Path) -> String {
    let name = identifier(&path.file_stem().unwrap_or_default().to_string_lossy());
    let upper = name.to_uppercase();
    let (s, a) = (policy.observation_dim(), policy.action_dim());
    let mut text = preamble(policy, &name);
    let _ = write!(
        text,
        "#ifndef DDPPO_{upper}_H\n#define DDPPO_{upper}_H\n\n#include <math.h>\n\n\
         /* Numbers in an observation and in an action. */\n\
         #define {upper}_OBSERVATIONS {s}\n#define {upper}_ACTIONS {a}\n\n\
         /* Writes the action for an observation, both in the environment's units and order. */\n\
         static inline void {name}_act(const float observation[{upper}_OBSERVATIONS], float action[{upper}_ACTIONS])\n{{\n"
    );
    let body = body(policy);
    text += &body;
    let _ = write!(text, "}}\n\n#endif /* DDPPO_{upper}_H */\n");
    text
}

/// What the file is, in a comment.
fn preamble(policy: &PortablePolicy, name: &str) -> String {
    let about = &policy.about;
    let numbers = policy.parameters()
        + policy.input.as_ref().map_or(0, |x| 2 * x.mean.len())
        + 2 * policy.action_dim();
    let widest = policy.hidden.iter().map(|map| map.outputs).max().unwrap_or(0);
    let buffers = policy.hidden.len().min(2) * widest
        + if policy.input.is_some() { policy.observation_dim() } else { 0 };
    let mut text = format!(
        "/*\n * The policy of {} by {} after {} environment steps, written by {}.\n *\n\
         \x20* {name}_act(observation, action) writes the deterministic action for an observation. It allocates nothing,\n\
         \x20* keeps nothing between two calls, and needs {} bytes of constants and about {} bytes of stack.\n *\n",
        quoted(&about.task),
        quoted(&about.method),
        about.step,
        program(),
        4 * numbers,
        4 * buffers,
    );
    for (i, (low, high)) in about.low.iter().zip(&about.high).enumerate() {
        let _ = writeln!(text, " * action[{i}] is from {low:?} to {high:?}");
    }
    text + " */\n"
}

/// The function between its braces: tables, then one loop a layer, back and forth between two buffers.
fn body(policy: &PortablePolicy) -> String {
    let mut tables = String::new();
    let mut code = String::new();
    let mut from = "observation".to_owned();
    if let Some(input) = &policy.input {
        let s = input.mean.len();
        vector(&mut tables, "input_mean", &input.mean);
        vector(&mut tables, "input_deviation", &input.deviation);
        let _ = write!(
            code,
            "    for (int i = 0; i < {s}; i++) {{\n        \
             input[i] = (observation[i] - input_mean[i]) / input_deviation[i];\n    }}\n"
        );
        from = "input".to_owned();
    }
    for (l, map) in policy.hidden.iter().enumerate() {
        let to = ["even", "odd"][l % 2];
        affine(&mut tables, &format!("hidden{l}"), map);
        let squashed = match policy.activation {
            // Not fmaxf: a NaN stays one, so that it is noticed.
            Activation::Relu => "z < 0.0f ? 0.0f : z",
            Activation::Silu => "z / (1.0f + expf(-z))",
        };
        layer(&mut code, &format!("hidden{l}"), map, &from, &format!("{to}[o] = {squashed};"));
        from = to.to_owned();
    }
    affine(&mut tables, "mean", &policy.mean);
    vector(&mut tables, "scale", &policy.scale);
    vector(&mut tables, "middle", &policy.bias);
    layer(&mut code, "mean", &policy.mean, &from, "action[o] = scale[o] * tanhf(z) + middle[o];");

    let mut buffers = String::new();
    if let Some(input) = &policy.input {
        let _ = writeln!(buffers, "    float input[{}];", input.mean.len());
    }
    for (name, first) in [("even", 0), ("odd", 1)] {
        let widest = policy.hidden.iter().skip(first).step_by(2).map(|map| map.outputs).max();
        if let Some(widest) = widest {
            let _ = writeln!(buffers, "    float {name}[{widest}];");
        }
    }
    tables + &buffers + "\n" + &code
}

/// A loop over a layer's outputs, each a sum `z` of which `then` makes something.
fn layer(code: &mut String, name: &str, map: &Affine, from: &str, then: &str) {
    let Affine { inputs, outputs, .. } = map;
    let _ = write!(
        code,
        "    for (int o = 0; o < {outputs}; o++) {{\n        float z = {name}_bias[o];\n        \
         for (int i = 0; i < {inputs}; i++) {{\n            z += {name}_weight[o][i] * {from}[i];\n        }}\n        \
         {then}\n    }}\n"
    );
}

/// The tables of a layer. A weight's rows are outputs here, so that each sum runs along memory.
fn affine(tables: &mut String, name: &str, map: &Affine) {
    let Affine { inputs, outputs, weight, bias } = map;
    let _ = writeln!(tables, "    static const float {name}_weight[{outputs}][{inputs}] = {{");
    for o in 0..*outputs {
        let row: Vec<f32> = weight.iter().skip(o).step_by(*outputs).copied().collect();
        let _ = writeln!(tables, "        {{\n{}        }},", lines(&row, "            "));
    }
    tables.push_str("    };\n");
    vector(tables, &format!("{name}_bias"), bias);
}

fn vector(tables: &mut String, name: &str, values: &[f32]) {
    let (n, lines) = (values.len(), lines(values, "        "));
    let _ = write!(tables, "    static const float {name}[{n}] = {{\n{lines}    }};\n");
}

/// Numbers as C writes them, to the bit.
fn lines(values: &[f32], indent: &str) -> String {
    let line = |values: &[f32]| {
        // The shortest decimals that are read as the same number.
        let numbers: Vec<String> = values.iter().map(|value| format!("{value:e}f,")).collect();
        format!("{indent}{}\n", numbers.join(" "))
    };
    values.chunks(COLUMNS).map(line).collect()
}

/// A name that C and C++ take, of small letters, digits and single underscores, none at the ends: of others they keep some for themselves.
fn identifier(text: &str) -> String {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let name = words.collect::<Vec<_>>().join("_");
    match name.chars().next() {
        None => "policy".to_owned(),
        Some('0'..='9') => format!("policy_{name}"),
        Some(_) => name,
    }
}

/// A name in a comment, without what could end it or mean something to the preprocessor.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.' | '+');
    text.chars().map(|c| if plain(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_becomes_an_identifier() {
        for (text, name) in [
            ("policy", "policy"),
            ("Left Arm-2", "left_arm_2"),
            ("__x__y", "x_y"),
            ("7dof", "policy_7dof"),
            ("größe", "gr_e"),
            ("手", "policy"),
            ("", "policy"),
        ] {
            assert_eq!(identifier(text), name, "{text}");
        }
        assert_eq!(quoted("Arm-2 */ ??/\\\n"), "Arm-2 __ _____");
    }
}
