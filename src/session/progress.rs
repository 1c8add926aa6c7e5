//! What is seen while a run trains: a bar on a terminal, a line now and then elsewhere.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use crate::run::Record;
use indicatif::{ProgressBar, ProgressStyle};

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Warnings shown of a session.
const MOST_WARNINGS: u32 = 10;

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

enum Display {
    Bar(ProgressBar),
    /// When the last line was written.
    Lines {
        last: Instant,
    },
    Nothing,
}

/// The state of the display.
pub struct Progress {
    display: Display,
    latest: [Option<f64>; SHOWN.len()],
    pace: Pace,
    steps: u64,
    warnings: u32,
}

impl Progress {
    /// Of a run that goes on from `first_step` to `steps`.
    pub fn new(quiet: bool, first_step: u64, steps: u64) -> anyhow::Result<Self> {
        let display = if quiet {
            Display::Nothing
        } else if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template(
                "{bar:30.cyan/blue} {human_pos}/{human_len} steps  {msg}",
            )?;
            let bar = ProgressBar::new(steps).with_style(style).with_position(first_step);
            bar.enable_steady_tick(Duration::from_millis(500));
            Display::Bar(bar)
        } else {
            Display::Lines { last: Instant::now() }
        };
        let pace = Pace::new(first_step);
        Ok(Self { display, latest: [None; SHOWN.len()], pace, steps, warnings: 0 })
    }

    /// Shows that `step` is done and what was measured in it.
    pub fn update(&mut self, step: u64, records: &[Record]) {
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
        let message = format!("{}  {}", self.message(), self.pace.in_words(step, self.steps));
        let message = message.trim();
        match &mut self.display {
            Display::Nothing => {}
            Display::Bar(bar) => {
                bar.set_position(step);
                bar.set_message(message.to_owned());
            }
            Display::Lines { last } => {
                let evaluated = records.iter().any(|record| record.kind == "evaluation");
                if evaluated || last.elapsed() >= LINE_EVERY {
                    *last = Instant::now();
                    eprintln!("step {}/{}  {message}", thousands(step), thousands(self.steps));
                }
            }
        }
    }

    /// Says what went wrong in a step, above the bar; a robot that breaks all the time says so a few times only.
    pub fn warn(&mut self, step: u64, warning: &str) {
        self.warnings += 1;
        let more = match self.warnings {
            ..MOST_WARNINGS => "",
            MOST_WARNINGS => " (further warnings are not shown)",
            _ => return,
        };
        let text = format!("warning: step {}: {warning}{more}", thousands(step));
        match &self.display {
            Display::Bar(bar) => bar.println(text),
            Display::Lines { .. } | Display::Nothing => eprintln!("{text}"),
        }
    }

    /// Takes the bar away, so that what follows is read.
    pub fn finish(&self) {
        if let Display::Bar(bar) = &self.display {
            bar.finish_and_clear();
        }
    }

    fn message(&self) -> String {
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

/// A whole number with its thousands apart.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
