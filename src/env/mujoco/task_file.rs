//! The task file of a MuJoCo task: what its TOML may say, and where a mistake in it stands.

use serde::Deserialize;
use toml::Spanned;

use crate::env::EnvironmentError;
use crate::run::text::is_command;

/// Most characters in a name. It becomes part of names of folders, which most systems limit to 255 bytes.
const LONGEST_NAME: usize = 60;
/// Most physics steps for one step of the environment.
const MOST_PHYSICS_STEPS: i64 = 100_000;
/// Most steps of an episode.
const LONGEST_EPISODE: i64 = 1_000_000_000;
/// Largest noise: more places a robot where single precision has no metres left.
const MOST_NOISE: f64 = 1e6;

/// A task file as it is written. See `docs/own-robot.md` for the meaning of every key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaskFile {
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
    /// Where an episode begins.
    #[serde(default)]
    pub reset: Reset,
}

/// Positions or velocities `from..to` of the model, each clipped to ±`clip` if that is given.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Coordinates {
    /// Positions or velocities.
    pub part: StatePart,
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
pub(crate) enum StatePart {
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
    pub part: StatePart,
    #[serde(default)]
    pub from: usize,
    pub to: Option<usize>,
    pub above: Option<f64>,
    pub below: Option<f64>,
    pub at_least: Option<f64>,
    pub at_most: Option<f64>,
}

/// Where an episode begins: in the model's initial state or one of its keyframes, with independent noise on positions and
/// velocities.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reset {
    /// Name of a keyframe of the model.
    pub keyframe: Option<Spanned<String>>,
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
        EnvironmentError::description(&format!("{}, line {line}: {message}", self.file))
    }

    /// Reads the description and checks what can be checked without the model.
    pub fn parse(&self) -> Result<TaskFile, EnvironmentError> {
        let file: TaskFile = toml::from_str(self.text).map_err(|error| {
            let message = error.message().replace('\n', " ");
            self.error(error.span().map_or(0, |span| span.start), message.trim())
        })?;
        self.check_characters(&file)?;
        for (key, value, most) in [
            ("frame_skip", &file.frame_skip, MOST_PHYSICS_STEPS),
            ("time_limit", &file.time_limit, LONGEST_EPISODE),
        ] {
            let (place, value) = (value.span().start, *value.get_ref());
            if value < 1 {
                return Err(
                    self.error(place, &format!("`{key}` is {value} and must be at least 1"))
                );
            }
            if value > most {
                return Err(
                    self.error(place, &format!("`{key}` is {value} and must be at most {most}"))
                );
            }
        }
        let name = file.name.get_ref();
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
        if name.is_empty() || name.chars().count() > LONGEST_NAME || !name.chars().all(allowed) {
            let message = format!(
                "`name` is \"{name}\" and must be made of letters, digits, `-` and `_`, at most {LONGEST_NAME} of them"
            );
            return Err(self.error(file.name.span().start, &message));
        }
        for (key, value) in [
            ("qpos_uniform", file.reset.qpos_uniform),
            ("qvel_uniform", file.reset.qvel_uniform),
            ("qvel_normal", file.reset.qvel_normal),
        ] {
            let offset = self.text.find(key).unwrap_or(0);
            if !(value.is_finite() && value >= 0.0) {
                return Err(
                    self.error(offset, &format!("`{key}` is {value} and must be 0 or more"))
                );
            }
            if value > MOST_NOISE {
                let message = format!("`{key}` is {value} and must be at most {MOST_NOISE}");
                return Err(self.error(offset, &message));
            }
        }
        Ok(file)
    }

    /// Names go into messages, tables and pictures: none may hold what a terminal obeys or a reader cannot see.
    fn check_characters(&self, file: &TaskFile) -> Result<(), EnvironmentError> {
        let terms = file.reward.iter().map(toml::Spanned::get_ref);
        let of_terms = terms.flat_map(|term| {
            [Some(&term.term), term.body.as_ref(), term.site.as_ref(), term.axis.as_ref()]
        });
        let others = [Some(&file.name), file.reset.keyframe.as_ref()];
        for name in of_terms.chain(others).flatten() {
            if let Some(bad) = name.get_ref().chars().find(|&c| is_command(c)) {
                let message = format!(
                    "a name holds the character {}, which cannot be printed",
                    bad.escape_unicode()
                );
                return Err(self.error(name.span().start, &message));
            }
        }
        Ok(())
    }
}
