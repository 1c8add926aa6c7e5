//! Which of the measured numbers a curve shows.

use std::collections::BTreeSet;

use crate::config::suggest;
use crate::run::metrics::{Line, as_number};

/// The kind of the lines that have returns.
const EVALUATION: &str = "evaluation";
/// The returns' mean, and the deviation that belongs to it.
const RETURN: (&str, &str) = ("return_mean", "return_std");
/// What stands before the names of wall-clock figures.
const TIME: &str = "time.";

/// A number of the lines of `metrics.jsonl`, by its name in docs/metrics.md.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Of lines of this kind only.
    kind: Option<String>,
    /// Its key there; `time.environment` for one of the wall-clock figures.
    name: String,
}

/// One value: step, value, deviation where it is known.
pub(super) type Score = (u64, f64, f64);

impl Metric {
    /// Evaluation returns.
    pub fn returns() -> Self {
        Self { kind: Some(EVALUATION.to_owned()), name: RETURN.0.to_owned() }
    }

    /// The metric that a word names: `critic_loss`, `train/critic_loss`, `time.policy`, `model/transitions`.
    pub fn named(word: &str) -> Self {
        match word.split_once('/') {
            Some((kind, name)) => Self { kind: Some(kind.to_owned()), name: name.to_owned() },
            None => Self { kind: None, name: word.to_owned() },
        }
    }

    /// Whether it is the evaluation return, of which there are published curves.
    pub fn is_return(&self) -> bool {
        self.kind.as_deref().is_none_or(|kind| kind == EVALUATION) && self.name == RETURN.0
    }

    /// Its name alone, without the kind.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As a word that [`Metric::named`] takes.
    pub fn word(&self) -> String {
        self.kind.as_ref().map_or(String::new(), |kind| format!("{kind}/")) + &self.name
    }

    /// What the vertical axis is called.
    pub fn axis(&self) -> String {
        if self.is_return() {
            "evaluation return".to_owned()
        } else {
            self.word().replace('_', " ")
        }
    }

    /// Its values.
    pub(super) fn values(&self, lines: &[Line]) -> Vec<Score> {
        let value = |line: &Line| {
            let value = match self.name.strip_prefix(TIME) {
                Some(name) => as_number(line.values.get("time")?.get(name)?)?,
                None => line.get(&self.name)?,
            };
            let spread = if self.is_return() { line.get(RETURN.1) } else { None };
            Some((line.step, value, spread.unwrap_or(0.0)))
        };
        // Without a kind: of the first that has such a number.
        let first = || lines.iter().find(|line| value(line).is_some()).map(|line| &line.kind);
        let Some(kind) = self.kind.as_ref().or_else(first) else { return Vec::new() };
        lines.iter().filter(|line| line.kind == *kind).filter_map(value).collect()
    }
}

/// All that [`Metric::named`] finds in some lines, with their kinds.
pub(super) fn words(lines: &[Line]) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    for Line { kind, values, .. } in lines {
        let numbers = values.iter().filter(|(_, value)| as_number(value).is_some());
        words.extend(numbers.map(|(name, _)| format!("{kind}/{name}")));
        let times = values.get("time").and_then(|time| time.as_object()).into_iter().flatten();
        words.extend(times.map(|(name, _)| format!("{kind}/{TIME}{name}")));
    }
    words
}

/// What to say behind the name of a metric that no run has: the nearest of those that there are, or all of them.
pub(super) fn hint(word: &str, words: &BTreeSet<String>) -> String {
    let names = words.iter().filter_map(|word| word.split_once('/')).map(|(_, name)| name);
    // With the kind in mind, without it, and with the kind taken for a part of the name, as in `critic/loss`.
    let joined = word.replace('/', "_");
    let near = suggest::nearest(word, words.iter().map(String::as_str))
        .or_else(|| suggest::nearest(word, names.clone()))
        .or_else(|| suggest::nearest(&joined, names));
    match near {
        Some(near) => format!(" (did you mean `{near}`?)"),
        None if words.is_empty() => ": nothing was measured yet".to_owned(),
        None => {
            let all: Vec<&str> = words.iter().map(String::as_str).collect();
            format!("; there are {}", all.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Vec<Line> {
        [
            r#"{"step":1,"kind":"train","critic_loss":2.5,"alpha":0.1,"time":{"policy":0.5}}"#,
            r#"{"step":2,"kind":"train","critic_loss":"NaN","time":{"policy":0.25}}"#,
            r#"{"step":2,"kind":"evaluation","return_mean":7,"return_std":3,"returns":[4,10],"time":{"evaluation":1}}"#,
        ]
        .map(|line| Line::parse(line).unwrap())
        .to_vec()
    }

    #[test]
    fn metrics_are_found_with_and_without_their_kind() {
        let values = |word: &str| Metric::named(word).values(&lines());
        assert_eq!(values("alpha"), [(1, 0.1, 0.0)]);
        assert_eq!(values("train/critic_loss")[0], (1, 2.5, 0.0));
        assert!(values("critic_loss")[1].1.is_nan());
        assert_eq!(values("time.policy"), [(1, 0.5, 0.0), (2, 0.25, 0.0)]);
        assert_eq!(values("return_mean"), [(2, 7.0, 3.0)]);
        for none in ["model/alpha", "returns", "time", "step", "alfa", ""] {
            assert_eq!(values(none), [], "{none}");
        }
        let all = ["evaluation/return_mean", "evaluation/return_std", "evaluation/time.evaluation"];
        let trained = ["train/alpha", "train/critic_loss", "train/time.policy"];
        assert_eq!(words(&lines()), all.into_iter().chain(trained).map(str::to_owned).collect());
    }

    #[test]
    fn the_nearest_is_named() {
        let words = words(&lines());
        for (word, near) in [
            ("critic/loss", "critic_loss"),
            ("train/critic_los", "train/critic_loss"),
            ("alfa", "alpha"),
            ("time.polcy", "time.policy"),
        ] {
            assert_eq!(hint(word, &words), format!(" (did you mean `{near}`?)"), "{word}");
        }
        assert!(hint("zebra", &words).contains("evaluation/return_mean, "));
    }
}
