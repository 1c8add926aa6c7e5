//! What is seen while a run trains: a bar on a terminal, a line now and then elsewhere.
//!
//! It is written on a thread of its own. A terminal that is stopped, or a pipe that nobody reads, keeps that thread waiting;
//! the run goes on, and what finds no room is not shown.

use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::run::Record;
use crate::run::text::{one_line, thousands};

use super::sink::{Answer, Begun, Ended, Sink, SinkError};

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Messages that wait for the terminal.
const QUEUE: usize = 1024;

/// Between two steps without records that are shown.
const STEP_EVERY: Duration = Duration::from_millis(50);

/// How long the end of a run waits for the terminal.
const PATIENCE: Duration = Duration::from_secs(1);

/// The latest of the figures that are shown.
const SHOWN: [(&str, &str, &str); 3] = [
    ("evaluation", "return_mean", "return"),
    ("train", "critic_loss", "critic"),
    ("train", "policy_loss", "policy"),
];

/// Cycles from one model training to the next over which the speed is taken.
const CYCLES: usize = 3;

/// Steps a second, over whole cycles: a model training takes as long as hundreds of steps beside it.
struct Pace {
    /// When which step was done: at the end of the warm-up or the start, and of the latest cycles.
    marks: VecDeque<(Instant, u64)>,
}

impl Pace {
    fn new(step: u64) -> Self {
        Self { marks: VecDeque::from([(Instant::now(), step)]) }
    }

    /// Notes that a cycle has ended.
    fn mark(&mut self, step: u64) {
        self.marks.push_back((Instant::now(), step));
        if self.marks.len() > CYCLES + 1 {
            self.marks.pop_front();
        }
    }

    /// Steps a second and time left, in words; nothing before a cycle has ended.
    fn in_words(&self, step: u64, steps: u64) -> String {
        let (start, first) = self.marks[0];
        let (end, last) = self.marks[self.marks.len() - 1];
        if last == first {
            return String::new();
        }
        let seconds = end.duration_since(start).as_secs_f64().max(1e-9);
        let speed = (last - first) as f64 / seconds;
        let left = steps.saturating_sub(step) as f64 / speed.max(1e-9);
        let left = humantime::format_duration(Duration::from_secs(left as u64));
        format!("{speed:.1} steps/s  {left} left")
    }
}

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Warnings only.
    Quiet,
    /// A line now and then.
    Lines,
    /// A bar that moves.
    Bar,
}

impl Style {
    /// What suits standard error: a bar where it is a terminal that can move its cursor.
    pub fn suited(quiet: bool) -> Self {
        let clever =
            std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
        match quiet {
            true => Self::Quiet,
            false if clever && std::io::stderr().is_terminal() => Self::Bar,
            false => Self::Lines,
        }
    }
}

enum Message {
    /// "training …", and the steps done and to be done.
    Begin(String, u64, u64),
    Step(u64, Vec<Record>),
    Notice(String),
    End,
}

/// Shows progress on a terminal, or in a file.
pub struct Progress {
    to: SyncSender<Message>,
    /// Closed when all has been shown.
    shown: Receiver<()>,
    /// When the last step was sent.
    sent: Instant,
}

impl Progress {
    /// On `out`; a bar goes to standard error, whatever `out` is.
    pub fn new(style: Style, out: Box<dyn Write + Send>) -> std::io::Result<Self> {
        let (to, messages) = sync_channel(QUEUE);
        let (done, shown) = sync_channel::<()>(0);
        std::thread::Builder::new().name("progress".to_owned()).spawn(move || {
            let mut display = Display::new(style, out);
            while let Ok(message) = messages.recv() {
                let last = matches!(message, Message::End);
                display.show(message);
                if last {
                    break;
                }
            }
            drop(done);
        })?;
        Ok(Self { to, shown, sent: Instant::now() })
    }

    /// Shows a message if there is room for it.
    fn send(&self, message: Message) {
        // Full or closed: whoever should read it does not.
        let _ = self.to.try_send(message);
    }
}

impl Sink for Progress {
    fn name(&self) -> &str {
        "progress"
    }

    fn begin(&mut self, session: Begun<'_>) -> Result<(), SinkError> {
        let Begun { root, config, first_step } = session;
        let from = match first_step {
            0 => String::new(),
            step => format!(" from step {}", thousands(step)),
        };
        let text = format!(
            "training {} by {} with seed {}{from} in {}",
            config.task(),
            config.algorithm(),
            config.seed(),
            root.display()
        );
        self.send(Message::Begin(text, first_step, config.steps()));
        Ok(())
    }

