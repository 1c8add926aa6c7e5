//! Where a session begins: in a new folder, or at a saved state.

use std::path::Path;
use std::sync::Arc;

use crate::config::{Config, ConfigError, differences};
use crate::env::Task;
use crate::env::robot::{Robot, task_of_run};
use crate::methods::config_of_run;
use crate::run::checkpoint::{CheckpointError, CheckpointStore, Damage, Info, Loaded};
use crate::run::directory::{
    DirectoryError, RunDirectory, checkpoints_path, environment_path, metrics_path, robot_path,
};
use crate::run::manifest::Manifest;
use crate::run::metrics;
use crate::run::storage::{Disk, FileKind, StorageError, is_folder, kind};
use crate::train::{TrainError, Trainer};

use super::{SessionError, memory};
use crate::run::text::thousands;

/// The state at which a session begins.
pub enum State {
    /// Step 0.
    New,
    /// A saved one.
    Saved(Box<Loaded>),
}

/// A run that is ready to be trained.
pub struct Ready {
    /// Its folder.
    pub directory: RunDirectory,
    /// Its configuration.
    pub config: Config,
    /// Its task.
    pub task: Arc<dyn Task>,
    /// Where states are saved; the one that loaded the state.
    pub store: CheckpointStore,
    /// Where it begins.
    pub state: State,
    /// What the user should know.
    pub notices: Vec<String>,
}

/// Where runs go that are given no folder.
pub const RUNS: &str = "runs";

/// The folder of a new run.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// This one.
    Folder(&'a Path),
    /// The first that is free of those that are called by task, method, seed and a number, in this one.
    Numbered(&'a Path),
}

/// The checkpoints of the run in `root`.
pub fn store(root: &Path, config: &Config) -> CheckpointStore {
    CheckpointStore::new(&checkpoints_path(root), config.run().checkpoint.keep, Box::new(Disk))
}

/// The task of the run in `root`: a robot of its own, or a built-in one.
///
/// # Errors
/// When its robot is not whole, has changed, or lies elsewhere; when there is no such task, or it is one of another program's.
pub fn task_of(root: &Path, config: &Config) -> Result<Arc<dyn Task>, SessionError> {
    let folder = robot_path(root);
    let kept = is_folder(&folder).map_err(StorageError::of("use", &folder))?;
    // A robot of one's own may have the name of a built-in one: without its files it would become that one.
    if kept && matches!(kind(&folder.join("origin.toml")), Ok(FileKind::Nothing)) {
        return Err(SessionError::RobotNotWhole { path: folder });
    }
    // Whatever its name: the class of another program's environment may be called as a task of ours is.
    if !kept && !matches!(kind(&environment_path(root)), Ok(FileKind::Nothing)) {
        return Err(SessionError::OtherProgram { path: root.to_owned() });
    }
    Ok(task_of_run(root, config.task())?)
}

/// Makes a new run. The robot is kept before the configuration that names it is written, and where that is, the run is
/// whole: a start that is killed before leaves a folder that is free for the next.
///
/// # Errors
/// When the folder is not free, or cannot be written, or the run needs far more memory than there is.
pub fn begin(
    place: Place<'_>,
    config: Config,
    task: Arc<dyn Task>,
    robot: Option<&Robot>,
) -> Result<Ready, SessionError> {
    begin_keeping(place, config, task, |root| match robot {
        Some(robot) => Ok(robot.keep(root)?),
        None => Ok(()),
    })
}

/// [`begin`], with what the run has to keep of its task put into its folder by `keep`, before the configuration.
///
/// # Errors
/// As [`begin`], and those of `keep`.
pub fn begin_keeping(
    place: Place<'_>,
    config: Config,
    task: Arc<dyn Task>,
    keep: impl FnOnce(&Path) -> Result<(), SessionError>,
) -> Result<Ready, SessionError> {
    let mut notices = Vec::new();
    notices.extend(memory::check(&config, &*task)?);
    Trainer::check(&config, Arc::clone(&task)).map_err(TrainError::from)?;
    let directory = match place {
        Place::Folder(root) => RunDirectory::claim(root)?,
        Place::Numbered(parent) => RunDirectory::claim_numbered(parent, &stem(&config))?,
    };
    notices.extend(directory.warning().map(str::to_owned));
    keep(directory.root())?;
    directory.begin(&config)?;
    let store = store(directory.root(), &config);
    Ok(Ready { directory, config, task, store, state: State::New, notices })
}

/// What a run's folder is called before its number: `<task>-seed<seed>`, or `<task>-<method>-seed<seed>` of methods other than DDPPO.
fn stem(config: &Config) -> String {
    let method = match config.algorithm() {
        "ddppo" => String::new(),
        other => format!("-{other}"),
    };
    format!("{}{method}-seed{}", config.task(), config.seed())
}

/// What of a run may be changed when it is gone on with: how long it lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Until {
    /// Environment steps in all.
    pub steps: Option<u64>,
    /// `evaluation.stop_at_return`.
    pub stop_at_return: Option<f64>,
}

