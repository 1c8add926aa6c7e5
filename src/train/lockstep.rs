//! Runs in lockstep: each acts and stores by itself, on the host's cores, and one device learns for all of them.

use rayon::prelude::*;

use super::trainer::{TrainError, Trainer};
use crate::config::{Config, differences};
use crate::device::DeviceLearner;
use crate::device::graph::ProductPrecision;
use crate::device::pjrt::{Device, DeviceError};
use crate::methods::Method;
use crate::nn::LearnError;
use crate::run::Record;

/// Why runs cannot be trained together.
#[derive(Debug, thiserror::Error)]
pub enum LockstepError {
    /// The device refuses.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// They are not alike.
    #[error("runs in one batch differ in their seeds and in R alone: {0}")]
    Different(String),
}

/// Settings that may differ among the runs of a batch: the host draws R, and its programs are chosen run by run where models are trained step by
/// step.
fn may_differ(config: &Config, key: &str) -> bool {
    key == "seed" || key.starts_with("gradient_loss.") && !DeviceLearner::is_in_blocks(config)
}

/// Why two runs cannot be in one batch, in words; `None` where they can.
pub fn difference(one: &Config, other: &Config) -> Option<String> {
    let all = differences(&one.identity(), &other.identity());
    let (key, one, other) = all.into_iter().find(|(key, ..)| !may_differ(one, key))?;
    Some(format!("`{key}` is {one} in one and {other} in another"))
}

/// A step of a run: what is to be logged, or why the run ended.
pub type StepOutcome = Result<Vec<Record>, TrainError>;

/// Runs that advance together.
pub struct Lockstep {
    /// None where a run has ended.
    runs: Vec<Option<Trainer>>,
    group: DeviceLearner,
}

impl Lockstep {
    /// Runs that [may be in one batch](difference).
    ///
    /// # Errors
    /// When they are not alike, no device program is for their method, or the device fails.
    pub fn new(
        mut runs: Vec<Trainer>,
        device: Device,
        precision: ProductPrecision,
    ) -> Result<Self, LockstepError> {
        let (first, others) = runs.split_first().expect("a group has a run");
        for other in others {
            if let Some(difference) = difference(first.config(), other.config()) {
                return Err(LockstepError::Different(difference));
            }
            DeviceLearner::check(other.config())?;
        }
        let config = first.config().clone();
        let mut methods: Vec<&mut dyn Method> =
            runs.iter_mut().map(|run| run.learning().0).collect();
        let group = DeviceLearner::new(device, &config, &mut methods, precision)?;
        Ok(Self { runs: runs.into_iter().map(Some).collect(), group })
    }

    /// One environment step of all runs that have not ended, and all learning after it. Where some are behind, as after a kill in the middle
    /// of saving, the others wait for them. A run whose outcome is an error has ended; one that is not there or waits has none. Between
    /// steps a method holds its present policy; the rest of what it learns when [`Lockstep::fetch`] has brought it.
    ///
    /// # Errors
    /// When the device fails, and with it all runs.
    pub fn advance(&mut self) -> Result<Vec<Option<StepOutcome>>, DeviceError> {
        let Self { runs, group } = self;
        let last = runs.iter().flatten().map(Trainer::step).min().unwrap_or(0);
        let acted: Vec<Option<Result<(), TrainError>>> = runs
            .par_iter_mut()
            .map(|run| run.as_mut().filter(|run| run.step() == last).map(Trainer::begin_step))
            .collect();
        let mut learning = Vec::new();
        for (run, acted) in runs.iter_mut().zip(&acted) {
            learning.push(match (run, acted) {
                (Some(run), Some(Ok(()))) => Some(run.learning()),
                _ => None,
            });
        }
        let learned: Vec<Result<(), LearnError>> = group.learn(last + 1, &mut learning)?;
        drop(learning);
        let ends = runs.par_iter_mut().zip(acted).zip(learned);
        Ok(ends
            .map(|((run, acted), learned)| {
                let outcome = match (run.as_mut(), acted?) {
                    (Some(trainer), Ok(())) => trainer.end_step(learned),
                    (_, Err(error)) => Err(error),
                    (None, Ok(())) => return None,
                };
                if outcome.is_err() {
                    *run = None;
                }
                Some(outcome)
            })
            .collect())
    }

    /// Brings all that is learned back into the methods: before a state is saved, or looked at.
    ///
    /// # Errors
    /// When the device fails.
    pub fn fetch(&mut self) -> Result<(), DeviceError> {
        let mut methods = Vec::new();
        for run in &mut self.runs {
            methods.push(run.as_mut().map(|run| run.learning().0));
        }
        self.group.fetch(&mut methods)
    }

    /// Run number `i`; `None` where it has ended.
    pub fn run(&self, i: usize) -> Option<&Trainer> {
        self.runs[i].as_ref()
    }

    /// Run number `i`, to be saved or warned of.
    pub fn run_mut(&mut self, i: usize) -> Option<&mut Trainer> {
        self.runs[i].as_mut()
    }

    /// Ends run number `i`.
    pub fn end(&mut self, i: usize) -> Option<Trainer> {
        self.runs[i].take()
    }
}
