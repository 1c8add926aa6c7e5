//! Saved states in `checkpoints/`, so written that a crash at any moment leaves the old ones or the new one whole.
//!
//! ```text
//! checkpoints/1000/state.safetensors   networks, moments, generators, physics
//! checkpoints/1000/state.json          counters, configuration, list of row segments
//! checkpoints/1000/checksums           CRC-32 and size of the two
//! checkpoints/rows/replay-0-1000.safetensors    rows of a growing table, shared by later checkpoints
//! ```
//!
//! New segments are written first, then the folder under a temporary name; both are synced, renamed and synced again. No
//! file holds a time, so equal states are equal bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::encoding;
pub use super::encoding::{Evaluation, FORMAT, Info};
use super::encoding::{Header, Segment};
use super::names::{is_begun_segment, is_leftover, is_segment, step_of};
use super::snapshot::Snapshot;
use super::storage::{FileKind, Storage, StorageError, folder_of, is_folder, kind, put};
use super::verify;
use super::verify::{CHECKSUMS, HEADER, ROWS, TENSORS, Unusable, checksum_file};
pub use super::verify::{CheckpointError, Damage, Loaded};

/// The checkpoints of one run. One process at a time: see [`super::directory::RunDirectory`] for the lock.
pub struct CheckpointStore {
    directory: PathBuf,
    keep: usize,
    storage: Box<dyn Storage>,
    /// Segments on disk of each table, as the last saved or loaded checkpoint lists them.
    tables: BTreeMap<String, Vec<Segment>>,
    /// Step of that checkpoint.
    current: Option<u64>,
    /// What went wrong beside the point and has not been told yet.
    warnings: Vec<String>,
}

impl CheckpointStore {
    /// The store in `directory`, which need not exist yet. After each save the `keep` newest checkpoints stay, and the
    /// best by evaluation.
    pub fn new(directory: &Path, keep: usize, storage: Box<dyn Storage>) -> Self {
        Self {
            directory: directory.to_owned(),
            keep,
            storage,
            tables: BTreeMap::new(),
            current: None,
            warnings: Vec::new(),
        }
    }

    /// What could not be tidied up since this was asked last: no reason to stop a run.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Saves a state. Saving the step that was last saved or loaded does nothing: the state is the same.
    ///
    /// # Errors
    /// When a file operation fails. All older checkpoints are whole then.
    pub fn save(&mut self, info: &Info, snapshot: &Snapshot) -> Result<PathBuf, StorageError> {
        let target = self.directory.join(info.step.to_string());
        if self.current == Some(info.step) {
            return Ok(target);
        }
        let rows = self.directory.join(ROWS);
        for folder in [&self.directory, &rows] {
            if !is_folder(folder).map_err(StorageError::of("use", folder))? {
                self.storage
                    .create_directory(folder)
                    .map_err(StorageError::of("create", folder))?;
                let parent = folder_of(folder);
                self.storage.sync_directory(parent).map_err(StorageError::of("sync", parent))?;
            }
        }
        let tables = self.write_segments(&rows, snapshot)?;
        let header = Header {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            info: info.clone(),
            values: snapshot.values.clone(),
            tables,
        };
        self.write_folder(&target, &header, snapshot)?;
        self.tables = header.tables;
        self.current = Some(info.step);
        self.prune(info.step);
        Ok(target)
    }

    /// Loads the newest checkpoint that is whole.
    ///
    /// # Errors
    /// When there is none, or the newest undamaged one was written in another format.
    pub fn load_newest(&mut self) -> Result<Loaded, CheckpointError> {
        self.load_newest_that(|_| Ok(()))
    }

    /// Loads the newest checkpoint that is whole and fits what else there is of the run: `fits` says what is wrong with
    /// one that does not.
    ///
    /// # Errors
    /// As [`CheckpointStore::load_newest`].
    pub fn load_newest_that(
        &mut self,
        fits: impl Fn(&Info) -> Result<(), Damage>,
    ) -> Result<Loaded, CheckpointError> {
        let steps = self.steps()?;
        self.load_first(steps.into_iter().rev(), fits)
    }

    /// Loads the whole checkpoint of the policy that was scored best, the oldest of equals; the newest checkpoint where
    /// none holds a policy that was scored.
    ///
    /// # Errors
    /// As [`CheckpointStore::load_newest`].
    pub fn load_best(&mut self) -> Result<Loaded, CheckpointError> {
        let mut scored: Vec<(u64, Option<f64>)> =
            self.steps()?.into_iter().map(|step| (step, self.score(step))).collect();
        scored.sort_by(|&(step, score), &(other, other_score)| {
            let [mine, others] =
                [score, other_score].map(|score| score.unwrap_or(f64::NEG_INFINITY));
            let later = step.cmp(&other);
            others.total_cmp(&mine).then(if score.is_some() { later } else { later.reverse() })
        });
        self.load_first(scored.into_iter().map(|(step, _)| step), |_| Ok(()))
    }

