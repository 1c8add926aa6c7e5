//! Signals that ask a run to save and stop: those of a terminal and those of a scheduler.
//!
//! | signal | sent by | exit code |
//! |---|---|---|
//! | INT | Ctrl-C | 130 |
//! | HUP | a terminal or an SSH connection that closes | 129 |
//! | TERM, USR1, USR2, XCPU | schedulers, before they take the machine away | 75 (EX_TEMPFAIL: to be tried again) |
//!
//! A second Ctrl-C ends the process at once. A second of the others does not: schedulers send USR1 and later TERM, and the
//! save that the first one asked for may still be going on. A run started with `nohup` outlives its terminal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU, SIGXFSZ};
use signal_hook::iterator::Signals;

use crate::nn::StopFlag;

/// Exit code of a run that a scheduler has stopped.
const TRY_AGAIN: u8 = 75;

/// Whether the run has been asked to stop, by a signal or a program.
#[derive(Clone, Debug, Default)]
pub struct StopRequest {
    signal: Arc<AtomicI32>,
    learning: StopFlag,
}

impl StopRequest {
    /// Starts to listen. `heard` is called with the first signal, on a thread of its own.
    ///
    /// # Errors
    /// When the signals cannot be listened to.
    pub fn listen(heard: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let mut wanted = vec![SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU];
        if !is_ignored(SIGHUP) {
            wanted.push(SIGHUP);
        }
        // A file that reaches its limit is an error of the write, not the end of the process.
        signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
        let request = Self::default();
        let Self { signal: seen, learning } = request.clone();
        let mut signals = Signals::new(wanted)?;
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in &mut signals {
                match seen.compare_exchange(0, signal, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => {
                        learning.raise();
                        heard();
                    }
                    Err(SIGINT) if signal == SIGINT => {
                        signal_hook::low_level::exit(128 + signal);
                    }
                    Err(_) => {}
                }
            }
        })?;
        Ok(request)
    }

    /// Asks by program, not by signal.
    pub fn ask(&self) {
        self.learning.raise();
    }

    /// Raised as soon as the run has been asked to stop: long learning breaks off.
    pub fn flag(&self) -> &StopFlag {
        &self.learning
    }

    /// The signal that came.
    pub fn signal(&self) -> Option<Signal> {
        let number = self.signal.load(Ordering::Relaxed);
        (number != 0).then_some(Signal(number))
    }
}

/// A signal that asked a run to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(i32);

impl Signal {
    /// The exit code of the process that was asked.
    pub fn exit_code(self) -> u8 {
        match self.0 {
            SIGINT | SIGHUP => 128 + self.0 as u8,
            _ => TRY_AGAIN,
        }
    }
}

/// Whether the process was started with a signal ignored, as `nohup` does it.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}