/// Goes on with the run in `root` from its newest checkpoint that fits, for as long as it was planned or `until` says. A run that
/// was stopped before its first checkpoint begins anew.
///
/// # Errors
/// When there is no run or another process works on it, its files do not fit each other, or `steps` are done already.
pub fn resume(root: &Path, until: Until) -> Result<Ready, SessionError> {
    resume_in(root, until, task_of)
}

/// [`resume`], in the task that `task` gives for the run's folder and configuration.
///
/// # Errors
/// As [`resume`], and those of `task`.
pub fn resume_in(
    root: &Path,
    until: Until,
    task: impl FnOnce(&Path, &Config) -> Result<Arc<dyn Task>, SessionError>,
) -> Result<Ready, SessionError> {
    resume_changed(root, until.steps, |found| until.config(found), task)
}

/// [`resume_in`] with the configuration that [`begun`] gave.
///
/// # Errors
/// As [`resume`], and those of `task`.
pub fn resume_as(
    root: &Path,
    config: Config,
    task: impl FnOnce(&Path, &Config) -> Result<Arc<dyn Task>, SessionError>,
) -> Result<Ready, SessionError> {
    resume_changed(root, None, |_| Ok(config), task)
}

/// Goes on with a run, its configuration changed, for the steps in all that were asked for.
fn resume_changed(
    root: &Path,
    asked: Option<u64>,
    change: impl FnOnce(&Config) -> Result<Config, ConfigError>,
    task: impl FnOnce(&Path, &Config) -> Result<Arc<dyn Task>, SessionError>,
) -> Result<Ready, SessionError> {
    let directory = RunDirectory::open(root)?;
    let found = config_of_run(root)?;
    let task = task(root, &found)?;
    let config = change(&found).map_err(DirectoryError::from)?;
    let mut notices: Vec<String> = directory.warning().map(str::to_owned).into_iter().collect();
    notices.extend(memory::check(&config, &*task)?);
    let mut store = store(root, &config);
    let metrics = metrics_path(root);
    let lines = metrics::steps(&metrics)?;
    let state = match store.load_newest_that(|info| fits(info, &lines, &metrics)) {
        Ok(loaded) => {
            describe(&loaded, &mut notices);
            compare(&loaded, &config)?;
            State::Saved(Box::new(loaded))
        }
        Err(CheckpointError::None { directory: path }) => {
            if let Some(evidence) = evidence_of_saving(&directory, &found, &lines) {
                return Err(SessionError::CheckpointsLost { path, evidence });
            }
            notices.push("nothing had been saved: the run begins anew".to_owned());
            State::New
        }
        Err(error) => return Err(error.into()),
    };
    if let (Some(asked), State::Saved(loaded)) = (asked, &state)
        && asked < loaded.info.step
    {
        return Err(SessionError::Behind { asked, done: loaded.info.step });
    }
    if config != found {
        directory.write_config(&config)?;
    }
    Ok(Ready { directory, config, task, store, state, notices })
}

impl Until {
    /// `config` with what is to be changed of it.
    fn config(self, config: &Config) -> Result<Config, ConfigError> {
        let Self { steps, stop_at_return } = self;
        let steps = steps.map(|steps| format!("steps={steps}"));
        let wanted = stop_at_return.map(|wanted| format!("evaluation.stop_at_return={wanted}"));
        config.with_settings(&steps.into_iter().chain(wanted).collect::<Vec<_>>())
    }
}