    /// Loads the checkpoint of a step.
    ///
    /// # Errors
    /// When there is none, or it is damaged or was written in another format.
    pub fn load_step(&mut self, step: u64) -> Result<Loaded, CheckpointError> {
        let steps = self.steps()?;
        if !steps.contains(&step) {
            return Err(CheckpointError::NoStep { directory: self.directory.clone(), step, steps });
        }
        self.load_first([step].into_iter(), |_| Ok(()))
    }

    /// The best score of a policy that is saved, of those up to `step`.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn best_score(&self, step: u64) -> Result<Option<f64>, StorageError> {
        let earlier = self.steps()?.into_iter().filter(|&saved| saved <= step);
        let scores = earlier.filter_map(|step| self.score(step));
        Ok(scores.max_by(f64::total_cmp))
    }

    /// The step of the newest checkpoint that can be loaded. All files are read for it.
    pub fn newest_whole(&self) -> Option<u64> {
        let steps = self.steps().ok()?;
        steps.into_iter().rev().find(|&step| verify::load(&self.directory, step).is_ok())
    }

    /// Steps of all checkpoints, damaged ones too, oldest first.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn steps(&self) -> Result<Vec<u64>, StorageError> {
        let use_it = StorageError::of("use", &self.directory);
        if !is_folder(&self.directory).map_err(use_it)? {
            return Ok(Vec::new());
        }
        let mut steps: Vec<u64> =
            entries(&self.directory)?.filter_map(|path| step_of(&path)).collect();
        steps.sort_unstable();
        Ok(steps)
    }

    fn load_first(
        &mut self,
        steps: impl Iterator<Item = u64>,
        fits: impl Fn(&Info) -> Result<(), Damage>,
    ) -> Result<Loaded, CheckpointError> {
        let mut damages = Vec::new();
        for step in steps {
            match verify::load(&self.directory, step) {
                Ok((loaded, tables)) => {
                    if let Err(misfit) = fits(&loaded.info) {
                        damages.push(misfit);
                        continue;
                    }
                    self.tables = tables;
                    self.current = Some(step);
                    return Ok(Loaded { passed_over: damages, ..loaded });
                }
                Err(Unusable::Damaged(damage)) => damages.push(damage),
                Err(Unusable::OtherFormat(error)) => return Err(error),
            }
        }
        let directory = self.directory.clone();
        Err(if damages.is_empty() {
            CheckpointError::None { directory }
        } else {
            CheckpointError::AllDamaged { directory, damages }
        })
    }

    /// Writes the rows that are new since the last checkpoint, and returns the whole list.
    fn write_segments(
        &self,
        folder: &Path,
        snapshot: &Snapshot,
    ) -> Result<BTreeMap<String, Vec<Segment>>, StorageError> {
        let mut all = BTreeMap::new();
        let mut written = false;
        for (name, table) in &snapshot.rows {
            let total = table.shape.first().copied().unwrap_or(0);
            // Rows that have changed after all are written anew from there on.
            let mut segments: Vec<Segment> = self
                .tables
                .get(name)
                .map_or(&[][..], Vec::as_slice)
                .iter()
                .take_while(|old| {
                    old.first_row + old.rows <= total
                        && crc32fast::hash(&encoding::encode_rows(table, old.first_row, old.rows))
                            == old.crc32
                })
                .cloned()
                .collect();
            let first_row = segments.last().map_or(0, |last| last.first_row + last.rows);
            // An empty table still needs a file: its width is part of the state.
            if first_row < total || segments.is_empty() {
                let bytes = encoding::encode_rows(table, first_row, total - first_row);
                let crc32 = crc32fast::hash(&bytes);
                let flat = name.replace('/', ".");
                let file = format!("{flat}-{first_row}-{total}-{crc32:08x}.safetensors");
                put(&*self.storage, &folder.join(&file), &bytes)?;
                written = true;
                segments.push(Segment { file, first_row, rows: total - first_row, crc32 });
            }
            all.insert(name.clone(), segments);
        }
        if written {
            // Once for all of them: nothing refers to them before.
            self.storage.sync_directory(folder).map_err(StorageError::of("sync", folder))?;
        }
        Ok(all)
    }

    /// Writes a checkpoint's folder under a temporary name and gives it its own.
    fn write_folder(
        &self,
        target: &Path,
        header: &Header,
        snapshot: &Snapshot,
    ) -> Result<(), StorageError> {
        let storage = &*self.storage;
        let step = header.info.step;
        let temporary = self.free_name(".tmp", step)?;
        storage.create_directory(&temporary).map_err(StorageError::of("create", &temporary))?;
        let mut json =
            serde_json::to_vec_pretty(header).expect("a header is plain data with string keys");
        json.push(b'\n');
        let tensors = encoding::encode(&snapshot.tensors);
        let checksums = checksum_file(&json, &tensors).into_bytes();
        for (name, bytes) in [(TENSORS, tensors), (HEADER, json), (CHECKSUMS, checksums)] {
            let file = temporary.join(name);
            storage.write(&file, &bytes).map_err(StorageError::of("write", &file))?;
        }
        storage.sync_directory(&temporary).map_err(StorageError::of("sync", &temporary))?;
        // There only when it was passed over: a run never comes back to a step otherwise.
        let existed = kind(target).map_err(StorageError::of("read", target))? != FileKind::Nothing;
        let replaced = if existed { Some(self.free_name(".old", step)?) } else { None };
        if let Some(replaced) = &replaced {
            storage.rename(target, replaced).map_err(StorageError::of("rename", target))?;
        }
        storage.rename(&temporary, target).map_err(StorageError::of("write", target))?;
        storage.sync_directory(&self.directory).map_err(StorageError::of("sync", &self.directory))
        // What was replaced goes with all else that is left over.
    }

    /// A hidden name for the folder of a step that nothing has. Folders on network file systems cannot always be removed
    /// when they should be, so there are several.
    fn free_name(&self, prefix: &str, step: u64) -> Result<PathBuf, StorageError> {
        let mut last = None;
        for n in 0..NAMES {
            let more = if n == 0 { String::new() } else { format!("-{n}") };
            let path = self.directory.join(format!("{prefix}-{step}{more}"));
            let removed = match kind(&path).map_err(StorageError::of("read", &path))? {
                FileKind::Nothing => return Ok(path),
                FileKind::Folder => self.storage.remove_directory(&path),
                _ => self.storage.remove_file(&path),
            };
            match removed {
                Ok(()) => return Ok(path),
                Err(error) => last = Some(StorageError::of("remove", &path)(error)),
            }
        }
        Err(last.expect("there is at least one name"))
    }

    /// Removes what is neither among the newest nor the best, and what no checkpoint refers to. Only names that a run gives
    /// are looked at, and what cannot be removed is a warning: the next save tries again.
    fn prune(&mut self, current: u64) {
        let mut failed = Vec::new();
        if let Err(error) = self.try_prune(current, &mut failed) {
            failed.push(error);
        }
        self.warnings.extend(failed.iter().map(|error| format!("old checkpoints stay: {error}")));
    }

    fn try_prune(&self, current: u64, failed: &mut Vec<StorageError>) -> Result<(), StorageError> {
        let steps = self.steps()?;
        // Later ones were passed over: this run resumed from before them.
        let earlier = || steps.iter().copied().filter(|&step| step <= current);
        let mut kept: BTreeSet<u64> = earlier().rev().take(self.keep).collect();
        let scored = earlier().filter_map(|step| Some((step, self.score(step)?)));
        let best = scored.max_by(|(a, x), (b, y)| x.total_cmp(y).then(b.cmp(a)));
        kept.extend(best.map(|(step, _)| step));
        let mut remove = |path: &Path| {
            let removed = match kind(path) {
                Ok(FileKind::Nothing) => Ok(()),
                Ok(FileKind::Folder) => self.storage.remove_directory(path),
                _ => self.storage.remove_file(path),
            };
            failed.extend(removed.map_err(StorageError::of("remove", path)).err());
        };
        for step in steps.iter().filter(|step| !kept.contains(step)) {
            remove(&self.directory.join(step.to_string()));
        }
        for leftover in entries(&self.directory)?.filter(|path| is_leftover(path)) {
            remove(&leftover);
        }
        let headers: Vec<Option<Header>> = kept.iter().map(|&step| self.header(step)).collect();
        // What a header that cannot be read lists is not known.
        let all_known = !headers.contains(&None);
        let used: BTreeSet<String> = headers
            .into_iter()
            .flatten()
            .flat_map(|header| header.tables.into_values().flatten())
            .map(|segment| segment.file)
            .collect();
        let unused = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| {
                is_begun_segment(name) || all_known && is_segment(name) && !used.contains(name)
            })
        };
        entries(&self.directory.join(ROWS))?.filter(unused).for_each(|file| remove(&file));
        Ok(())
    }

    /// A checkpoint's header, if it can be read.
    fn header(&self, step: u64) -> Option<Header> {
        verify::header(&self.directory.join(step.to_string()))
    }

    /// Return of the policy in a checkpoint; `None` when that policy was not evaluated, but an earlier one.
    fn score(&self, step: u64) -> Option<f64> {
        self.header(step)?.info.score()
    }
}

/// Hidden names tried for one step.
const NAMES: u32 = 10;

/// What is in a folder.
fn entries(folder: &Path) -> Result<impl Iterator<Item = PathBuf>, StorageError> {
    let listing = std::fs::read_dir(folder).map_err(StorageError::of("read", folder))?;
    Ok(listing.filter_map(Result::ok).map(|entry| entry.path()))
}