    fn step(&mut self, step: u64, records: &[Record]) -> Result<Answer, SinkError> {
        if !records.is_empty() || self.sent.elapsed() >= STEP_EVERY {
            self.sent = Instant::now();
            self.send(Message::Step(step, records.to_vec()));
        }
        Ok(Answer::GoOn)
    }

    fn notice(&mut self, notice: &str) {
        self.send(Message::Notice(notice.to_owned()));
    }

    fn end(&mut self, _: Ended<'_>) -> Result<(), SinkError> {
        let until = Instant::now() + PATIENCE;
        let mut message = Message::End;
        while let Err(TrySendError::Full(back)) = self.to.try_send(message) {
            if Instant::now() > until {
                return Ok(());
            }
            message = back;
            std::thread::sleep(Duration::from_millis(10));
        }
        // An error either way: all is shown, or the terminal takes too long.
        let _ = self.shown.recv_timeout(PATIENCE);
        Ok(())
    }
}

/// What is shown, on its own thread.
struct Display {
    style: Style,
    out: Box<dyn Write + Send>,
    bar: Option<ProgressBar>,
    /// When the last line was written.
    last: Instant,
    latest: [Option<f64>; SHOWN.len()],
    pace: Pace,
    steps: u64,
}

impl Display {
    fn new(style: Style, out: Box<dyn Write + Send>) -> Self {
        let latest = [None; SHOWN.len()];
        Self { style, out, bar: None, last: Instant::now(), latest, pace: Pace::new(0), steps: 0 }
    }

    fn show(&mut self, message: Message) {
        match message {
            Message::Begin(text, first_step, steps) => self.begin(&text, first_step, steps),
            Message::Step(step, records) => self.step(step, &records),
            Message::Notice(notice) => self.line(&format!("warning: {notice}")),
            Message::End => {
                if let Some(bar) = &self.bar {
                    bar.finish_and_clear();
                }
            }
        }
    }

    fn begin(&mut self, text: &str, first_step: u64, steps: u64) {
        (self.pace, self.steps) = (Pace::new(first_step), steps);
        if self.style != Style::Quiet {
            self.line(text);
        }
        if self.style == Style::Bar {
            let style = ProgressStyle::with_template(
                "{bar:30.cyan/blue} {human_pos}/{human_len} steps  {msg}",
            );
            let style = style.expect("the template is one of ours");
            let bar = ProgressBar::new(steps).with_style(style).with_position(first_step);
            bar.enable_steady_tick(Duration::from_millis(500));
            self.bar = Some(bar);
        }
    }

    fn step(&mut self, step: u64, records: &[Record]) {
        for record in records {
            for ((kind, key, _), latest) in SHOWN.iter().zip(&mut self.latest) {
                if record.kind == *kind
                    && let Some(value) = record.get(key)
                {
                    *latest = Some(value);
                }
            }
        }
        if let Some(record) = records.iter().find(|record| record.kind == "train") {
            match record.get("policy_updates") {
                // The warm-up's speed says nothing of what is left.
                Some(0.0) => self.pace = Pace::new(step),
                _ => self.pace.mark(step),
            }
        }
        if self.style == Style::Quiet {
            return;
        }
        let message = format!("{}  {}", self.figures(), self.pace.in_words(step, self.steps));
        let message = message.trim();
        if let Some(bar) = &self.bar {
            bar.set_position(step);
            bar.set_message(message.to_owned());
            return;
        }
        let evaluated = records.iter().any(|record| record.kind == "evaluation");
        if evaluated || self.last.elapsed() >= LINE_EVERY {
            self.last = Instant::now();
            let line = format!("step {}/{}  {message}", thousands(step), thousands(self.steps));
            self.line(&line);
        }
    }

    /// Writes a line, above the bar where there is one.
    fn line(&mut self, text: &str) {
        let text = one_line(text);
        match &self.bar {
            Some(bar) => bar.println(text),
            None => {
                // A reader that has gone away is no reason to stop.
                let _ = self.out.write_all((text + "\n").as_bytes());
                let _ = self.out.flush();
            }
        }
    }

    fn figures(&self) -> String {
        let shown = SHOWN.iter().zip(self.latest).filter_map(|((_, _, label), value)| {
            let value = value?;
            Some(if value.abs() < 1e5 {
                format!("{label} {value:.2}")
            } else {
                format!("{label} {value:.2e}")
            })
        });
        shown.collect::<Vec<_>>().join("  ")
    }
}
