//! The TOML description of a MuJoCo task: what the file may say, and where a mistake in it stands.

use serde::Deserialize;
use toml::Spanned;

use crate::env::EnvironmentError;

/// A task file as it is written. See `docs/own-robot.md` for the meaning of every key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Description {
    /// Name of the task, which is part of the names of run folders.
    pub name: Spanned<String>,
    /// Physics steps for one step of the environment.
    pub frame_skip: Spanned<i64>,
    /// Environment steps after which an episode is cut.
    pub time_limit: Spanned<i64>,
    /// Parts of the observation, in order.
    pub observation: Vec<Spanned<Coordinates>>,
    /// Terms whose weighted sum is the reward.
    pub reward: Vec<Spanned<RewardTerm>>,
    /// Ranges outside which an episode ends. None: it never does.
    #[serde(default)]
    pub healthy: Vec<Spanned<HealthyRange>>,
    /// Noise on the model's initial state.
    #[serde(default)]
    pub reset: ResetNoise,
}

/// Positions or velocities `from..to` of the model, each clipped to ±`clip` if that is given.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Coordinates {
    /// Positions or velocities.
    pub part: Part,
    /// First index, counted from 0.
    #[serde(default)]
    pub from: usize,
    /// Index after the last one; to the end where it is left out.
    pub to: Option<usize>,
    /// Largest magnitude shown.
    pub clip: Option<f64>,
}

/// MuJoCo's generalised positions or velocities.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Part {
    Qpos,
    Qvel,
}

/// A named term and its weight. Which of the optional keys a term takes is checked in `reward.rs`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RewardTerm {
    pub term: Spanned<String>,
    pub weight: f64,
    pub index: Option<Spanned<usize>>,
    pub body: Option<Spanned<String>>,
    pub site: Option<Spanned<String>>,
    pub axis: Option<Spanned<String>>,
    pub target: Option<Spanned<[f64; 3]>>,
}

/// Bounds on every coordinate of a range. The strict and the inclusive forms exist because tasks use both.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HealthyRange {
    pub part: Part,
    #[serde(default)]
    pub from: usize,
    pub to: Option<usize>,
    pub above: Option<f64>,
    pub below: Option<f64>,
    pub at_least: Option<f64>,
    pub at_most: Option<f64>,
}

/// Independent noise added to the model's initial positions and velocities.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResetNoise {
    /// Half-width of the uniform noise on positions.
    #[serde(default)]
    pub qpos_uniform: f64,
    /// Half-width of the uniform noise on velocities.
    #[serde(default)]
    pub qvel_uniform: f64,
    /// Standard deviation of the normal noise on velocities.
    #[serde(default)]
    pub qvel_normal: f64,
}

/// A text and the name to call it by in messages.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub file: &'a str,
    pub text: &'a str,
}

impl Source<'_> {
    /// An error at the byte `offset` of the text: "file, line n: message".
    pub fn error(&self, offset: usize, message: &str) -> EnvironmentError {
        let line = 1 + self.text.bytes().take(offset).filter(|&byte| byte == b'\n').count();
        EnvironmentError::Description(format!("{}, line {line}: {message}", self.file))
    }

    /// Reads the description and checks what can be checked without the model.
    pub fn parse(&self) -> Result<Description, EnvironmentError> {
        let description: Description = toml::from_str(self.text).map_err(|error| {
            let message = error.message().replace('\n', " ");
            self.error(error.span().map_or(0, |span| span.start), message.trim())
        })?;
        for (key, value) in
            [("frame_skip", &description.frame_skip), ("time_limit", &description.time_limit)]
        {
            if *value.get_ref() < 1 {
                let message = format!("`{key}` is {} and must be at least 1", value.get_ref());
                return Err(self.error(value.span().start, &message));
            }
        }
        let name = description.name.get_ref();
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
        if name.is_empty() || !name.chars().all(allowed) {
            let message =
                format!("`name` is \"{name}\" and must be made of letters, digits, `-` and `_`");
            return Err(self.error(description.name.span().start, &message));
        }
        let noise = description.reset;
        for (key, value) in [
            ("qpos_uniform", noise.qpos_uniform),
            ("qvel_uniform", noise.qvel_uniform),
            ("qvel_normal", noise.qvel_normal),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                let offset = self.text.find(key).unwrap_or(0);
                return Err(
                    self.error(offset, &format!("`{key}` is {value} and must be 0 or more"))
                );
            }
        }
        Ok(description)
    }
}
