//! `ddppo.train` and `Run.resume`: a run in a thread of its own, while the caller's waits for it and for signals.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Parser;
use ddppo::env::Task as _;
use ddppo::lab::analysis::observer::{self, Analyses};
use ddppo::methods;
use ddppo::report::curve_at_end::CurveAtEnd;
use ddppo::report::tensorboard::TensorBoard;
use ddppo::run::directory::environment_path;
use ddppo::run::storage::{Disk, replace};
use ddppo::run::text::thousands;
use ddppo::session::progress::{Progress, Style};
use ddppo::session::start::{self, Place, RUNS, Ready, Until};
use ddppo::session::{Observer, Session, SessionError, SessionOutcome, Sink};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;

use crate::cli::{Cli, Command, TrainArgs};
use crate::commands::train::prepare;
use crate::commands::train::scene::configure;
use crate::commands::{UsageError, say};
use crate::environment::{Failures, PythonTask, Task};
use crate::error::{exception, usage};
use crate::watch::{Attentive, Shared, Watch};

/// Between two looks at signals and news.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Who is told of a run, and how.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Listeners {
    /// `(step, records) -> bool`, on the thread that trains; False to stop.
    on_step: Option<Py<PyAny>>,
    /// Whether that wants to hear of steps without an evaluation.
    every_step: bool,
    /// `(step, steps, records, notices)`, now and then on the caller's thread, in the place of a terminal.
    show: Option<Py<PyAny>>,
    /// Whether nothing is to be shown.
    quiet: bool,
    /// All cores if None.
    threads: Option<u16>,
}

/// What came of a session: the run's folder, and the steps done.
type Outcome = (PathBuf, u64);

/// Trains what the words of `ddppo train` ask for: in `task`, described by the text `description` for the run's folder, or in a task of the
/// program's.
#[pyfunction]
pub fn train(
    py: Python<'_>,
    words: Vec<String>,
    task: Option<PyRef<'_, Task>>,
    description: String,
    listeners: Listeners,
) -> PyResult<Outcome> {
    let args = parse(py, words)?;
    let task = task.map(|task| task.shared());
    let own = task.clone();
    let ready = py.detach(|| match own {
        Some(task) => prepare_in(&args, task, &description),
        None => prepare(&args),
    });
    work(py, ready, task, listeners)
}

/// Goes on with the run in `root`, to `steps` steps if they are given.
#[pyfunction]
pub fn resume(
    py: Python<'_>,
    root: PathBuf,
    steps: Option<u64>,
    task: Option<PyRef<'_, Task>>,
    listeners: Listeners,
) -> PyResult<Outcome> {
    let task = task.map(|task| task.shared());
    let own = task.clone();
    let until = Until { steps, ..Until::default() };
    let ready = py.detach(|| match own {
        Some(task) => start::resume_in(&root, until, |_, _| Ok(task)),
        None => start::resume(&root, until),
    });
    work(py, ready.map_err(anyhow::Error::from), task, listeners)
}

fn parse(py: Python<'_>, words: Vec<String>) -> PyResult<TrainArgs> {
    let words = ["ddppo", "train"].map(str::to_owned).into_iter().chain(words);
    match Cli::try_parse_from(words) {
        Ok(Cli { command: Command::Train(args) }) => Ok(args),
        Ok(_) => unreachable!("the words begin with `train`"),
        Err(error) => {
            // The first paragraph says what is wrong; the rest is about the command line.
            let text = error.to_string();
            let text = text.split("\n\n").next().unwrap_or_default();
            Err(usage(py, text.trim_start_matches("error: ")))
        }
    }
}

fn prepare_in(args: &TrainArgs, task: Arc<PythonTask>, description: &str) -> anyhow::Result<Ready> {
    let method = methods::find(&args.algo)?;
    let mut preset = method.for_robot(task.name())?;
    if !task.knows_termination() {
        if preset.get("model.termination").is_some() {
            preset = preset.with_settings(&["model.termination=learned"])?;
        } else if methods::build(&preset, task.clone()).given_termination().is_some() {
            return Err(UsageError(format!(
                "{} cannot learn which imagined observations end an episode: give `terminated`, a function of a batch of observations, or \
                 False where none does",
                method.name
            ))
            .into());
        }
    }
    let config = configure(args, method, &preset, args.variant.as_deref())?;
    if let Some(root) = args.out.as_ref().filter(|_| args.resume)
        && let Some(config) = start::begun(root, &config, None)?
    {
        return Ok(start::resume_as(root, config, |_, _| Ok(task))?);
    }
    let place = match &args.out {
        Some(root) => Place::Folder(root),
        None => Place::Numbered(Path::new(RUNS)),
    };
    observer::check(&config, &*task)?;
    let keep = |root: &Path| -> Result<(), SessionError> {
        Ok(replace(&Disk, &environment_path(root), description.as_bytes())?)
    };
    Ok(start::begin_keeping(place, config, task, keep)?)
}

