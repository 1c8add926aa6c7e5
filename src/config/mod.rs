//! Settings: reading, overlaying, checking and documenting them. Which there are is said by types (`schema.rs`); a method's type is the
//! method's own, so nothing here knows one.
//!
//! A [`Config`] is one TOML table that its type has accepted. Its parts are read as typed views.

mod error;
mod keys;
mod load;
mod run;
mod schema;
pub mod suggest;

pub use error::{ConfigError, require};
pub use keys::differences;
pub use load::{parse_table, read_table};
pub use run::{
    AnalysisConfig, CheckpointConfig, EvaluationConfig, GuardConfig, ReportConfig, RunConfig,
};
pub use schema::{Schema, Setting, SettingKind};

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// A type that says which settings there are, with a comment, a range and perhaps a default each. A setting with a default may be
/// missing from a file: it came after the first runs were written, and the default is what they did.
pub trait Settings: Serialize + DeserializeOwned + JsonSchema + 'static {
    /// Checks the values against each other; each alone has been checked against its range.
    ///
    /// # Errors
    /// On the first that is impossible: names the key, its value and what would be right.
    fn check(&self) -> Result<(), ConfigError> {
        Ok(())
    }
}

/// The settings of one method, without their type: what is needed to read a table of them.
#[derive(Clone, Debug)]
pub struct Description {
    schema: Schema,
    check: fn(&Table) -> Result<(), ConfigError>,
}

impl Description {
    /// Of the settings `S`, which include those of [`RunConfig`].
    pub fn of<S: Settings>() -> Self {
        let check = |table: &Table| view::<S>(table).check();
        Self { schema: Schema::of::<S>(), check }
    }

    /// Which settings there are.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }
}

/// A table as the type that has accepted it.
fn view<S: DeserializeOwned>(table: &Table) -> S {
    table.clone().try_into().expect("the schema has accepted every value")
}

/// A whole run's settings, checked. Written into the run's folder as `config.toml`; `resume` reads it back.
#[derive(Clone, Debug)]
pub struct Config {
    table: Table,
    run: RunConfig,
    description: Arc<Description>,
}

impl PartialEq for Config {
    fn eq(&self, other: &Self) -> bool {
        self.table == other.table
    }
}

impl Config {
    /// The settings that every run has.
    pub fn run(&self) -> &RunConfig {
        &self.run
    }

    /// Name of the task.
    pub fn task(&self) -> &str {
        &self.run.task
    }

    /// Name of the method.
    pub fn algorithm(&self) -> &str {
        &self.run.algorithm
    }

    /// Seed of every random stream.
    pub fn seed(&self) -> u64 {
        self.run.seed
    }

    /// Environment steps in all.
    pub fn steps(&self) -> u64 {
        self.run.steps
    }

    /// All settings as the method's type, or some of them as a smaller one.
    pub fn view<S: DeserializeOwned>(&self) -> S {
        view(&self.table)
    }

    /// A section as its type; `None` where the method has no such section.
    pub fn section<S: DeserializeOwned>(&self, name: &str) -> Option<S> {
        self.table.get(name)?.as_table().map(view)
    }

    /// The value of a setting, such as `policy.horizon`; `None` where the method has no such setting.
    pub fn get(&self, key: &str) -> Option<&Value> {
        keys::lookup(&self.table, key)
    }

    /// Which settings there are.
    pub fn description(&self) -> &Arc<Description> {
        &self.description
    }

    /// All that decides which states a run goes through: everything but where it ends, its checkpoints, its guards, its analyses and its
    /// reports.
    pub fn identity(&self) -> Table {
        without_free(self.table.clone())
    }

    /// [`Config::identity`] of a configuration of the same method that an older program may have written.
    ///
    /// # Errors
    /// When the text is no TOML.
    pub fn parse_identity(&self, text: &str) -> Result<Table, toml::de::Error> {
        let mut table: Table = text.parse()?;
        keys::add_missing(&mut table, &self.description.schema.defaults());
        Ok(without_free(table))
    }
}

/// Takes out what may change between two sessions of a run.
fn without_free(mut table: Table) -> Table {
    for key in ["steps", "checkpoint", "guards", "analysis", "report"] {
        table.remove(key);
    }
    if let Some(Value::Table(evaluation)) = table.get_mut("evaluation") {
        evaluation.retain(|key, _| !key.starts_with("stop_"));
    }
    table
}