/// Whether the metrics are those that a checkpoint was saved with: as many lines up to its step, and none of a later step
/// among them.
fn fits(info: &Info, lines: &[Option<u64>], path: &Path) -> Result<(), Damage> {
    let misfit = |problem| Err(Damage { path: path.to_owned(), problem });
    let step = thousands(info.step);
    let Some(expected) = usize::try_from(info.metrics_lines).ok().filter(|&n| n <= lines.len())
    else {
        return misfit(format!(
            "has {} whole lines, but had {} when the checkpoint of step {step} was saved: it was cut or replaced",
            lines.len(),
            info.metrics_lines
        ));
    };
    let last = lines[..expected].last().copied();
    let next = lines.get(expected).copied();
    if last.is_some_and(|last| last.is_none_or(|last| last > info.step))
        || next.is_some_and(|next| next.is_some_and(|next| next <= info.step))
    {
        return misfit(format!(
            "has other lines than the {expected} that it had when the checkpoint of step {step} was saved: some were cut \
             out or put in"
        ));
    }
    Ok(())
}

/// How it is known that the run had saved; `None` when it is not.
fn evidence_of_saving(
    directory: &RunDirectory,
    config: &Config,
    lines: &[Option<u64>],
) -> Option<String> {
    if Manifest::read(&directory.manifest_path()).is_some_and(|manifest| manifest.has_saved()) {
        return Some("its manifest says so".to_owned());
    }
    let last = lines.iter().flatten().max()?;
    // At the very step of a save the metrics are written just before it.
    (*last > config.run().checkpoint.every_steps)
        .then(|| format!("its metrics reach to step {}", thousands(*last)))
}

/// Says what the user should know of the state that was found.
fn describe(loaded: &Loaded, notices: &mut Vec<String>) {
    for damage in &loaded.passed_over {
        notices.push(format!("a newer checkpoint is damaged and passed over: {damage}"));
    }
    if !loaded.passed_over.is_empty() {
        notices.push(format!("the run goes on from step {}", thousands(loaded.info.step)));
    }
    let version = env!("CARGO_PKG_VERSION");
    if loaded.version != version {
        notices.push(format!(
            "{} was saved by ddppo {}; this is {version}, and may go on differently",
            loaded.path.display(),
            loaded.version
        ));
    }
}

/// Whether the run is still of the configuration that its state was saved with: only its length, checkpoints, guards, analyses and reports may be changed.
pub(super) fn compare(loaded: &Loaded, config: &Config) -> Result<(), SessionError> {
    let path = || loaded.path.clone();
    let saved = config.parse_identity(&loaded.info.config).map_err(|error| {
        SessionError::NoConfiguration {
            path: path(),
            message: error.to_string().replace('\n', " "),
        }
    })?;
    match difference(&saved, &config.identity()) {
        None => Ok(()),
        Some(difference) => Err(SessionError::ConfigurationChanged { path: path(), difference }),
    }
}

/// The first setting that differs, in words.
pub(crate) fn difference(before: &toml::Table, now: &toml::Table) -> Option<String> {
    let all = differences(before, now);
    let (key, before, now) = all.first()?;
    let more = match all.len() {
        1 => String::new(),
        n => format!(" (and {} more settings differ)", n - 1),
    };
    Some(format!("`{key}` was {before} and is {now}{more}"))
}

/// Goes on with the run in `root`, or makes it where there is none: for schedulers and scripts, which start a run by the
/// same line as they go on with it.
///
/// # Errors
/// As [`begin`] and [`resume`], and when the run that is there has other settings.
pub fn begin_or_resume(
    root: &Path,
    config: Config,
    task: Arc<dyn Task>,
    robot: Option<&Robot>,
) -> Result<Ready, SessionError> {
    match begun(root, &config, robot)? {
        None => begin(Place::Folder(root), config, task, robot),
        Some(config) => resume_as(root, config, task_of),
    }
}

/// Whether the run of `config` was begun in `root`, and the configuration that it goes on with then: one that was made longer is not made
/// shorter again, and what may change between two sessions is as it is given now.
///
/// # Errors
/// When the run that is there has other settings, or another robot.
pub fn begun(
    root: &Path,
    config: &Config,
    robot: Option<&Robot>,
) -> Result<Option<Config>, SessionError> {
    if !crate::run::directory::holds_run(root) {
        return Ok(None);
    }
    let found = config_of_run(root)?;
    if let Some(difference) = difference(&found.identity(), &config.identity()) {
        return Err(SessionError::OtherRun { path: root.to_owned(), difference });
    }
    if let Some(difference) = crate::env::robot::difference(root, robot)? {
        return Err(SessionError::OtherRobot { path: root.to_owned(), difference });
    }
    let steps = format!("steps={}", config.steps().max(found.steps()));
    Ok(Some(config.with_settings(&[steps]).map_err(DirectoryError::from)?))
}
