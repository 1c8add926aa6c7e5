//! Who is told what happens in a run.
//!
//! A progress bar, plain lines, a TensorBoard file, a curve at the end, a callback: each is a [`Sink`]. The run's own
//! `metrics.jsonl` is none, since a run cannot go on without it: checkpoints count its lines.

use std::path::Path;
use std::time::Duration;

use crate::config::Config;
use crate::run::Record;
use crate::run::checkpoint::Evaluation;

use super::signals::Signal;

/// Why a sink cannot go on. The run does without it from then on.
pub type SinkError = Box<dyn std::error::Error + Send + Sync>;

/// What a sink wants of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To go on.
    GoOn,
    /// To save and stop, as after a signal.
    Stop,
}

/// How training ended, when it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All steps are done.
    Finished,
    /// The last evaluations reached `evaluation.stop_at_return`.
    Solved,
    /// By this signal.
    Interrupted(Signal),
    /// A sink wished it.
    Stopped,
}

/// A session that begins.
#[derive(Clone, Copy, Debug)]
pub struct Begun<'a> {
    /// The run's folder.
    pub root: &'a Path,
    /// Its configuration.
    pub config: &'a Config,
    /// Environment steps done before.
    pub first_step: u64,
}

/// A session that is over.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// The run's folder.
    pub root: &'a Path,
    /// Its configuration.
    pub config: &'a Config,
    /// Environment steps done.
    pub step: u64,
    /// How it ended; `None` when it failed.
    pub end: Option<End>,
    /// The last evaluation.
    pub evaluation: Option<Evaluation>,
    /// How long the session took.
    pub elapsed: Duration,
}

/// Is told what happens in a run, on the thread that trains: what may wait (a terminal, a network) belongs on a thread of
/// the sink's own.
///
/// # Errors
/// A method that fails is the last that is called of a sink; the others are told why.
pub trait Sink: Send {
    /// What it is, for messages: "the curve".
    fn name(&self) -> &str;

    /// A session begins.
    fn begin(&mut self, _session: Begun<'_>) -> Result<(), SinkError> {
        Ok(())
    }

    /// A step is done and its records, mostly none, are in `metrics.jsonl`.
    fn step(&mut self, _step: u64, _records: &[Record]) -> Result<Answer, SinkError> {
        Ok(Answer::GoOn)
    }

    /// Something that the user should hear of and that does not stop the run.
    fn notice(&mut self, _notice: &str) {}

    /// A session is over. All that it saved is on the disk.
    fn end(&mut self, _session: Ended<'_>) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Notices of a session that are passed on: what goes wrong at every step is told a few times only.
const MOST_NOTICES: u32 = 10;

/// All sinks of a session.
pub(super) struct Sinks {
    sinks: Vec<Box<dyn Sink>>,
    notices: u32,
}

impl Sinks {
    pub(super) fn new(sinks: Vec<Box<dyn Sink>>) -> Self {
        Self { sinks, notices: 0 }
    }

    pub(super) fn begin(&mut self, session: Begun<'_>) {
        self.each(|sink| sink.begin(session));
    }

    pub(super) fn step(&mut self, step: u64, records: &[Record]) -> Answer {
        let mut answer = Answer::GoOn;
        self.each(|sink| {
            if sink.step(step, records)? == Answer::Stop {
                answer = Answer::Stop;
            }
            Ok(())
        });
        answer
    }

    pub(super) fn notice(&mut self, notice: &str) {
        self.notices += 1;
        let more = match self.notices {
            ..MOST_NOTICES => "",
            MOST_NOTICES => " (further warnings are not shown)",
            _ => return,
        };
        let notice = format!("{notice}{more}");
        self.sinks.iter_mut().for_each(|sink| sink.notice(&notice));
    }

    pub(super) fn end(&mut self, session: Ended<'_>) {
        self.each(|sink| sink.end(session));
    }

    /// Asks every sink, in order; one that fails is left out from then on, and the others hear of it before they are asked.
    fn each(&mut self, mut ask: impl FnMut(&mut dyn Sink) -> Result<(), SinkError>) {
        let mut at = 0;
        while at < self.sinks.len() {
            match ask(&mut *self.sinks[at]) {
                Ok(()) => at += 1,
                Err(error) => {
                    let sink = self.sinks.remove(at);
                    self.notice(&format!("{} fails and is left out: {error}", sink.name()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    struct Broken;
    impl Sink for Broken {
        fn name(&self) -> &str {
            "the fax machine"
        }
        fn step(&mut self, step: u64, _: &[Record]) -> Result<Answer, SinkError> {
            if step == 2 { Err("no paper".into()) } else { Ok(Answer::GoOn) }
        }
    }

    struct Ear(Arc<Mutex<Vec<String>>>);
    impl Sink for Ear {
        fn name(&self) -> &str {
            "the ear"
        }
        fn step(&mut self, step: u64, _: &[Record]) -> Result<Answer, SinkError> {
            Ok(if step == 3 { Answer::Stop } else { Answer::GoOn })
        }
        fn notice(&mut self, notice: &str) {
            self.0.lock().unwrap().push(notice.to_owned());
        }
    }

    #[test]
    fn a_sink_that_fails_is_left_out_and_the_others_are_told() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let mut sinks = Sinks::new(vec![Box::new(Broken), Box::new(Ear(Arc::clone(&heard)))]);
        let answers: Vec<Answer> = (1..=4).map(|step| sinks.step(step, &[])).collect();
        assert_eq!(answers, [Answer::GoOn, Answer::GoOn, Answer::Stop, Answer::GoOn]);
        assert_eq!(*heard.lock().unwrap(), ["the fax machine fails and is left out: no paper"]);
        (0..30).for_each(|_| sinks.notice("it rains"));
        assert_eq!(heard.lock().unwrap().len(), MOST_NOTICES as usize);
    }
}
