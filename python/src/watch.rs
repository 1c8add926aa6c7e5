//! Who is told of a training: the user's functions, on the thread that trains, and the thread that waits for it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use ddppo::env::EnvironmentError;
use ddppo::run::Record;
use ddppo::session::signals::StopRequest;
use ddppo::session::{Answer, Observer, Sink, SinkError};
use ddppo::train::{TrainError, Trainer};
use pyo3::prelude::*;

use crate::environment::Failures;

/// What the two threads tell each other.
#[derive(Default)]
pub struct Shared {
    /// To save and stop after this step.
    pub stop: AtomicBool,
    /// The same, without waiting for the end of a step that takes long.
    pub request: StopRequest,
    /// Environment steps done.
    pub step: AtomicU64,
    /// What is to be shown: records as JSON, and notices.
    news: Mutex<News>,
    /// Why the user's functions stopped the run.
    raised: Mutex<Option<PyErr>>,
}

/// Records and notices since the last look.
#[derive(Default)]
pub struct News {
    /// Records, as JSON.
    pub records: Vec<String>,
    /// What the user should hear of.
    pub notices: Vec<String>,
}

/// Most records that wait to be shown; nobody waits for them in vain.
const MOST_NEWS: usize = 1000;

impl Shared {
    /// What is new since the last look.
    pub fn take_news(&self) -> News {
        self.news.lock().map(|mut news| std::mem::take(&mut *news)).unwrap_or_default()
    }

    /// Keeps the first exception that asks the run to stop.
    pub fn raise(&self, error: PyErr) {
        if let Ok(mut raised) = self.raised.lock() {
            raised.get_or_insert(error);
        }
        self.stop.store(true, Ordering::Relaxed);
        self.request.ask();
    }

    /// Why the run was asked to stop.
    pub fn take_raised(&self) -> Option<PyErr> {
        self.raised.lock().ok()?.take()
    }
}

/// Tells the user's function and the waiting thread.
pub struct Watch {
    pub shared: Arc<Shared>,
    /// `(step, records as JSON) -> bool`: False to stop.
    pub function: Option<Py<PyAny>>,
    /// Whether it wants to hear of steps without an evaluation.
    pub every_step: bool,
    /// Whether the waiting thread shows what is new.
    pub shows: bool,
}

impl Watch {
    fn ask(&self, step: u64, records: &[Record]) {
        let Some(function) = &self.function else { return };
        if !self.every_step && !records.iter().any(|record| record.kind == "evaluation") {
            return;
        }
        let lines: Vec<String> = records.iter().map(Record::to_line).collect();
        Python::attach(|py| {
            let answer = function.call1(py, (step, lines));
            match answer.and_then(|answer| answer.extract::<bool>(py)) {
                Ok(true) => {}
                Ok(false) => self.shared.stop.store(true, Ordering::Relaxed),
                Err(error) => self.shared.raise(error),
            }
        });
    }
}

impl Sink for Watch {
    fn name(&self) -> &str {
        "the callback"
    }

    fn step(&mut self, step: u64, records: &[Record]) -> Result<Answer, SinkError> {
        self.shared.step.store(step, Ordering::Relaxed);
        if self.shows
            && !records.is_empty()
            && let Ok(mut news) = self.shared.news.lock()
            && news.records.len() < MOST_NEWS
        {
            news.records.extend(records.iter().map(Record::to_line));
        }
        self.ask(step, records);
        let stop = self.shared.stop.load(Ordering::Relaxed);
        Ok(if stop { Answer::Stop } else { Answer::GoOn })
    }

    fn notice(&mut self, notice: &str) {
        if self.shows
            && let Ok(mut news) = self.shared.news.lock()
        {
            news.notices.push(notice.to_owned());
        }
    }
}

/// Ends a run in whose step the user's own code failed where it could not say so, before that step is saved.
pub struct Attentive(pub Arc<Failures>);

impl Observer for Attentive {
    fn observe(&mut self, _: &Trainer, _: &mut Vec<Record>) -> Result<(), TrainError> {
        match self.0.in_words() {
            None => Ok(()),
            Some(words) => Err(EnvironmentError::Physics(words).into()),
        }
    }
}
