//! JSON schemas of the settings of a run, for editors.

use serde_json::{Value, json};

use super::info::MethodInfo;
use super::registry::all;

/// By which rules the schemas are to be read.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// That of a method's settings, as they are in a run's `config.toml`. Keys that the program would refuse are refused.
pub fn schema(info: &MethodInfo) -> Value {
    let mut schema = info.described().schema().json().clone();
    close(&mut schema);
    let Some(object) = schema.as_object_mut() else { return schema };
    object.insert("$schema".to_owned(), DIALECT.into());
    object.insert("title".to_owned(), format!("Settings of {}", info.name).into());
    object.insert("description".to_owned(), info.summary.into());
    if let Some(algorithm) =
        object["properties"].get_mut("algorithm").and_then(Value::as_object_mut)
    {
        algorithm.insert("const".to_owned(), info.name.into());
    }
    schema
}

/// That of the settings of whichever method `algorithm` names.
pub fn schema_of_all() -> Value {
    let names: Vec<&str> = all().iter().map(|info| info.name).collect();
    // One condition a method, so that a mistake is told as that method's.
    let methods: Vec<Value> = all()
        .iter()
        .map(|info| {
            let mut then = schema(info);
            then.as_object_mut().map(|object| object.shift_remove("$schema"));
            let named = json!({ "properties": { "algorithm": { "const": info.name } } });
            json!({ "if": named, "then": then })
        })
        .collect();
    json!({
        "$schema": DIALECT,
        "title": "Settings of a run of ddppo",
        "type": "object",
        "properties": { "algorithm": { "enum": names } },
        "required": ["algorithm"],
        "allOf": methods,
    })
}

/// Lets objects have no further keys.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.get("properties").is_some_and(Value::is_object) {
                object.insert("additionalProperties".to_owned(), false.into());
            }
            object.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}
