//! What the program knows of a method before it runs: name, settings, presets, variants; and the list of all methods.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use toml::Table;

use super::{Method, ddppo, maac, mage, mbpo, sac};
use crate::config::{Config, ConfigError, Description, parse_table, read_table, suggest};
use crate::env::Task;
use crate::run::directory::{DirectoryError, config_path};

/// A method, as it is chosen by its name.
pub struct MethodInfo {
    /// As `--algo` and configurations name it.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub summary: &'static str,
    /// Its settings, made of the type that they are.
    pub description: fn() -> Description,
    /// A whole configuration, as TOML: what a preset says on top is only what differs.
    pub default: &'static str,
    /// Task names, each with the settings that differ there.
    pub tasks: &'static [(&'static str, &'static str)],
    /// What differs for robots of the user's own.
    pub robot: &'static str,
    /// Names of variants, each with its settings.
    pub variants: &'static [(&'static str, &'static str)],
    /// The method at the start of a run.
    pub build: fn(&Config, Arc<dyn Task>) -> Box<dyn Method>,
}

/// All methods, the paper's own first.
pub fn all() -> &'static [&'static MethodInfo] {
    &[&ddppo::INFO, &sac::INFO, &mbpo::INFO, &maac::INFO, &mage::INFO]
}

/// Each method's settings, described once.
static DESCRIPTIONS: LazyLock<Vec<Arc<Description>>> =
    LazyLock::new(|| all().iter().map(|info| Arc::new((info.description)())).collect());

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
    Ok(read_config(&config_path(root)?)?)
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

impl MethodInfo {
    /// Its settings.
    pub fn described(&self) -> Arc<Description> {
        let at = all().iter().position(|info| info.name == self.name);
        at.map_or_else(|| Arc::new((self.description)()), |at| Arc::clone(&DESCRIPTIONS[at]))
    }

    /// The tasks for which it has a preset.
    pub fn tasks_with_presets(&self) -> impl Iterator<Item = &'static str> {
        self.tasks.iter().map(|&(task, _)| task)
    }

    /// Its configuration on a task.
    ///
    /// # Errors
    /// When there is none: the message names the tasks that have one.
    pub fn preset(&self, task: &str) -> Result<Config, ConfigError> {
        let Some((_, overlay)) = self.tasks.iter().find(|(name, _)| *name == task) else {
            return Err(ConfigError::NoPreset {
                task: task.to_owned(),
                hint: suggest::hint(task, self.tasks_with_presets()),
                known: self.tasks_with_presets().collect::<Vec<_>>().join(", "),
            });
        };
        self.overlaid(task, overlay)
    }

    /// Its configuration for a robot of the user's own, whose task has this name.
    ///
    /// # Errors
    /// When the name cannot be that of a task.
    pub fn for_robot(&self, name: &str) -> Result<Config, ConfigError> {
        self.overlaid(name, self.robot)
    }

    fn overlaid(&self, task: &str, overlay: &str) -> Result<Config, ConfigError> {
        let mut table = parse_table(self.default, "the preset")?;
        table.insert("task".to_owned(), task.into());
        let place = format!("the preset of {task}: ");
        let default = Config::from_table(&self.described(), table, &place)?;
        default.with_overlay(&parse_table(overlay, "the preset")?, &place)
    }

    /// The configuration with a variant's settings on top.
    ///
    /// # Errors
    /// When there is no such variant: the message names those that there are.
    pub fn with_variant(&self, config: &Config, name: &str) -> Result<Config, ConfigError> {
        let Some((_, overlay)) = self.variants.iter().find(|(known, _)| *known == name) else {
            let names = || self.variants.iter().map(|&(name, _)| name);
            return Err(ConfigError::NoVariant {
                variant: name.to_owned(),
                method: self.name.to_owned(),
                hint: suggest::hint(name, names()),
                known: names().collect::<Vec<_>>().join(", "),
            });
        };
        config.with_overlay(&parse_table(overlay, "the variant")?, "")
    }
}
