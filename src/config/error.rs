//! What can be wrong with a configuration.

/// A mistake in a configuration: one sentence that names the place and says what would be right.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No preset for this task.
    #[error("there is no preset for task `{task}`{hint}; there are presets for {known}")]
    NoPreset {
        /// The task asked for.
        task: String,
        /// " (did you mean `X`?)" or nothing.
        hint: String,
        /// Tasks with presets, separated by commas.
        known: String,
    },
    /// No method of this name.
    #[error("there is no method `{name}`{hint}; the methods are {known}")]
    NoMethod {
        /// The name asked for.
        name: String,
        /// " (did you mean `X`?)" or nothing.
        hint: String,
        /// All names, separated by commas.
        known: String,
    },
    /// No variant of this name.
    #[error("{method} has no variant `{variant}`{hint}; {}", if known.is_empty() { "it has none".to_owned() } else { format!("the variants are {known}") })]
    NoVariant {
        /// The method.
        method: String,
        /// The variant asked for.
        variant: String,
        /// " (did you mean `X`?)" or nothing.
        hint: String,
        /// All variants, separated by commas.
        known: String,
    },
    /// A `--set` that is no assignment.
    #[error("`--set {given}` is not of the form KEY=VALUE, such as `--set policy.horizon=2`")]
    NoAssignment {
        /// What was given.
        given: String,
    },
    /// A key that does not exist.
    #[error("{place}there is no setting `{key}`{hint}")]
    UnknownKey {
        /// "FILE: " or nothing.
        place: String,
        /// The key in full.
        key: String,
        /// " (did you mean `X`?)" or what else helps.
        hint: String,
    },
    /// A key that must be there and is not.
    #[error("{place}the setting `{key}` is missing")]
    MissingKey {
        /// "FILE: " or nothing.
        place: String,
        /// The key in full.
        key: String,
    },
    /// A value of another type.
    #[error("{place}`{key}` must be {expected}, not `{value}`")]
    WrongType {
        /// "FILE: " or nothing.
        place: String,
        /// The key in full.
        key: String,
        /// What is needed.
        expected: String,
        /// What was given.
        value: String,
    },
    /// A value out of range, or one that contradicts another.
    #[error("`{key}` is {value}, but must be {expected}")]
    Impossible {
        /// The key in full.
        key: String,
        /// Its value.
        value: String,
        /// What is needed.
        expected: String,
    },
    /// A file that is no TOML.
    #[error("{place}, line {line}: {message}")]
    Syntax {
        /// The file.
        place: String,
        /// Line, from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// A file that cannot be read or written.
    #[error("{path} cannot be {action}: {reason}")]
    File {
        /// Path of the file.
        path: String,
        /// "read" or "written".
        action: &'static str,
        /// The system's reason.
        reason: std::io::Error,
    },
}

/// [`ConfigError::Impossible`] unless `holds`.
///
/// # Errors
/// As said.
pub fn require(
    holds: bool,
    key: &str,
    value: impl std::fmt::Display,
    expected: impl Into<String>,
) -> Result<(), ConfigError> {
    if holds {
        return Ok(());
    }
    let (key, value, expected) = (key.to_owned(), value.to_string(), expected.into());
    Err(ConfigError::Impossible { key, value, expected })
}
