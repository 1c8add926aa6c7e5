//! Trials whose outcomes are kept in a file each: what is there is read, what is missing is run.

use std::path::{Path, PathBuf};

use crate::lab::kept::{KeptError, TrialResult, read_of, write};
use crate::run::storage::StorageError;

/// A trial and the file of its outcome.
#[derive(Clone, Debug)]
pub struct PlacedTrial<T> {
    /// The file.
    pub place: PathBuf,
    /// What is to be done.
    pub trial: T,
}

/// Seconds that each trial that is not finished will take, `None` for those that are. Trials that are `alike` take the same time, so that one of them
/// is asked.
///
/// # Errors
/// When a file holds something else, or an estimate fails.
pub fn estimates<O: TrialResult, E: From<KeptError>>(
    trials: &[PlacedTrial<O::Trial>],
    alike: impl Fn(&O::Trial, &O::Trial) -> bool,
    estimate: impl Fn(&O::Trial) -> Result<f64, E>,
) -> Result<Vec<Option<f64>>, E> {
    let mut known: Vec<(&O::Trial, f64)> = Vec::new();
    let mut all = Vec::new();
    for PlacedTrial { place, trial } in trials {
        if read_of::<O>(place, trial)?.is_some() {
            all.push(None);
            continue;
        }
        let found =
            known.iter().find(|(other, _)| alike(other, trial)).map(|(_, seconds)| *seconds);
        let seconds = match found {
            Some(seconds) => seconds,
            None => {
                let seconds = estimate(trial)?;
                known.push((trial, seconds));
                seconds
            }
        };
        all.push(Some(seconds));
    }
    Ok(all)
}

/// The outcomes of all trials, in their order; each that is run is kept at once, and `done` hears of its number and outcome.
///
/// # Errors
/// When a file holds something else or cannot be written, or a trial fails.
pub fn run_missing<O: TrialResult, E: From<KeptError>>(
    trials: &[PlacedTrial<O::Trial>],
    run: impl Fn(&O::Trial) -> Result<O, E>,
    done: impl Fn(usize, &Path, &O),
) -> Result<Vec<O>, E> {
    let mut outcomes = Vec::new();
    for (i, PlacedTrial { place, trial }) in trials.iter().enumerate() {
        if let Some(outcome) = read_of(place, trial)? {
            outcomes.push(outcome);
            continue;
        }
        if let Some(folder) = place.parent() {
            let storage = StorageError::of("create", folder);
            std::fs::create_dir_all(folder).map_err(|e| KeptError::Storage(storage(e)))?;
        }
        let outcome = run(trial)?;
        write(place, &outcome).map_err(KeptError::Storage)?;
        done(i, place, &outcome);
        outcomes.push(outcome);
    }
    Ok(outcomes)
}
