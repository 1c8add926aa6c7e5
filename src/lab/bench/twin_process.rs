//! A twin's process: it is asked in lines and answers in lines of JSON.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::de::DeserializeOwned;

use super::error::BenchError;

/// Where the twins' scripts lie in the source tree.
const SCRIPTS: &str = "benches/reference";

/// The source tree that a script lies in: the one that this program was built from, or the present folder, on another machine.
///
/// # Errors
/// When it is in neither.
pub(crate) fn source_tree(title: &str, script: &str) -> Result<PathBuf, BenchError> {
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR"));
    let trees = [built_from.to_owned(), PathBuf::from(".")];
    let found = trees.into_iter().find(|root| root.join(SCRIPTS).join(script).is_file());
    found.ok_or_else(|| {
        BenchError::Twin(format!(
            "{title} is compared with from the source tree, which is no longer in {}, nor the present folder",
            built_from.display()
        ))
    })
}

/// A started twin, which ends with this value.
pub(crate) struct TwinProcess {
    title: &'static str,
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl TwinProcess {
    /// Starts a script of the source tree `root` with an interpreter.
    ///
    /// # Errors
    /// When the interpreter cannot be started.
    pub fn start(
        title: &'static str,
        interpreter: &Path,
        (root, script): (&Path, &str),
        arguments: &[String],
    ) -> Result<Self, BenchError> {
        let mut child = Command::new(interpreter)
            .arg(root.join(SCRIPTS).join(script))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|reason| BenchError::File { path: interpreter.to_owned(), reason })?;
        let (Some(requests), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(BenchError::Twin(format!("{title}'s process has no pipes")));
        };
        Ok(Self { title, child, requests, answers: BufReader::new(answers) })
    }

    /// Sends a line and waits for what is answered.
    ///
    /// # Errors
    /// When the process ended, or answered something else.
    pub fn ask<T: DeserializeOwned>(&mut self, request: &str) -> Result<T, BenchError> {
        let asked = writeln!(self.requests, "{request}").and_then(|()| self.requests.flush());
        match asked {
            // A process that ended before it was asked breaks the pipe.
            Err(reason) if reason.kind() != ErrorKind::BrokenPipe => {
                Err(BenchError::Twin(format!("{} cannot be asked: {reason}", self.title)))
            }
            _ => self.hear(),
        }
    }

    /// Waits for a line.
    ///
    /// # Errors
    /// As [`TwinProcess::ask`].
    pub fn hear<T: DeserializeOwned>(&mut self) -> Result<T, BenchError> {
        let title = self.title;
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        if read.is_err() || line.is_empty() {
            let said = "process ended early; what it said is above";
            return Err(BenchError::Twin(format!("{title}'s {said}")));
        }
        serde_json::from_str(&line).map_err(|reason| {
            BenchError::Twin(format!("{title} answered `{}`: {reason}", line.trim()))
        })
    }
}

impl Drop for TwinProcess {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is collected.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
