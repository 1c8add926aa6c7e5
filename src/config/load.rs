//! From text to a validated [`Config`] and back: TOML files, and `section.key=value` on top.

use std::path::Path;

use toml::{Table, Value};

use super::keys::{assign, leaves, lookup};
use super::reference::{add_later_keys, complete, known, without_unused};
use super::{Algorithm, Config, ConfigError};

impl Config {
    /// Reads a whole configuration; `name` is its file's name, for messages.
    ///
    /// # Errors
    /// On the first key that is unknown, missing, of another type or impossible.
    pub fn from_toml(text: &str, name: &str) -> Result<Self, ConfigError> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| ConfigError::Syntax {
            place: name.to_owned(),
            line: 1 + text
                .bytes()
                .take(error.span().map_or(0, |span| span.start))
                .filter(|&b| b == b'\n')
                .count(),
            message: error.message().replace('\n', " "),
        })?;
        Self::from_table(table, &format!("{name}: "))
    }

    /// Reads a configuration file.
    ///
    /// # Errors
    /// As [`Config::from_toml`], and when the file cannot be read.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|reason| ConfigError::File {
            path: name.clone(),
            action: "read",
            reason,
        })?;
        Self::from_toml(&text, &name)
    }

    /// The method's settings as a TOML file, which [`Config::from_toml`] reads back to an equal one. They are in the order
    /// in which they are documented, and each on a line.
    pub fn to_toml(&self) -> String {
        let whole =
            toml::to_string(self).expect("a validated configuration has no value that TOML lacks");
        let mut section = String::new();
        let mut used = |line: &&str| {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                section = name.to_owned();
                return self.algorithm.uses(name);
            }
            let key = line.split(" = ").next().unwrap_or_default();
            let full = if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
            self.algorithm.uses(&full)
        };
        whole.lines().filter(&mut used).flat_map(|line| [line, "\n"]).collect()
    }

    /// The configuration with `section.key=value` assignments on top, in order.
    ///
    /// Values are TOML; a bare word is taken as a string.
    ///
    /// # Errors
    /// On the first assignment that names no setting, has a value of another type, or leaves an impossible
    /// configuration.
    pub fn with_settings(&self, assignments: &[String]) -> Result<Self, ConfigError> {
        let mut table = self.to_table();
        for assignment in assignments {
            let (key, value) = assignment
                .split_once('=')
                .map(|(key, value)| (key.trim(), value.trim()))
                .filter(|(key, value)| !key.is_empty() && !value.is_empty())
                .ok_or_else(|| ConfigError::NoAssignment { given: assignment.clone() })?;
            assign(&mut table, key, parse_value(value), "")?;
        }
        if let Some(other) =
            table.get("algorithm").filter(|name| name.as_str() != Some(self.algorithm.name()))
        {
            return Err(ConfigError::Impossible {
                key: "algorithm",
                value: other.to_string(),
                expected: "chosen by `--algo`".to_owned(),
            });
        }
        Self::from_table(table, "")
    }

    /// The configuration with the settings of a compiled-in TOML table on top.
    pub(crate) fn with_overlay(&self, text: &str) -> Result<Self, ConfigError> {
        let mut table = self.to_table();
        let overlay: Table = text.parse().expect("a test reads every overlay");
        for (key, value) in leaves(&overlay) {
            assign(&mut table, &key, value, "")?;
        }
        Self::from_table(table, "")
    }

    /// The settings that the method has.
    pub(crate) fn to_table(&self) -> Table {
        let whole =
            Table::try_from(self).expect("a validated configuration has no value that TOML lacks");
        without_unused(whole, self.algorithm)
    }

    fn from_table(mut table: Table, place: &str) -> Result<Self, ConfigError> {
        add_later_keys(&mut table);
        let algorithm = match table.get("algorithm") {
            Some(Value::String(name)) => Algorithm::parse(name).ok(),
            _ => None,
        };
        // A method that is none is blamed on its key below, as any other value is.
        let mut whole = known(algorithm.unwrap_or(Algorithm::Ddppo));
        for (key, value) in leaves(&table) {
            assign(&mut whole, &key, value, place)?;
        }
        if let Some((key, _)) =
            leaves(&whole).into_iter().find(|(key, _)| lookup(&table, key).is_none())
        {
            return Err(ConfigError::MissingKey { place: place.to_owned(), key });
        }
        let config: Self = complete(whole).try_into().expect("`assign` has tried after every key");
        config.validate()?;
        Ok(config)
    }
}

