//! `ddppo bench --device`: the programs of a group of runs, for several numbers of runs.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use ddppo::device::graph::ProductPrecision;
use ddppo::device::group::pieces::PieceCourse;
use ddppo::lab::bench::on_device::{
    DeviceBench, DeviceRow, GradientDifferences, GroupTwin, GroupTwinSettings,
};
use ddppo::lab::bench::quantile;
use serde_json::json;

use super::bench::{ROUNDS, sorted};
use super::output::{UsageError, print, say};
use crate::cli::{Against, BenchArgs};

/// Numbers of runs where none are given, those of docs/devices.md.
const RUNS: [usize; 4] = [1, 4, 12, 48];
/// Milliseconds that a side takes in a round, and most times of a piece in it.
const ROUND_MS: f64 = 100.0;
const MOST_TIMES: f64 = 200.0;
/// No new round begins after this, once there are [`LEAST_ROUNDS`]: a processor's plugin is slow.
const LIMIT: Duration = Duration::from_secs(20);
const LEAST_ROUNDS: usize = 3;

/// Times every piece for every number of runs, a line each as soon as it is measured.
pub fn run(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    let problem = match args {
        BenchArgs { directions: Some(_), .. } => {
            "--directions is for the processor's pieces: gradient_model_step_M has its own"
        }
        BenchArgs { against: Some(Against::PyTorch | Against::TorchCompile), .. }
        | BenchArgs { against_pytorch: true, .. } => "a device is raced against jax alone",
        _ => "",
    };
    if !problem.is_empty() {
        return Err(UsageError(problem.to_owned()).into());
    }
    let task = ddppo::env::task(&args.task)?;
    let config = ddppo::methods::preset("ddppo", &args.task)?;
    let choices = DeviceBench::rows(&config);
    let rows = if args.pieces.is_empty() {
        choices
    } else {
        let parsed = args.pieces.iter().map(|name| DeviceRow::parse(name, &choices));
        parsed.collect::<Result<Vec<_>, _>>()?
    };
    let device = args.device.open()?.context("the processor is no device")?;
    let precision = if args.tf32 { ProductPrecision::Fast } else { ProductPrecision::Single };
    let threads = ddppo::session::run::worker_threads(args.threads);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .context("the worker threads cannot be started")?;
    let mut session = Session { args, threads, twin: None };
    let runs = if args.runs.is_empty() { &RUNS[..] } else { &args.runs };
    pool.install(|| {
        for (number, &runs) in runs.iter().enumerate() {
            let (device, task) = (device.clone(), task.clone());
            let name = format!("{} ({})", device.platform, device.kind);
            let mut bench = DeviceBench::new(device.clone(), &config, task, runs, precision)?;
            if number == 0 {
                session.begin(&name, &device.platform)?;
            }
            for &row in &rows {
                session.measure(&mut bench, runs, row, &name)?;
            }
            if let (Some(bytes), false) = (bench.most_memory(), args.json) {
                print(&format!("device memory so far: at most {:.2} GB\n", bytes as f64 / 1e9))?;
            }
            if args.tf32 {
                session.tell_differences(bench, runs)?;
            }
        }
        anyhow::Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

struct Session<'a> {
    args: &'a BenchArgs,
    threads: usize,
    twin: Option<GroupTwin>,
}

impl Session<'_> {
    /// Starts the twin, if there is to be one, and prints what is measured on.
    fn begin(&mut self, name: &str, platform: &str) -> anyhow::Result<()> {
        let Self { args, threads, twin } = self;
        if args.against == Some(Against::Jax) {
            let (threads, tf32) = (*threads, args.tf32);
            let settings = GroupTwinSettings { task: &args.task, platform, threads, tf32 };
            *twin = Some(GroupTwin::start(settings, say)?);
        }
        if args.json {
            return Ok(());
        }
        let exactness = if args.tf32 { "tf32" } else { "f32" };
        let on = twin.as_ref().map_or(String::new(), |twin| {
            format!(", against JAX {} on {}", twin.on.version, twin.on.device)
        });
        let threads = *threads;
        print(&format!(
            "{} sizes on {name}, {exactness}, {threads} threads{on}; ms of one\n",
            args.task
        ))?;
        let columns =
            format!("{:>5}  {:<24}{:>12}{:>14}", "runs", "piece", "program", "in training");
        let race = if twin.is_some() {
            format!("{:>12}{:>26}", "JAX", "times as fast (p10–p90)")
        } else {
            String::new()
        };
        print(&format!("{columns}{race}\n"))
    }

    /// What TF32 does to the policies' gradients.
    fn tell_differences(&self, bench: DeviceBench, runs: usize) -> anyhow::Result<()> {
        let GradientDifferences { tf32, minibatch } = bench.gradient_differences()?;
        print(&if self.args.json {
            let line =
                json!({ "runs": runs, "gradient_tf32": tf32, "gradient_minibatch": minibatch });
            format!("{line}\n")
        } else {
            let [tf32, minibatch] = [tf32, minibatch].map(|share| 100.0 * share);
            format!(
                "policy gradient: TF32 changes it by {tf32:.3} % of its length, another minibatch by {minibatch:.1} %\n"
            )
        })
    }

    fn measure(
        &mut self,
        bench: &mut DeviceBench,
        runs: usize,
        row: DeviceRow,
        device: &str,
    ) -> anyhow::Result<()> {
        let piece = row.name();
        let courses = [PieceCourse::Program, PieceCourse::Training];
        let courses: Vec<PieceCourse> =
            courses.into_iter().filter(|&course| DeviceBench::has(row, course)).collect();
        // The first time compiles; the second says how many make a round.
        let times = |ms: f64| (ROUND_MS / ms).clamp(1.0, MOST_TIMES) as usize;
        let mut of_courses = Vec::new();
        for &course in &courses {
            bench.measure(row, course, 1)?;
            of_courses.push((course, times(bench.measure(row, course, 1)?), Vec::new()));
        }
        let per_call = bench.per_call(row);
        let their_times = match &mut self.twin {
            Some(twin) => times(twin.measure(&piece, runs, 1, per_call)?),
            None => 0,
        };
        let mut theirs = Vec::new();
        let started = Instant::now();
        for round in 0..usize::from(self.args.rounds.unwrap_or(ROUNDS)) {
            if round >= LEAST_ROUNDS && started.elapsed() > LIMIT {
                break;
            }
            if let Some(twin) = &mut self.twin {
                theirs.push(twin.measure(&piece, runs, their_times, per_call)?);
            }
            for (course, times, measured) in &mut of_courses {
                measured.push(bench.measure(row, *course, *times)?);
            }
        }
        let median = |ms: &[f64]| quantile(&sorted(ms.iter().copied()), 0.5);
        let of = |wanted: PieceCourse| {
            of_courses.iter().find(|(course, ..)| *course == wanted).map(|(.., ms)| median(ms))
        };
        let [program, training] = [PieceCourse::Program, PieceCourse::Training].map(of);
        // The twin's programs are compared with ours; where a training's work is more than a program, with that.
        let ratios = theirs.iter().zip(&of_courses[0].2).map(|(theirs, ours)| theirs / ours);
        let ratios = sorted(ratios);
        if self.args.json {
            let mut line = json!({
                "piece": piece,
                "runs": runs,
                "task": self.args.task,
                "device": device,
                "tf32": self.args.tf32,
                "threads": self.threads,
                "rounds": of_courses[0].2.len(),
                "program_ms_median": program,
                "training_ms_median": training,
            });
            if !ratios.is_empty() {
                line["against"] = "jax".into();
                line["their_ms_median"] = median(&theirs).into();
                line["ratio_median"] = quantile(&ratios, 0.5).into();
                line["ratio_p10"] = quantile(&ratios, 0.1).into();
                line["ratio_p90"] = quantile(&ratios, 0.9).into();
            }
            return print(&format!("{line}\n"));
        }
        let number = |ms: Option<f64>| ms.map_or("–".to_owned(), |ms| format!("{ms:.3}"));
        let race = if ratios.is_empty() {
            String::new()
        } else {
            let [low, middle, high] = [0.1, 0.5, 0.9].map(|q| quantile(&ratios, q));
            let spread = format!("{middle:.2} ({low:.2}–{high:.2})");
            format!("{:>12.3}{spread:>26}", median(&theirs))
        };
        let (program, training) = (number(program), number(training));
        print(&format!("{runs:>5}  {piece:<24}{program:>12}{training:>14}{race}\n"))
    }
}
