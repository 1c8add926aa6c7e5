//! Dotted keys of a configuration as a TOML table: finding them, giving them values, telling what is wrong with either.

use toml::{Table, Value};

use super::reference::complete;
use super::suggest;
use super::{Config, ConfigError};

/// The keys whose values differ, as (key, in `a`, in `b`).
pub fn differences(a: &Table, b: &Table) -> Vec<(String, String, String)> {
    let show =
        |value: Option<&Value>| value.map_or_else(|| "absent".to_owned(), ToString::to_string);
    let mut keys: Vec<String> =
        leaves(a).into_iter().chain(leaves(b)).map(|(key, _)| key).collect();
    keys.sort();
    keys.dedup();
    keys.into_iter()
        .filter_map(|key| {
            let (in_a, in_b) = (lookup(a, &key), lookup(b, &key));
            (in_a != in_b).then(|| (key.clone(), show(in_a), show(in_b)))
        })
        .collect()
}

/// All settings with their full keys.
pub(crate) fn leaves(table: &Table) -> Vec<(String, Value)> {
    let mut out = Vec::new();
    for (name, value) in table {
        match value {
            Value::Table(section) => {
                out.extend(
                    leaves(section)
                        .into_iter()
                        .map(|(key, value)| (format!("{name}.{key}"), value)),
                );
            }
            value => out.push((name.clone(), value.clone())),
        }
    }
    out
}

/// The value or section of a key.
pub(crate) fn lookup<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        Some((section, rest)) => lookup(table.get(section)?.as_table()?, rest),
        None => table.get(key),
    }
}

/// Gives `key` a value of the right type, in a table that is a whole configuration before and after.
pub(crate) fn assign(
    table: &mut Table,
    key: &str,
    value: Value,
    place: &str,
) -> Result<(), ConfigError> {
    let example = match lookup(table, key) {
        Some(value) if !value.is_table() => value,
        _ => return Err(unknown(key, table, place)),
    };
    let fitted = fit(key, example, value, place)?;
    let shown = fitted.to_string();
    let mut parts = key.split('.');
    let first = parts.next().unwrap_or_default();
    let slot = parts.try_fold(&mut table[first], |value, part| value.get_mut(part));
    *slot.expect("`lookup` has just found it") = fitted;
    // One key at a time, so that a value that only the types refuse is blamed on its own key.
    complete(table.clone()).try_into::<Config>().map(drop).map_err(|error| ConfigError::WrongType {
        place: place.to_owned(),
        key: key.to_owned(),
        expected: expectation(&error),
        value: shown,
    })
}

/// The error for a key that is no setting.
fn unknown(key: &str, table: &Table, place: &str) -> ConfigError {
    let hint = match lookup(table, key) {
        Some(Value::Table(section)) => {
            let names: Vec<&str> = section.keys().map(String::as_str).collect();
            format!(": it is a section, with {}", names.join(", "))
        }
        _ if lookup(&complete(Table::new()), key).is_some() => {
            let method = table.get("algorithm").and_then(Value::as_str).unwrap_or("the method");
            format!(": {method} has no use for it")
        }
        _ => {
            let keys: Vec<String> = leaves(table).into_iter().map(|(key, _)| key).collect();
            // Somebody who forgot the section gets the key that ends so.
            let ending = keys.iter().find(|full| full.rsplit('.').next() == Some(key));
            ending.map_or_else(
                || suggest::hint(key, keys.iter().map(String::as_str)),
                |full| format!(" (did you mean `{full}`?)"),
            )
        }
    };
    ConfigError::UnknownKey { place: place.to_owned(), key: key.to_owned(), hint }
}

/// The value, if it is of the type of `example`; whole numbers are fine where real ones are needed.
fn fit(key: &str, example: &Value, value: Value, place: &str) -> Result<Value, ConfigError> {
    let wrong = |value: &Value, expected: &str| ConfigError::WrongType {
        place: place.to_owned(),
        key: key.to_owned(),
        expected: expected.to_owned(),
        value: value.to_string(),
    };
    match (example, value) {
        (Value::Float(_), Value::Integer(whole)) => Ok(Value::Float(whole as f64)),
        (Value::Integer(_), Value::Integer(whole)) if whole >= 0 => Ok(Value::Integer(whole)),
        (Value::Integer(_), value) => {
            Err(wrong(&value, "a whole number of at least 0, such as 1000"))
        }
        (Value::Float(_), value @ Value::Float(_)) => Ok(value),
        (Value::Float(_), value) => Err(wrong(&value, "a number, such as 0.5 or 1e-3")),
        (Value::Boolean(_), value @ Value::Boolean(_)) => Ok(value),
        (Value::Boolean(_), value) => Err(wrong(&value, "`true` or `false`")),
        (Value::String(_), value @ Value::String(_)) => Ok(value),
        (Value::String(_), value) => Err(wrong(&value, "a word")),
        (Value::Array(_), Value::Array(items)) => {
            let number = Value::Float(0.0);
            let items: Result<Vec<Value>, _> =
                items.into_iter().map(|item| fit(key, &number, item, place)).collect();
            Ok(Value::Array(items?))
        }
        (Value::Array(_), value) => Err(wrong(&value, "a list of numbers, such as [1e-4, 1e-4]")),
        (_, value) => Err(wrong(&value, "of another type")),
    }
}

/// What serde says is right, out of "unknown variant `x`, expected `y`".
fn expectation(error: &toml::de::Error) -> String {
    let message = error.message().lines().next().unwrap_or_default();
    let expected = message.split_once("expected ").map_or(message, |(_, expected)| expected);
    expected
        .strip_prefix("one of ")
        .map_or_else(|| expected.to_owned(), |list| format!("one of {list}"))
}
