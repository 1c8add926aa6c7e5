//! The list of all methods, and what is found by a method's name.

use std::path::Path;
use std::sync::Arc;

use toml::Table;

use super::info::MethodInfo;
use super::{Method, ddppo, ddppo_plus, maac, mage, mbpo, sac, steve, svg};
use crate::config::{Config, ConfigError, parse_table, read_table, suggest};
use crate::env::Task;
use crate::run::directory::{DirectoryError, config_text};

/// All methods, the paper's own first.
pub fn all() -> &'static [&'static MethodInfo] {
    &[
        &ddppo::INFO,
        &sac::INFO,
        &mbpo::INFO,
        &maac::INFO,
        &steve::INFO,
        &svg::INFO,
        &mage::INFO,
        &ddppo_plus::INFO,
    ]
}

/// The method of this name.
///
/// # Errors
/// When there is none: the message names all.
pub fn find(name: &str) -> Result<&'static MethodInfo, ConfigError> {
    all().iter().copied().find(|info| info.name == name).ok_or_else(|| {
        let names = || all().iter().map(|info| info.name);
        ConfigError::NoMethod {
            name: name.to_owned(),
            hint: suggest::hint(name, names()),
            known: names().collect::<Vec<_>>().join(", "),
        }
    })
}

/// The method that a configuration names, at the start of a run.
///
/// # Panics
/// When the configuration is of none of [`all`]: a method of one's own is built by its own [`MethodInfo`].
pub fn build(config: &Config, task: Arc<dyn Task>) -> Box<dyn Method> {
    let info = find(config.algorithm()).expect("a configuration names a known method");
    (info.build)(config, task)
}

/// The compiled-in configuration of a method on a task.
///
/// # Errors
/// When there is no such method or preset.
pub fn preset(algorithm: &str, task: &str) -> Result<Config, ConfigError> {
    find(algorithm)?.preset(task)
}

/// The variants that can be laid over the configurations of a method.
pub fn variants_of(algorithm: &str) -> impl Iterator<Item = &'static str> {
    let of = find(algorithm).map_or(&[][..], |info| info.variants);
    of.iter().map(|&(name, _)| name)
}

/// Reads a run's configuration, whichever method it is of.
///
/// # Errors
/// When it cannot be read, and on the first key that is unknown, missing, of another type or impossible.
pub fn read_config(path: &Path) -> Result<Config, ConfigError> {
    from_table(read_table(path)?, &format!("{}: ", path.display()))
}

/// The configuration of the run in a folder, without locking it.
///
/// # Errors
/// When there is no run, or its configuration cannot be used.
pub fn config_of_run(root: &Path) -> Result<Config, DirectoryError> {
    let (text, name) = config_text(root)?;
    Ok(parse_config(&text, &name)?)
}

/// Reads a run's configuration from its text; `name` is its file's name, for messages.
///
/// # Errors
/// As [`read_config`].
pub fn parse_config(text: &str, name: &str) -> Result<Config, ConfigError> {
    from_table(parse_table(text, name)?, &format!("{name}: "))
}

fn from_table(table: Table, place: &str) -> Result<Config, ConfigError> {
    let missing =
        || ConfigError::MissingKey { place: place.to_owned(), key: "algorithm".to_owned() };
    let value = table.get("algorithm").ok_or_else(missing)?;
    let known = value.as_str().and_then(|name| find(name).ok());
    let Some(info) = known else {
        let names: Vec<String> = all().iter().map(|info| format!("`{}`", info.name)).collect();
        return Err(ConfigError::WrongType {
            place: place.to_owned(),
            key: "algorithm".to_owned(),
            expected: format!("one of {}", names.join(", ")),
            value: value.to_string(),
        });
    };
    Config::from_table(&info.described(), table, place)
}
