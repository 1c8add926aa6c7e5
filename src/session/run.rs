//! One process's work on a run, from its start or a checkpoint to its end: train, log, save, draw.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::env::Task;
use crate::lab::analysis::observer;
use crate::report::curves::{self, CurveError};
use crate::run::checkpoint::{CheckpointStore, Evaluation, Info, Loaded};
use crate::run::directory::{RunDirectory, checkpoints_path};
use crate::run::manifest::{self, ManifestFile};
use crate::run::metrics::{self, MetricsLog};
use crate::run::storage::Disk;
use crate::train::{TrainError, Trainer};
use anyhow::Context;

use super::progress::Progress;
use super::progress::thousands;
use super::signals::StopRequest;

/// Where a session begins.
pub enum Start {
    /// At step 0.
    New,
    /// At a saved state.
    From(Box<Loaded>),
}

/// What a session needs.
pub struct Session {
    pub directory: RunDirectory,
    pub config: Config,
    pub task: Arc<dyn Task>,
    /// Where states are saved; the one that loaded the state to start from.
    pub store: CheckpointStore,
    /// All cores if `None`.
    pub threads: Option<u16>,
    pub quiet: bool,
}

/// How training ended, when it did not fail.
enum End {
    Finished,
    /// By this signal.
    Interrupted(u8),
}

/// The checkpoints of the run in `root`.
pub fn store(root: &Path, config: &Config) -> CheckpointStore {
    CheckpointStore::new(&checkpoints_path(root), config.run().checkpoint.keep, Box::new(Disk))
}

/// Worker threads for what was asked for: no more than there are cores. The result does not depend on their number, and
/// threads without a core only wait for each other (a critic update took 1.7 times as long with 16 on two cores).
pub fn worker_threads(asked: Option<u16>) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    asked.map_or(cores, |asked| usize::from(asked).min(cores))
}

/// What is at work while a run trains.
struct Work {
    trainer: Trainer,
    log: MetricsLog,
    evaluation: Option<Evaluation>,
}