/// TOML, or a bare word as a string.
fn parse_value(text: &str) -> Value {
    let parsed = format!("value = {text}").parse::<Table>().ok().filter(|table| table.len() == 1);
    parsed
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{GradientSource, differences};

    fn hopper() -> Config {
        Config::preset(Algorithm::Ddppo, "Hopper").unwrap()
    }

    fn set(assignment: &str) -> Result<Config, ConfigError> {
        hopper().with_settings(&[assignment.to_owned()])
    }

    #[test]
    fn settings_reach_their_fields() {
        let config = hopper()
            .with_settings(&[
                "policy.horizon = 4".to_owned(),
                "gradient_loss.weight=3".to_owned(),
                "policy.gradient_source=prediction_model".to_owned(),
                "model.single_model=true".to_owned(),
                "model.layers=1".to_owned(),
                "model.weight_decay=[0, 1e-4]".to_owned(),
            ])
            .unwrap();
        assert_eq!(config.policy.horizon, 4);
        assert_eq!(config.gradient_loss.weight, 3.0);
        assert_eq!(config.policy.gradient_source, GradientSource::PredictionModel);
        assert!(config.model.single_model);
        assert_eq!(config.model.weight_decay, [0.0, 1e-4]);
        let changed = differences(&hopper().identity(), &config.identity());
        assert_eq!(
            changed[0],
            ("gradient_loss.weight".to_owned(), "50.0".to_owned(), "3.0".to_owned())
        );
        assert_eq!(changed.len(), 6);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let config = set("gradient_loss.weight=0.30000000000000004").unwrap();
        assert_eq!(Config::from_toml(&config.to_toml(), "config.toml").unwrap(), config);
    }

    #[test]
    fn wrong_settings_are_named() {
        let table = [
            (
                "policy.horizn=2",
                "there is no setting `policy.horizn` (did you mean `policy.horizon`?)",
            ),
            ("horizon=2", "there is no setting `horizon` (did you mean `policy.horizon`?)"),
            (
                "polcy.horizon=2",
                "there is no setting `polcy.horizon` (did you mean `policy.horizon`?)",
            ),
            ("xyzzy=2", "there is no setting `xyzzy`"),
            ("evaluation=2", "`evaluation`: it is a section, with episodes, every_steps"),
            ("seed.x=2", "there is no setting `seed.x`"),
            ("a..b=2", "there is no setting `a..b`"),
            ("policy.horizon", "`--set policy.horizon` is not of the form KEY=VALUE"),
            ("=2", "is not of the form KEY=VALUE"),
            ("policy.horizon=", "is not of the form KEY=VALUE"),
            (
                "policy.horizon=two",
                "`policy.horizon` must be a whole number of at least 0, such as 1000, not `\"two\"`",
            ),
            ("policy.horizon=2.5", "must be a whole number"),
            ("policy.horizon=-1", "must be a whole number of at least 0"),
            ("critic.learning_rate=fast", "`critic.learning_rate` must be a number"),
            ("model.single_model=1", "must be `true` or `false`"),
            ("model.weight_decay=1e-4", "must be a list of numbers"),
            ("model.weight_decay=[\"a\"]", "must be a number"),
            (
                "policy.gradient_source=modle",
                "`policy.gradient_source` must be one of `gradient_model`, `prediction_model`, `sampled_step`, not `\"modle\"`",
            ),
            (
                "algorithm=ppo",
                "`algorithm` must be one of `ddppo`, `sac`, `mbpo`, `maac`, not `\"ppo\"`",
            ),
            ("algorithm=sac", "`algorithm` is \"sac\", but must be chosen by `--algo`"),
            ("task=3", "`task` must be a word"),
        ];
        for (assignment, expected) in table {
            let message = set(assignment).unwrap_err().to_string();
            assert!(message.contains(expected), "{assignment}: {message}");
            assert!(!message.contains('\n'), "{assignment}: {message}");
        }
    }

    #[test]
    fn wrong_files_are_named() {
        let good = hopper().to_toml();
        let table = [
            (good.replace("horizon = 2", "horizon = "), "run/config.toml, line "),
            (
                good.replace("horizon = 2", "horizn = 2"),
                "run/config.toml: there is no setting `policy.horizn`",
            ),
            (
                good.replace("horizon = 2", ""),
                "run/config.toml: the setting `policy.horizon` is missing",
            ),
            (
                good.replace("horizon = 2", "horizon = true"),
                "run/config.toml: `policy.horizon` must be",
            ),
            (good.replace("[policy]", "[[policy]]"), "run/config.toml: "),
            (
                good.replace("\"gradient_model\"", "\"model\""),
                "run/config.toml: `policy.gradient_source` must be one of `gradient_model`",
            ),
            (String::new(), "is missing"),
        ];
        for (text, expected) in table {
            let message = Config::from_toml(&text, "run/config.toml").unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn methods_have_only_the_settings_that_they_use() {
        let sac = Config::preset(Algorithm::Sac, "Hopper").unwrap();
        for (assignment, expected) in [
            ("model.hidden=100", "there is no setting `model.hidden`"),
            ("policy.horizon=3", "there is no setting `policy.horizon`"),
            ("analysis.every_steps=9", "no setting `analysis.every_steps`: sac has no use for it"),
            ("evaluation.evry_steps=9", "(did you mean `evaluation.every_steps`?)"),
        ] {
            let error = sac.with_settings(&[assignment.to_owned()]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        for &algorithm in Algorithm::ALL {
            let config = Config::preset(algorithm, "Hopper").unwrap();
            let written: Table = config.to_toml().parse().unwrap();
            for key in algorithm.unused() {
                assert!(lookup(&written, key).is_none(), "{key} of {algorithm:?}");
                assert!(lookup(&known(Algorithm::Ddppo), key).is_some(), "{key} is no setting");
            }
            assert_eq!(Config::from_toml(&config.to_toml(), "config.toml").unwrap(), config);
        }
    }

    #[test]
    fn damaged_files_give_errors_not_panics() {
        let good = hopper().to_toml();
        let mut rng = crate::rng::Rng::new(0, "config fuzz");
        for _ in 0..2000 {
            let mut bytes = good.clone().into_bytes();
            for _ in 0..=rng.below(3) {
                let at = rng.below(bytes.len());
                match rng.below(3) {
                    0 => bytes[at] = b"=[]\"'.#\n0-9eE_ {},a"[rng.below(19)],
                    1 => bytes.truncate(at.max(1)),
                    _ => drop(bytes.remove(at)),
                }
            }
            let text = String::from_utf8_lossy(&bytes);
            match Config::from_toml(&text, "config.toml") {
                Ok(config) => config.validate().expect("what is read is valid"),
                Err(error) => assert!(
                    error.to_string().starts_with("config.toml")
                        || error.to_string().starts_with('`')
                ),
            }
            let assignment = text.lines().nth(rng.below(40)).unwrap_or_default();
            if let Ok(config) = set(assignment) {
                config.validate().expect("what is accepted is valid");
            }
        }
    }
}
