//! Ctrl-C and SIGTERM: the first asks the run to save and stop, the second ends the process at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Whether a signal has asked the run to stop.
#[derive(Clone, Debug, Default)]
pub struct StopRequest {
    signal: Arc<AtomicI32>,
}

impl StopRequest {
    /// Starts to listen.
    pub fn listen() -> std::io::Result<Self> {
        let request = Self::default();
        let seen = Arc::clone(&request.signal);
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in &mut signals {
                if seen.swap(signal, Ordering::Relaxed) != 0 {
                    signal_hook::low_level::exit(128 + signal);
                }
                eprintln!("\nstopping after this step; once more stops at once, without saving");
            }
        })?;
        Ok(request)
    }

    /// The signal that came.
    pub fn signal(&self) -> Option<u8> {
        // Signal numbers are small and positive; 0 stands for none.
        u8::try_from(self.signal.load(Ordering::Relaxed)).ok().filter(|&signal| signal != 0)
    }
}