impl Session {
    /// Trains to the end of the run, or until a signal comes.
    pub fn run(self, start: Start) -> anyhow::Result<ExitCode> {
        let threads = worker_threads(self.threads);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("worker {i}"))
            .build()
            .context("the worker threads cannot be started")?;
        let stop = StopRequest::listen().context("signals cannot be listened to")?;
        pool.install(|| self.run_in_pool(start, threads, &stop))
    }

    fn run_in_pool(
        mut self,
        start: Start,
        threads: usize,
        stop: &StopRequest,
    ) -> anyhow::Result<ExitCode> {
        let started = Instant::now();
        let mut work = self.prepare(start)?;
        let first_step = work.trainer.step();
        let session = manifest::Session::start(threads, first_step, mujoco_rs::mujoco_version());
        let mut manifest =
            ManifestFile::begin(&self.directory.manifest_path(), &self.config, session)?;
        let root = self.directory.root().display().to_string();
        if !self.quiet {
            let from = if first_step == 0 {
                String::new()
            } else {
                format!(" from step {}", thousands(first_step))
            };
            eprintln!(
                "training {} by {} with seed {}{from} in {root}",
                self.config.task(),
                self.config.algorithm(),
                self.config.seed()
            );
        }
        let mut progress = Progress::new(self.quiet, first_step, self.config.steps())?;
        let end = self.train(&mut work, &mut progress, stop);
        progress.finish();
        let step = work.trainer.step();
        match end {
            Ok(End::Finished) => {
                manifest.end(step, "finished")?;
                self.conclude(&work, started.elapsed())?;
                Ok(ExitCode::SUCCESS)
            }
            Ok(End::Interrupted(signal)) => {
                manifest.end(step, "interrupted")?;
                eprintln!("saved at step {}; go on with `ddppo resume {root}`", thousands(step));
                Ok(ExitCode::from(128 + signal))
            }
            Err(error) => {
                // Best effort: the reason of the failure may keep the manifest from being written as well.
                let _ = manifest.end(step, &format!("{error:#}"));
                let broke = matches!(error.downcast_ref(), Some(TrainError::Diverged { .. }));
                let error = match self.last_finite_metrics().filter(|_| broke) {
                    Some(metrics) => error.context(metrics),
                    None => error,
                };
                let saved = self.store.steps().ok().and_then(|steps| steps.last().copied());
                Err(match saved {
                    Some(saved) => error.context(format!(
                        "stopped at step {}; the checkpoint of step {} is intact, and `ddppo resume {root}` \
                         goes on from there",
                        thousands(step),
                        thousands(saved)
                    )),
                    None => error.context(format!("stopped at step {}, before the first checkpoint", thousands(step))),
                })
            }
        }
    }

    /// What training saw last that was all finite, in words.
    fn last_finite_metrics(&self) -> Option<String> {
        let lines = metrics::read(&self.directory.metrics_path()).ok()?;
        let line = lines.iter().rfind(|line| line.kind == "train" && line.is_finite())?;
        let seen = |name: &String| Some(format!("{name} {:.5}", line.get(name)?));
        let seen: Vec<String> = line.values.keys().filter_map(seen).collect();
        Some(format!(
            "the last finite metrics, of step {}: {}",
            thousands(line.step),
            seen.join(", ")
        ))
    }

    fn prepare(&self, start: Start) -> anyhow::Result<Work> {
        let (config, task) = (self.config.clone(), Arc::clone(&self.task));
        let (trainer, evaluation, lines) = match start {
            Start::New => {
                observer::check(&config, &*task)?;
                (Trainer::new(config, task)?, None, 0)
            }
            Start::From(loaded) => {
                let Loaded { path, info, snapshot, .. } = *loaded;
                let trainer = Trainer::restore(config, task, snapshot)
                    .with_context(|| format!("{} cannot be used", path.display()))?;
                (trainer, info.evaluation, info.metrics_lines)
            }
        };
        let log = MetricsLog::open(&self.directory.metrics_path(), lines)?;
        Ok(Work { trainer, log, evaluation })
    }

    fn train(
        &mut self,
        work: &mut Work,
        progress: &mut Progress,
        stop: &StopRequest,
    ) -> anyhow::Result<End> {
        let mut step = work.trainer.step();
        while step < self.config.steps() {
            let mut records = work.trainer.advance()?;
            records.extend(observer::observe(&work.trainer)?);
            step = work.trainer.step();
            work.log.append(&records)?;
            if let Some(warning) = work.trainer.take_warning() {
                progress.warn(step, &warning);
            }
            for record in records.iter().filter(|record| record.kind == "evaluation") {
                // A policy that breaks the physics, if only at times, is never the best.
                let stable = record.get("unstable").is_none_or(|unstable| unstable == 0.0);
                let return_mean =
                    record.get("return_mean").filter(|value| value.is_finite() && stable);
                work.evaluation = return_mean.map(|return_mean| Evaluation { step, return_mean });
            }
            progress.update(step, &records);
            let signal = stop.signal();
            if signal.is_some()
                || step.is_multiple_of(self.config.run().checkpoint.every_steps)
                || step >= self.config.steps()
            {
                self.save(work)?;
            }
            if let Some(signal) = signal {
                return Ok(End::Interrupted(signal));
            }
        }
        Ok(End::Finished)
    }

    fn save(&mut self, work: &mut Work) -> anyhow::Result<()> {
        let info = Info {
            step: work.trainer.step(),
            metrics_lines: work.log.sync()?,
            evaluation: work.evaluation,
            config: self.config.identity().to_string(),
        };
        self.store.save(&info, &work.trainer.snapshot())?;
        Ok(())
    }

    /// Draws the curve and says where everything is.
    fn conclude(&self, work: &Work, elapsed: Duration) -> anyhow::Result<()> {
        let root = self.directory.root();
        let curve = match curves::learning_curves(&[root.to_owned()], &[]) {
            Ok(figure) => {
                let (svg, png) = (root.join("curve.svg"), root.join("curve.png"));
                figure.write(&svg)?;
                figure.write(&png)?;
                format!("  curve       {}\n              {}\n", svg.display(), png.display())
            }
            // Runs too short for one, as tests of a set-up are.
            Err(CurveError::Empty(_)) => String::new(),
            Err(error) => return Err(error.into()),
        };
        let step = work.trainer.step();
        let outcome = match work.evaluation {
            Some(Evaluation { return_mean, step }) => {
                format!("mean return {return_mean:.1} at step {}", thousands(step))
            }
            None => "never evaluated".to_owned(),
        };
        let shown = root.display();
        print!(
            "trained {} for {} steps in {}: {outcome}\n{curve}  checkpoint  {}\n  try         ddppo evaluate {shown}\n",
            self.config.task(),
            thousands(step),
            humantime::format_duration(Duration::from_secs(elapsed.as_secs())),
            checkpoints_path(root).join(step.to_string()).display(),
        );
        Ok(())
    }
}
