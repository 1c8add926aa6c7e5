//! `ddppo record`.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ddppo::env::EnvironmentError;
use ddppo::report::film::{Filmed, Shot};

use ddppo::session::saved as saved_run;

use super::output::{UsageError, print, saved_run};
use crate::cli::RecordArgs;

/// Films an episode.
pub fn run(args: &RecordArgs) -> anyhow::Result<ExitCode> {
    let shot = Shot {
        seed: args.seed,
        seconds: args.seconds,
        camera: args.camera.clone(),
        ..Shot::default()
    };
    let mut progress = Progress::new();
    let mut drawn = |done, most| progress.drawn(done, most);
    let folder = Path::new(&args.subject);
    let filmed = if is_run(folder) {
        film(folder, args.best, &shot, &args.output, &mut drawn)?
    } else {
        let task =
            ddppo::env::task(&args.subject).map_err(|error| unknown(&args.subject, error))?;
        if args.best {
            let message = format!("--best needs a run, and {} is a task", args.subject);
            return Err(UsageError(message).into());
        }
        ddppo::report::film::record(
            &*task,
            &shot,
            &mut saved_run::random(&*task),
            &args.output,
            &mut drawn,
        )?
    };
    progress.end();
    print(&in_words(&args.output, &filmed))?;
    Ok(ExitCode::SUCCESS)
}

/// Films the policy of a run.
pub fn film(
    run: &Path,
    best: bool,
    shot: &Shot,
    output: &Path,
    drawn: &mut dyn FnMut(usize, usize),
) -> anyhow::Result<Filmed> {
    let run = saved_run(run, best)?;
    let mut act = saved_run::trained(&run);
    Ok(ddppo::report::film::record(run.task(), shot, &mut act, output, drawn)?)
}

/// What was filmed.
pub fn in_words(output: &Path, filmed: &Filmed) -> String {
    let (frames, steps) = (filmed.frames, filmed.steps);
    let outcome = if filmed.broke {
        format!("the physics became unstable at step {steps}, so there is no return")
    } else {
        format!("return {:.1}", filmed.total_reward)
    };
    format!("{}: {frames} frames of {steps} steps, {outcome}\n", output.display())
}

/// Time after which a film that is not done yet says so.
const PATIENCE: Duration = Duration::from_secs(2);

/// Says on standard error how far the film is, where it takes long: a height field may take seconds a picture.
struct Progress {
    last: Instant,
    said: bool,
    terminal: bool,
}

impl Progress {
    fn new() -> Self {
        Self { last: Instant::now(), said: false, terminal: std::io::stderr().is_terminal() }
    }

    fn drawn(&mut self, done: usize, most: usize) {
        // A line that is overwritten on a terminal; one now and then elsewhere.
        let patience = if self.terminal { PATIENCE } else { 10 * PATIENCE };
        if self.last.elapsed() < patience && !(self.said && self.terminal) {
            return;
        }
        (self.last, self.said) = (Instant::now(), true);
        let (start, end) = if self.terminal { ("\r", "") } else { ("", "\n") };
        // Nobody has to read it.
        let _ = write!(std::io::stderr(), "{start}picture {done} of at most {most}{end}");
    }

    fn end(&self) {
        if self.said && self.terminal {
            let _ = writeln!(std::io::stderr());
        }
    }
}

/// A folder, or something that could only be one: no task has a slash in its name.
fn is_run(path: &Path) -> bool {
    path.is_dir() || path.components().count() > 1
}

fn unknown(subject: &str, error: EnvironmentError) -> anyhow::Error {
    match error {
        EnvironmentError::UnknownTask { hint, known, .. } => UsageError(format!(
            "`{subject}` is neither the folder of a run nor a task{hint}; the tasks are {known}"
        ))
        .into(),
        error => error.into(),
    }
}