/// Trains until the run is done, or a signal, a callback or an error ends it.
fn work(
    py: Python<'_>,
    ready: anyhow::Result<Ready>,
    task: Option<Arc<PythonTask>>,
    listeners: Listeners,
) -> PyResult<Outcome> {
    // A film finds its task by name, which a class of the user's own does not have here.
    let film = task.is_none();
    let failures = task.map(|task| Arc::clone(task.failures())).unwrap_or_default();
    let raise = |py, error: anyhow::Error| exception(py, &error, failures.take());
    let ready = ready.map_err(|error| raise(py, error))?;
    let root = ready.directory.root().to_owned();
    let steps = ready.config.steps();
    let shared = Arc::new(Shared::default());
    let Listeners { on_step, every_step, show, quiet, threads } = listeners;
    let watch =
        Watch { shared: Arc::clone(&shared), function: on_step, every_step, shows: show.is_some() };
    let progress = show.is_none().then(|| Style::suited(quiet));
    let started = py.detach(|| begin(ready, watch, progress, &failures, threads, film));
    let ended = Mutex::new(started.map_err(|error| raise(py, error))?);
    let outcome = wait(py, &ended, &shared, steps, show.as_ref());
    match outcome {
        Some(Ok(outcome)) => match shared.take_raised() {
            // What is typed to go on, where nothing of the user's own says more.
            Some(raised) if raised.is_instance_of::<PyKeyboardInterrupt>(py) => {
                Err(PyKeyboardInterrupt::new_err(format!(
                    "saved at step {}; go on with `ddppo.Run(\"{}\").resume()`",
                    thousands(outcome.step),
                    root.display()
                )))
            }
            Some(raised) => Err(raised),
            None => Ok((root, outcome.step)),
        },
        Some(Err(error)) => Err(raise(py, error.into())),
        None => Err(raise(py, anyhow::anyhow!("the run ended by an error of the program's own"))),
    }
}

type End = Result<SessionOutcome, SessionError>;

/// Starts the thread that trains.
fn begin(
    ready: Ready,
    watch: Watch,
    progress: Option<Style>,
    failures: &Arc<Failures>,
    threads: Option<u16>,
    film: bool,
) -> anyhow::Result<Receiver<End>> {
    observer::check(&ready.config, &*ready.task)?;
    let stop = watch.shared.request.clone();
    let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(CurveAtEnd::default()), Box::new(watch)];
    if ready.config.run().report.tensorboard {
        sinks.push(Box::new(TensorBoard::new(film)));
    }
    if let Some(style) = progress {
        sinks.push(Box::new(Progress::new(style, Box::new(std::io::stderr()))?));
    }
    let observers: Vec<Box<dyn Observer>> =
        vec![Box::new(Attentive(Arc::clone(failures))), Box::new(Analyses)];
    let session = Session { ready, threads, sinks, observers };
    let (tell, ended) = channel();
    std::thread::Builder::new().name("ddppo".to_owned()).spawn(move || {
        // Python has handlers of its own for signals: `wait` asks it.
        let _ = tell.send(session.run(&stop));
    })?;
    Ok(ended)
}

/// Waits for the end, and meanwhile for signals and news; `None` where the thread has died.
fn wait(
    py: Python<'_>,
    ended: &Mutex<Receiver<End>>,
    shared: &Shared,
    steps: u64,
    show: Option<&Py<PyAny>>,
) -> Option<End> {
    loop {
        let receive = || {
            let ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
            ended.recv_timeout(LOOK_EVERY)
        };
        let end = py.detach(receive);
        if let Some(show) = show {
            let news = shared.take_news();
            let step = shared.step.load(Ordering::Relaxed);
            if let Err(error) = show.call1(py, (step, steps, news.records, news.notices)) {
                shared.raise(error);
            }
        }
        match end {
            Ok(end) => return Some(end),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {}
        }
        // Ctrl-C among them: the run is saved before the exception is raised, with this step, or before it where it is a long one.
        if let Err(interrupt) = py.check_signals() {
            py.detach(|| say("saving, and stopping"));
            shared.raise(interrupt);
        }
    }
}
