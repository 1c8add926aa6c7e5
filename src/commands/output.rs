//! What all commands have in common: what they say, mistakes, and the run that they look at.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

use ddppo::run::text::harmless;
use ddppo::session::{self, SessionError};
use ddppo::train::Trainer;

use crate::cli::CheckpointArgs;

/// A mistake of the user that no other error type stands for.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Whoever read our output has closed it, as `head` does: no error.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads the output")]
pub struct Unread;

/// Whether an error says only that nobody reads the output.
pub fn is_unread(error: &anyhow::Error) -> bool {
    // The trace writes its lines itself. A file that cannot be written is a `StorageError`, whatever the reason.
    let broken = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe)
    };
    error.is::<Unread>() || error.is::<ddppo::env::TraceError>() && error.chain().any(broken)
}

/// Prints to standard output what the command is for; an error when it cannot be written, where `println!` would panic.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(harmless(text).as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Unread.into()),
        Err(error) => Err(anyhow::Error::from(error).context("standard output cannot be written")),
        Ok(()) => Ok(()),
    }
}

/// How long the end of the program waits for whoever reads what it says.
const PATIENCE: Duration = Duration::from_secs(1);

/// Says a line on standard error, whether somebody reads it or not.
pub fn say(text: &str) {
    let text = harmless(text) + "\n";
    on_the_side(move || {
        let _ = std::io::stderr().write_all(text.as_bytes());
    });
}

/// Prints to standard output what is nice to know, whether somebody reads it or not.
pub fn tell(text: &str) {
    let text = harmless(text);
    on_the_side(move || {
        let _ = std::io::stdout().write_all(text.as_bytes());
        let _ = std::io::stdout().flush();
    });
}

/// Does it on a thread of its own and waits a moment only: a full pipe that nobody empties holds a writer for ever.
fn on_the_side(write: impl FnOnce() + Send + 'static) {
    let (done, written) = std::sync::mpsc::sync_channel::<()>(0);
    let thread = std::thread::Builder::new().spawn(move || {
        write();
        drop(done);
    });
    if thread.is_ok() {
        let _ = written.recv_timeout(PATIENCE);
    }
}

/// The run in `root` in the saved state that was chosen.
pub fn chosen_run(root: &Path, which: CheckpointArgs) -> Result<Trainer, SessionError> {
    match which.step {
        Some(step) => session::saved::load_step(root, step),
        None => saved_run(root, which.best),
    }
}

/// The run in `root` as it was saved last, or with the policy that was scored best.
pub fn saved_run(root: &Path, best: bool) -> Result<Trainer, SessionError> {
    session::saved::load(root, best, &mut |warning| say(&format!("warning: {warning}")))
}
