//! Measurements of a run: one JSON object a line in `metrics.jsonl`, documented name by name in `docs/metrics.md`.

use serde_json::{Map, Value};

/// The kinds a line can have.
pub const KINDS: [&str; 4] = ["train", "model", "rollout", "evaluation"];

/// One line of `metrics.jsonl`. Everything outside `time` is a function of the configuration and its seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// What was measured: one of [`KINDS`].
    pub kind: &'static str,
    /// Environment steps done when it was measured.
    pub step: u64,
    /// Measured values, in the order they were put in.
    pub values: Map<String, Value>,
    /// Wall-clock figures, in seconds. The only part that differs between two runs of one seed.
    pub time: Map<String, Value>,
}

impl Record {
    /// An empty record of `kind` at `step`.
    pub fn new(kind: &'static str, step: u64) -> Self {
        debug_assert!(KINDS.contains(&kind), "`{kind}` is no kind of record");
        Self { kind, step, values: Map::new(), time: Map::new() }
    }

    /// Adds a measured number; see [`number`] for those that are not finite.
    pub fn put(&mut self, name: &str, value: f64) {
        self.values.insert(name.to_owned(), number(value));
    }

    /// Adds a count.
    pub fn put_count(&mut self, name: &str, value: u64) {
        self.values.insert(name.to_owned(), Value::from(value));
    }

    /// Adds a list of measured numbers.
    pub fn put_list(&mut self, name: &str, values: &[f64]) {
        self.values.insert(name.to_owned(), values.iter().map(|&v| number(v)).collect());
    }

    /// Adds a wall-clock figure in seconds.
    pub fn put_seconds(&mut self, name: &str, seconds: f64) {
        self.time.insert(name.to_owned(), number(seconds));
    }

    /// A measured number by its name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.get(name).and_then(as_number)
    }

    /// The line to write, without its line end.
    pub fn to_line(&self) -> String {
        let mut object = Map::new();
        object.insert("step".to_owned(), Value::from(self.step));
        object.insert("kind".to_owned(), Value::from(self.kind));
        object.extend(self.values.clone());
        object.insert("time".to_owned(), Value::Object(self.time.clone()));
        Value::Object(object).to_string()
    }
}

/// A number as JSON. JSON has no NaN and no infinity: they become the strings `"NaN"`, `"inf"` and `"-inf"`, so that a
/// diverged run shows in its log instead of leaving a hole.
pub fn number(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or_else(
        || Value::from(if value.is_nan() { "NaN".to_owned() } else { value.to_string() }),
        Value::Number,
    )
}

/// The inverse of [`number`]. `None` for any other value.
pub fn as_number(value: &Value) -> Option<f64> {
    match value.as_str() {
        Some("NaN") => Some(f64::NAN),
        Some("inf") => Some(f64::INFINITY),
        Some("-inf") => Some(f64::NEG_INFINITY),
        Some(_) => None,
        None => value.as_f64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_everything_in_order() {
        let mut record = Record::new("evaluation", 250);
        record.put("return_mean", 12.5);
        record.put_list("returns", &[12.0, 13.0]);
        record.put_count("episodes", 2);
        record.put_seconds("evaluation", 0.25);
        assert_eq!(
            record.to_line(),
            r#"{"step":250,"kind":"evaluation","return_mean":12.5,"returns":[12.0,13.0],"episodes":2,"time":{"evaluation":0.25}}"#
        );
    }

    #[test]
    fn numbers_that_are_not_finite_are_written_and_read() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.1, -0.0, 5e-324] {
            let back = as_number(&number(value)).unwrap();
            assert!(
                back.to_bits() == value.to_bits() || back.is_nan() && value.is_nan(),
                "{value} became {back}"
            );
        }
        assert_eq!(number(f64::NEG_INFINITY), Value::from("-inf"));
        assert_eq!(as_number(&Value::from("nan")), None);
        assert_eq!(as_number(&Value::Null), None);
    }
}
