//! From text to a checked [`Config`] and back: TOML files, and `section.key=value` on top.

use std::path::Path;
use std::sync::Arc;

use toml::{Table, Value};

use super::keys::{add_missing, assign, leaves, lookup};
use super::{Config, ConfigError, Description, view};

/// Reads a file as a TOML table.
///
/// # Errors
/// When it cannot be read, or is no TOML.
pub fn read_table(path: &Path) -> Result<Table, ConfigError> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => parse_table(&text, &name),
        Err(reason) => Err(ConfigError::File { path: name, action: "read", reason }),
    }
}

/// Reads a text as a TOML table; `name` is its file's name, for messages.
///
/// # Errors
/// When it is no TOML.
pub fn parse_table(text: &str, name: &str) -> Result<Table, ConfigError> {
    text.parse().map_err(|error: toml::de::Error| ConfigError::Syntax {
        place: name.to_owned(),
        line: 1 + text
            .bytes()
            .take(error.span().map_or(0, |span| span.start))
            .filter(|&b| b == b'\n')
            .count(),
        message: error.message().replace('\n', " "),
    })
}

impl Config {
    /// The configuration that a table holds; `place` is "FILE: " or nothing, for messages.
    ///
    /// # Errors
    /// On the first key that is unknown, missing, of another type or impossible.
    pub fn from_table(
        description: &Arc<Description>,
        mut table: Table,
        place: &str,
    ) -> Result<Self, ConfigError> {
        let schema = description.schema();
        add_missing(&mut table, &schema.defaults());
        let mut whole = Table::new();
        // First, so that messages about other keys can name the method.
        if let Some(name) = table.get("algorithm") {
            whole.insert("algorithm".to_owned(), name.clone());
        }
        for (key, value) in leaves(&table) {
            assign(&mut whole, schema, &key, value, place)?;
        }
        let missing = schema.settings.iter().find(|setting| lookup(&whole, &setting.key).is_none());
        if let Some(setting) = missing {
            let key = setting.key.clone();
            return Err(ConfigError::MissingKey { place: place.to_owned(), key });
        }
        (description.check)(&whole)?;
        Ok(Self { run: view(&whole), table: whole, description: Arc::clone(description) })
    }

    /// The settings as a TOML file. They are in the order in which they are documented, each on a line.
    pub fn to_toml(&self) -> String {
        let schema = self.description.schema();
        let lines = |section: &str| -> String {
            let own = schema.settings.iter().filter_map(|setting| {
                let (of, name) = setting.key.split_once('.').unwrap_or(("", &setting.key));
                let value = lookup(&self.table, &setting.key)?;
                (of == section).then(|| format!("{name} = {value}\n"))
            });
            own.collect()
        };
        let sections =
            schema.sections.iter().map(|(name, _)| format!("\n[{name}]\n{}", lines(name)));
        lines("") + &sections.collect::<String>()
    }

    /// The configuration with `section.key=value` assignments on top, in order.
    ///
    /// Values are TOML; a bare word is taken as a string.
    ///
    /// # Errors
    /// On the first assignment that names no setting, has a value of another type, or leaves an impossible
    /// configuration.
    pub fn with_settings<S: AsRef<str>>(&self, assignments: &[S]) -> Result<Self, ConfigError> {
        let mut table = self.table.clone();
        for assignment in assignments {
            let given = assignment.as_ref();
            let (key, value) = given
                .split_once('=')
                .map(|(key, value)| (key.trim(), value.trim()))
                .filter(|(key, value)| !key.is_empty() && !value.is_empty())
                .ok_or_else(|| ConfigError::NoAssignment { given: given.to_owned() })?;
            assign(&mut table, self.description.schema(), key, parse_value(value), "")?;
        }
        let name = table.get("algorithm").filter(|name| name.as_str() != Some(self.algorithm()));
        if let Some(other) = name {
            return Err(ConfigError::Impossible {
                key: "algorithm".to_owned(),
                value: other.to_string(),
                expected: "chosen by `--algo`".to_owned(),
            });
        }
        Self::from_table(&self.description, table, "")
    }

    /// The configuration with the settings of another table on top; `place` is "FILE: " or nothing.
    ///
    /// # Errors
    /// As [`Config::from_table`].
    pub fn with_overlay(&self, overlay: &Table, place: &str) -> Result<Self, ConfigError> {
        let mut table = self.table.clone();
        for (key, value) in leaves(overlay) {
            assign(&mut table, self.description.schema(), &key, value, place)?;
        }
        Self::from_table(&self.description, table, place)
    }
}

/// TOML, or a bare word as a string.
fn parse_value(text: &str) -> Value {
    let parsed = format!("value = {text}").parse::<Table>().ok().filter(|table| table.len() == 1);
    parsed
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}
