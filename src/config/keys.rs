//! Dotted keys of a table of settings: finding them, giving them values, telling what is wrong with either.

use toml::{Table, Value};

use super::error::{ConfigError, require};
use super::schema::{Schema, Setting, SettingKind, insert};
use super::suggest;

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
pub(super) fn leaves(table: &Table) -> Vec<(String, Value)> {
    let mut out = Vec::new();
    for (name, value) in table {
        match value {
            Value::Table(section) => {
                let inner = leaves(section).into_iter();
                out.extend(inner.map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            value => out.push((name.clone(), value.clone())),
        }
    }
    out
}

/// The value or section of a key.
pub(super) fn lookup<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        Some((section, rest)) => lookup(table.get(section)?.as_table()?, rest),
        None => table.get(key),
    }
}

/// Adds to `table` what only `from` has.
pub(super) fn add_missing(table: &mut Table, from: &Table) {
    for (key, value) in from {
        match (table.get_mut(key), value) {
            (Some(Value::Table(section)), Value::Table(from)) => add_missing(section, from),
            (Some(_), _) => {}
            (None, value) => drop(table.insert(key.clone(), value.clone())),
        }
    }
}

/// Gives `key` a value of its kind, within its range.
pub(super) fn assign(
    table: &mut Table,
    schema: &Schema,
    key: &str,
    value: Value,
    place: &str,
) -> Result<(), ConfigError> {
    let setting = schema.find(key).ok_or_else(|| unknown(key, table, schema, place))?;
    let value = fit(setting, value, place)?;
    in_range(setting, &value)?;
    insert(table, key, value);
    Ok(())
}

/// The error for a key that is no setting.
fn unknown(key: &str, table: &Table, schema: &Schema, place: &str) -> ConfigError {
    let keys = || schema.settings.iter().map(|setting| setting.key.as_str());
    let section = format!("{key}.");
    let names: Vec<&str> = keys().filter_map(|full| full.strip_prefix(&section)).collect();
    let hint = if !names.is_empty() {
        format!(": it is a section, with {}", names.join(", "))
    } else if let Some(full) = keys().find(|full| full.rsplit('.').next() == Some(key)) {
        // Somebody who forgot the section gets the key that ends so.
        format!(" (did you mean `{full}`?)")
    } else {
        let method = table.get("algorithm").and_then(Value::as_str).unwrap_or("the method");
        match suggest::hint(key, keys()) {
            hint if hint.is_empty() => format!(" in {method}: docs/configuration.md lists them"),
            hint => hint,
        }
    };
    ConfigError::UnknownKey { place: place.to_owned(), key: key.to_owned(), hint }
}

/// The value, if it is of the setting's kind; whole numbers are fine where real ones are needed.
fn fit(setting: &Setting, value: Value, place: &str) -> Result<Value, ConfigError> {
    let wrong = |value: &Value, expected: String| ConfigError::WrongType {
        place: place.to_owned(),
        key: setting.key.clone(),
        expected,
        value: value.to_string(),
    };
    let number = |value: Value| match value {
        Value::Integer(whole) => Ok(Value::Float(whole as f64)),
        Value::Float(_) => Ok(value),
        other => Err(wrong(&other, "a number, such as 0.5 or 1e-3".to_owned())),
    };
    match (&setting.kind, value) {
        (SettingKind::Whole(..), Value::Integer(whole)) if whole >= 0 => Ok(Value::Integer(whole)),
        (SettingKind::Whole(low, high), value) => match exact(&value) {
            Some(whole) => Ok(Value::Integer(whole)),
            None => Err(wrong(&value, format!("a whole number from {low} to {high}"))),
        },
        (SettingKind::Number(_), value) => number(value),
        (SettingKind::Flag, value @ Value::Boolean(_)) => Ok(value),
        (SettingKind::Flag, value) => Err(wrong(&value, "`true` or `false`".to_owned())),
        (SettingKind::Text(_), value @ Value::String(_)) => Ok(value),
        (SettingKind::Text(_), value) => Err(wrong(&value, "a word".to_owned())),
        (SettingKind::Choice(choices), value) => {
            let names = || choices.iter().map(|(name, _)| name.as_str());
            match value.as_str().filter(|&word| names().any(|name| name == word)) {
                Some(_) => Ok(value),
                None => {
                    let shown: Vec<String> = names().map(|name| format!("`{name}`")).collect();
                    Err(wrong(&value, format!("one of {}", shown.join(", "))))
                }
            }
        }
        (SettingKind::Numbers(_), Value::Array(items)) => {
            Ok(Value::Array(items.into_iter().map(number).collect::<Result<_, _>>()?))
        }
        (SettingKind::Numbers(_), value) => {
            Err(wrong(&value, "a list of numbers, such as [1e-4, 1e-4]".to_owned()))
        }
    }
}

/// 1e6 is a whole number, too.
fn exact(value: &Value) -> Option<i64> {
    let number = value.as_float()?;
    (number >= 0.0 && number.fract() == 0.0 && number < 9e15).then_some(number as i64)
}

fn in_range(setting: &Setting, value: &Value) -> Result<(), ConfigError> {
    let key = &setting.key;
    let within = |range: super::schema::Range, value: f64| {
        require(range.holds(value), key, value, range.to_string())
    };
    match (&setting.kind, value) {
        (&SettingKind::Whole(low, high), &Value::Integer(whole)) => {
            let holds = (low..=high).contains(&(whole as u64));
            require(holds, key, whole, format!("from {low} to {high}"))
        }
        (&SettingKind::Number(range), &Value::Float(number)) => within(range, number),
        (&SettingKind::Numbers(range), Value::Array(items)) => {
            items.iter().filter_map(Value::as_float).try_for_each(|number| within(range, number))
        }
        (SettingKind::Text(false), Value::String(text)) => {
            require(!text.is_empty(), key, "empty", "a name")
        }
        _ => Ok(()),
    }
}
