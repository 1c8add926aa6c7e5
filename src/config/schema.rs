//! Which settings a type has: their keys, kinds, ranges, defaults and comments, read off its JSON schema.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value as Json;
use toml::{Table, Value};

/// What a setting's value may be.
#[derive(Clone, Debug, PartialEq)]
pub enum SettingKind {
    /// A whole number, with its bounds.
    Whole(u64, u64),
    /// A number, with its bounds.
    Number(Range),
    /// `true` or `false`.
    Flag,
    /// Text; whether it may be empty.
    Text(bool),
    /// One of these words, each with what it means.
    Choice(Vec<(String, String)>),
    /// A list of numbers, with the bounds of each.
    Numbers(Range),
}

/// Bounds of a number. NaN is in none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    low: f64,
    high: f64,
    /// Whether the lower bound itself is out.
    open: bool,
}

impl Range {
    /// Whether `value` is within.
    pub fn holds(self, value: f64) -> bool {
        let above = if self.open { value > self.low } else { value >= self.low };
        above && value <= self.high
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { low, high, open } = self;
        match (*open, *high == f64::INFINITY) {
            (true, true) => write!(f, "above {low}, or inf"),
            (true, false) => write!(f, "above {low} and at most {high}"),
            (false, true) if *low == f64::NEG_INFINITY => write!(f, "a number, or inf"),
            (false, true) => write!(f, "at least {low}, or inf"),
            (false, false) => write!(f, "from {low} to {high}"),
        }
    }
}

/// One setting.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// `section.name`, or a name alone.
    pub key: String,
    /// What it means.
    pub comment: String,
    /// What it may be.
    pub kind: SettingKind,
    /// What a file without it means.
    pub default: Option<Value>,
}

/// All settings of a type, in its order.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// Names and comments of the sections.
    pub sections: Vec<(String, String)>,
    /// The settings.
    pub settings: Vec<Setting>,
    json: Json,
}

impl Schema {
    /// That of a type whose fields are settings, or sections of settings.
    pub fn of<S: JsonSchema>() -> Self {
        let mut wanted = SchemaSettings::draft2020_12();
        wanted.inline_subschemas = true;
        let json = wanted.into_generator().into_root_schema_for::<S>().to_value();
        let mut schema = Self { sections: Vec::new(), settings: Vec::new(), json: json.clone() };
        for (name, field) in properties(&json) {
            if field["type"] == "object" {
                schema.sections.push((name.clone(), comment(field)));
                for (own, field) in properties(field) {
                    schema.settings.push(setting(format!("{name}.{own}"), field));
                }
            } else {
                schema.settings.push(setting(name.clone(), field));
            }
        }
        schema
    }

    /// The JSON schema, for editors. Bounds of numbers are inclusive unless it says so; JSON has no infinity, so it says `null`.
    pub fn json(&self) -> &Json {
        &self.json
    }

    /// The setting of this key.
    pub fn find(&self, key: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }

    /// What a file means that has none of the settings that came later.
    pub fn defaults(&self) -> Table {
        let mut table = Table::new();
        for Setting { key, default, .. } in &self.settings {
            if let Some(value) = default {
                insert(&mut table, key, value.clone());
            }
        }
        table
    }
}

/// Sets a key of one or two parts.
pub(super) fn insert(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => drop(table.insert(key.to_owned(), value)),
        Some((section, name)) => {
            let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(section) = section {
                section.insert(name.to_owned(), value);
            }
        }
    }
}

fn properties(schema: &Json) -> impl Iterator<Item = (&String, &Json)> {
    schema["properties"].as_object().into_iter().flatten()
}

fn comment(field: &Json) -> String {
    field["description"].as_str().unwrap_or_default().replace('\n', " ")
}

fn setting(key: String, field: &Json) -> Setting {
    let kind = match field["type"].as_str() {
        Some("integer") => SettingKind::Whole(
            field["minimum"].as_u64().unwrap_or(0),
            field["maximum"].as_u64().unwrap_or(i64::MAX as u64),
        ),
        Some("number") => SettingKind::Number(range(field)),
        Some("boolean") => SettingKind::Flag,
        Some("array") => SettingKind::Numbers(range(&field["items"])),
        Some("string") if field["enum"].is_null() => {
            SettingKind::Text(field["minLength"].as_u64().unwrap_or(0) == 0)
        }
        _ => SettingKind::Choice(choices(field)),
    };
    let default = field.get("default").map(|value| toml_value(value, &kind));
    Setting { comment: comment(field), key, kind, default }
}

fn range(field: &Json) -> Range {
    let above = field["exclusiveMinimum"].as_f64();
    Range {
        low: above.or(field["minimum"].as_f64()).unwrap_or(f64::NEG_INFINITY),
        high: field["maximum"].as_f64().unwrap_or(f64::INFINITY),
        open: above.is_some(),
    }
}

fn choices(field: &Json) -> Vec<(String, String)> {
    let named = field["enum"].as_array().into_iter().flatten().map(|name| (name, String::new()));
    let told = field["oneOf"].as_array().into_iter().flatten();
    let told = told.flat_map(|choice| {
        let plain = choice["enum"].as_array().into_iter().flatten();
        choice.get("const").into_iter().chain(plain).map(move |name| (name, comment(choice)))
    });
    named.chain(told).filter_map(|(name, told)| Some((name.as_str()?.to_owned(), told))).collect()
}

fn toml_value(json: &Json, kind: &SettingKind) -> Value {
    match (kind, json) {
        // JSON has no infinity.
        (SettingKind::Number(_), Json::Null) => Value::Float(f64::INFINITY),
        (SettingKind::Number(_), number) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        (_, value) => Value::try_from(value).expect("a default is a plain value"),
    }
}
