//! `ddppo bench`.

use std::fmt::Write;
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use ddppo::lab::bench::twin::{Twin, TwinKind, TwinSettings};
use ddppo::lab::bench::{Bench, Effort, Piece, Timing, quantile};
use serde_json::json;

use super::output::{UsageError, print, say};
use crate::cli::{Against, BenchArgs};

/// Measured runs of a piece alone, and the time after which fewer have to do.
const ALONE: Effort = Effort { runs: 500, limit: Duration::from_secs(2) };
/// Milliseconds that a round against a twin takes on our side, if the runs are as many as [`IN_ROUND`] says.
const ROUND_MS: f64 = 250.0;
/// Measured runs of a piece in a round, at least and at most: a few milliseconds alone would be a matter of luck.
const IN_ROUND: RangeInclusive<usize> = 10..=100;

/// Rounds where no number is given.
pub const ROUNDS: u16 = 10;

/// Times the parts of a run.
pub fn run(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    let problem = match args {
        BenchArgs { runs, .. } if !runs.is_empty() => {
            "--runs needs --device gpu: on the processor, a run learns by itself"
        }
        BenchArgs { tf32: true, .. } => "--tf32 needs --device gpu",
        BenchArgs { rounds: Some(_), against: None, against_pytorch: false, .. } => {
            "--rounds needs --against or --device"
        }
        _ => "",
    };
    if !problem.is_empty() {
        return Err(UsageError(problem.to_owned()).into());
    }
    let task = ddppo::env::task(&args.task)?;
    let config = ddppo::methods::preset("ddppo", &args.task)?;
    let twin = twin(args);
    let choices = if twin.is_some() { &Piece::ALL[..Piece::IN_TWIN] } else { &Piece::ALL[..] };
    let pieces = if args.pieces.is_empty() {
        choices.to_vec()
    } else {
        let parsed = args.pieces.iter().map(|name| Piece::parse(name, choices));
        parsed.collect::<Result<Vec<_>, _>>()?
    };
    let threads = ddppo::session::run::worker_threads(args.threads);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .context("the worker threads cannot be started")?;
    let bench = Bench::new(&config, task, args.directions.map(usize::from))?;
    let mut session = Session { args, threads, bench };
    pool.install(|| match twin {
        Some(kind) => session.race(kind, &pieces),
        None => session.alone(&pieces),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The opponent, if there is to be one.
fn twin(args: &BenchArgs) -> Option<TwinKind> {
    let shorthand = args.against_pytorch.then_some(Against::PyTorch);
    args.against.or(shorthand).map(|against| match against {
        Against::PyTorch => TwinKind::PyTorch,
        Against::TorchCompile => TwinKind::TorchCompile,
        Against::Jax => TwinKind::Jax,
    })
}

struct Session<'a> {
    args: &'a BenchArgs,
    threads: usize,
    bench: Bench,
}

impl Session<'_> {
    /// One line a piece, as soon as it is measured.
    fn alone(&mut self, pieces: &[Piece]) -> anyhow::Result<()> {
        if !self.args.json {
            self.print_title()?;
            print(&format!(
                "{:<22}{:>12}{:>12}{:>10}{:>10}\n",
                "piece", "ms median", "ms p10", "GFLOP/s", "of peak"
            ))?;
        }
        for &piece in pieces {
            let measured = self.bench.measure(piece, ALONE)?;
            let Timing { ms_median, ms_p10, gflops, fraction_of_peak } = measured;
            if self.args.json {
                let line = json!({
                    "piece": piece.name(),
                    "task": self.args.task,
                    "threads": self.threads,
                    "ms_median": ms_median,
                    "ms_p10": ms_p10,
                    "gflops": gflops,
                    "fraction_of_peak": fraction_of_peak,
                });
                print(&format!("{line}\n"))?;
                continue;
            }
            let mut line = format!("{:<22}{ms_median:>12.3}{ms_p10:>12.3}", piece.name());
            if let (Some(gflops), Some(fraction)) = (gflops, fraction_of_peak) {
                write!(line, "{gflops:>10.1}{:>8.0} %", 100.0 * fraction)?;
            }
            print(&format!("{line}\n"))?;
        }
        if !self.args.json {
            let (own, library) = self.bench.peak().both();
            print(&format!(
                "sgemm peak: {own:.1} GFLOP/s by our kernel, {library:.1} by matrixmultiply\n"
            ))?;
        }
        Ok(())
    }

    fn print_title(&self) -> anyhow::Result<()> {
        print(&format!(
            "{} sizes, {} a row, {}, {}\n",
            self.args.task,
            counted(self.bench.directions(), "direction"),
            counted(self.threads, "thread"),
            ddppo::machine::isa::instruction_set()
        ))
    }

    /// Rounds of the twin's measurement, then ours; a ratio a round.
    fn race(&mut self, kind: TwinKind, pieces: &[Piece]) -> anyhow::Result<()> {
        let settings = TwinSettings {
            kind,
            task: &self.args.task,
            threads: self.threads,
            directions: self.bench.directions(),
        };
        let mut twin = Twin::start(settings, say)?;
        if !self.args.json {
            self.print_title()?;
            print(&format!(
                "{:<22}{:>12}{:>18}{:>24}\n",
                "piece",
                "ms",
                format!("{} ms", kind.title()),
                "times as fast (p10–p90)"
            ))?;
        }
        for &piece in pieces {
            // The first request builds a piece; both sides have then warmed up.
            let effort = |runs| Effort { runs, limit: Duration::from_secs(10) };
            let (least, most) = (*IN_ROUND.start(), *IN_ROUND.end());
            twin.measure(piece, least)?;
            let ms = self.bench.measure(piece, effort(least))?.ms_median;
            let runs = ((ROUND_MS / ms) as usize).clamp(least, most);
            let rounds = usize::from(self.args.rounds.unwrap_or(ROUNDS));
            let mut fraction = None;
            let pairs = (0..rounds).map(|_| {
                let answer = twin.measure(piece, runs)?;
                self.bench.hear(&answer);
                let ours = self.bench.measure(piece, effort(runs))?;
                fraction = ours.fraction_of_peak;
                Ok((ours.ms_median, answer.ms_median))
            });
            let pairs = pairs.collect::<anyhow::Result<Vec<(f64, f64)>>>()?;
            let ours = sorted(pairs.iter().map(|pair| pair.0));
            let theirs = sorted(pairs.iter().map(|pair| pair.1));
            let ratios = sorted(pairs.iter().map(|pair| pair.1 / pair.0));
            let [ours, theirs] = [&ours, &theirs].map(|ms| quantile(ms, 0.5));
            let [low, middle, high] = [0.1, 0.5, 0.9].map(|q| quantile(&ratios, q));
            print(&if self.args.json {
                let mut line = json!({
                    "piece": piece.name(),
                    "task": self.args.task,
                    "threads": self.threads,
                    "against": kind.name(),
                    "rounds": rounds,
                    "ms_median": ours,
                    "their_ms_median": theirs,
                    "ratio_median": middle,
                    "ratio_p10": low,
                    "ratio_p90": high,
                    // Of the last round, against the best rate of either side.
                    "fraction_of_peak": fraction,
                });
                if kind == TwinKind::PyTorch {
                    // Its key from before there were other twins.
                    line["pytorch_ms_median"] = theirs.into();
                }
                format!("{line}\n")
            } else {
                let spread = format!("{middle:.2} ({low:.2}–{high:.2})");
                format!("{:<22}{ours:>12.3}{theirs:>18.3}{spread:>24}\n", piece.name())
            })?;
        }
        Ok(())
    }
}

/// "1 thread", "2 threads".
fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

pub fn sorted(numbers: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers
}
