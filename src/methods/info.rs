//! What the program knows of a method before it runs: name, settings, presets, variants.

use std::sync::Arc;

use super::Method;
use crate::config::{Config, ConfigError, Description, parse_table, suggest};
use crate::env::Task;

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

impl MethodInfo {
    /// Its settings.
    pub fn described(&self) -> Arc<Description> {
        Arc::new((self.description)())
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
