//! A MuJoCo task, as everything outside sees it.

use std::path::Path;
use std::sync::Arc;

use mujoco_rs::wrappers::MjModel;

use super::compile;
use super::definition::Definition;
use super::environment::MujocoEnvironment;
use super::files::{ModelFiles, read_file};
use super::simulation::Simulation;
use super::task_file::Source;
use crate::env::{Environment, EnvironmentError, Task};

/// A task made of an MJCF file and a task file. The six built-in MuJoCo tasks are such pairs too.
#[derive(Clone, Debug)]
pub struct MujocoTask {
    definition: Arc<Definition>,
    warnings: Vec<String>,
}

impl MujocoTask {
    /// Loads the model and the task file.
    ///
    /// # Errors
    /// One sentence that names the file, and line and key where they are known: a missing or malformed file, a name that
    /// the model does not have, a model that cannot be acted on, or one that MuJoCo's compiler does not survive.
    pub fn from_files(mjcf: &Path, task: &Path) -> Result<Self, EnvironmentError> {
        let text = task_text(task)?;
        Ok(Self::from_disk(mjcf, (&task.display().to_string(), &text))?.0)
    }

    /// As [`MujocoTask::from_files`], with the task file's text at hand; returns also the files that the model is made of.
    pub(crate) fn from_disk(
        mjcf: &Path,
        (task_name, task): (&str, &str),
    ) -> Result<(Self, ModelFiles), EnvironmentError> {
        let name = mjcf.display().to_string();
        let (model, files) = compile::from_disk(mjcf).map_err(|error| of_file(&name, &error))?;
        let task = Self::resolve(model, &name, Source { file: task_name, text: task })?;
        Ok((task, files))
    }

    /// Loads a model from files at hand; the names are those used in messages.
    pub(crate) fn from_model_files(
        (model_name, files): (&str, &ModelFiles),
        (task_name, task): (&str, &str),
    ) -> Result<Self, EnvironmentError> {
        let model = compile::from_files(files).map_err(|error| of_file(model_name, &error))?;
        Self::resolve(model, model_name, Source { file: task_name, text: task })
    }

    /// Loads the model and the task file from texts; the names are those used in messages. The model can refer to no file.
    ///
    /// # Errors
    /// As [`MujocoTask::from_files`].
    pub fn from_texts(
        (mjcf_name, mjcf): (&str, &str),
        task: (&str, &str),
    ) -> Result<Self, EnvironmentError> {
        Self::from_model_files((mjcf_name, &ModelFiles::of_text(mjcf_name, mjcf)), task)
    }

    /// A task that comes with the program: its model is compiled here, without a process of its own.
    pub(crate) fn built_in(
        (mjcf_name, mjcf): (&str, &str),
        (task_name, task): (&str, &str),
    ) -> Result<Self, EnvironmentError> {
        let model = compile::built_in(mjcf).map_err(|error| of_file(mjcf_name, &error))?;
        let source = Source { file: task_name, text: task };
        let definition = Definition::resolve(model, mjcf_name, source)?;
        // Nothing is odd about these.
        Ok(Self { definition: Arc::new(definition), warnings: Vec::new() })
    }

    fn resolve(
        model: Arc<MjModel>,
        model_name: &str,
        source: Source,
    ) -> Result<Self, EnvironmentError> {
        let definition = Definition::resolve(model, model_name, source)?;
        let warnings = warnings(&definition)?;
        Ok(Self { definition: Arc::new(definition), warnings })
    }

    /// The compiled model.
    pub fn model(&self) -> &MjModel {
        &self.definition.model
    }
}

/// The text of a task file.
pub(crate) fn task_text(path: &Path) -> Result<String, EnvironmentError> {
    let name = path.display();
    let bytes = read_file(path)
        .map_err(|error| EnvironmentError::description(&format!("{name} {error}")))?;
    String::from_utf8(bytes.into()).map_err(|_| {
        EnvironmentError::description(&format!(
            "{name} is no text in UTF-8, as TOML must be: is it the task file?"
        ))
    })
}

/// What is wrong with a model: "robot.xml: …", or "robot.xml cannot be read: …".
fn of_file(name: &str, error: &str) -> EnvironmentError {
    let about_the_file = ["cannot be ", "is a ", "is larger ", "is no "];
    let colon = if about_the_file.iter().any(|start| error.starts_with(start)) { "" } else { ":" };
    EnvironmentError::description(&format!("{name}{colon} {error}"))
}

fn warnings(definition: &Definition) -> Result<Vec<String>, EnvironmentError> {
    let mut simulation =
        Simulation::new(&definition.model).map_err(|error| definition.failure(&error))?;
    let bounds = definition.low.iter().zip(&definition.high);
    let middle: Vec<f64> = bounds.map(|(low, high)| 0.5 * (low + high)).collect();
    let found = definition.start.warnings(
        &mut simulation,
        &definition.healthy,
        &middle,
        definition.frame_skip,
    );
    let name = &definition.name;
    Ok(found
        .iter()
        .map(|warning| crate::run::text::printable(&format!("task {name}: {warning}")))
        .collect())
}

impl Task for MujocoTask {
    fn name(&self) -> &str {
        &self.definition.name
    }

    fn observation_dim(&self) -> usize {
        self.definition.observation_dim
    }

    fn action_dim(&self) -> usize {
        self.definition.low.len()
    }

    fn action_low(&self) -> &[f64] {
        &self.definition.low
    }

    fn action_high(&self) -> &[f64] {
        &self.definition.high
    }

    fn time_limit(&self) -> usize {
        self.definition.time_limit
    }

    fn terminated(&self, observation: &[f64]) -> bool {
        let healthy = &self.definition.healthy;
        !healthy.iter().all(|range| range.holds(&observation[range.observed.clone()]))
            || !observation.iter().all(|x| x.is_finite())
    }

    fn healthy_ranges(&self) -> Option<Vec<(f32, f32)>> {
        let mut ranges = vec![(f32::MIN, f32::MAX); self.observation_dim()];
        for range in &self.definition.healthy {
            let (low, high) = range.narrow();
            for (own_low, own_high) in &mut ranges[range.observed.clone()] {
                (*own_low, *own_high) = (own_low.max(low), own_high.min(high));
            }
        }
        Some(ranges)
    }

    fn reward_summary(&self) -> String {
        let terms =
            self.definition.reward.iter().map(|term| format!("{} × {}", term.weight, term.label));
        terms.collect::<Vec<_>>().join(" + ")
    }

    fn step_seconds(&self) -> Option<f64> {
        Some(self.definition.duration)
    }

    fn quaternions(&self) -> &[usize] {
        &self.definition.quaternions
    }

    fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn make(&self) -> Result<Box<dyn Environment>, EnvironmentError> {
        Ok(Box::new(MujocoEnvironment::new(Arc::clone(&self.definition))?))
    }
}
