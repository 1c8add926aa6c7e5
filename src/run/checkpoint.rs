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
use super::snapshot::Snapshot;
use super::storage::{Storage, StorageError, folder_of, replace};
use super::verify;
use super::verify::{CHECKSUMS, HEADER, ROWS, TENSORS, Unusable, checksum_file, parse_header};
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
        }
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
            if !folder.is_dir() {
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
        self.prune(info.step)?;
        Ok(target)
    }

    /// Loads the newest checkpoint that is whole.
    ///
    /// # Errors
    /// When there is none, or the newest undamaged one was written by a newer program.
    pub fn load_newest(&mut self) -> Result<Loaded, CheckpointError> {
        let steps = self.steps()?;
        self.load_first(steps.into_iter().rev())
    }

    /// Loads the whole checkpoint with the best evaluation, the newest of equals.
    ///
    /// # Errors
    /// As [`CheckpointStore::load_newest`].
    pub fn load_best(&mut self) -> Result<Loaded, CheckpointError> {
        let mut steps = self.steps()?;
        steps.sort_by(|&a, &b| self.score(b).total_cmp(&self.score(a)).then(b.cmp(&a)));
        self.load_first(steps.into_iter())
    }

    /// Steps of all checkpoints, damaged ones too, oldest first.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn steps(&self) -> Result<Vec<u64>, StorageError> {
        if !self.directory.exists() {
            return Ok(Vec::new());
        }
        let mut steps: Vec<u64> = entries(&self.directory)?
            .filter_map(|path| path.file_name()?.to_str()?.parse().ok())
            .collect();
        steps.sort_unstable();
        Ok(steps)
    }

    fn load_first(&mut self, steps: impl Iterator<Item = u64>) -> Result<Loaded, CheckpointError> {
        let mut damages = Vec::new();
        for step in steps {
            match verify::load(&self.directory, step) {
                Ok((loaded, tables)) => {
                    self.tables = tables;
                    self.current = Some(step);
                    return Ok(Loaded { passed_over: damages, ..loaded });
                }
                Err(Unusable::Damaged(damage)) => damages.push(damage),
                Err(Unusable::Newer(error)) => return Err(error),
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
                replace(&*self.storage, &folder.join(&file), &bytes)?;
                segments.push(Segment { file, first_row, rows: total - first_row, crc32 });
            }
            all.insert(name.clone(), segments);
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
        let [temporary, replaced] =
            [".tmp", ".old"].map(|prefix| self.directory.join(format!("{prefix}-{step}")));
        for leftover in [&temporary, &replaced] {
            if leftover.exists() {
                storage.remove_directory(leftover).map_err(StorageError::of("remove", leftover))?;
            }
        }
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
        // There only when it was damaged and passed over: a run never comes back to a step otherwise.
        let existed = target.exists();
        if existed {
            storage.rename(target, &replaced).map_err(StorageError::of("rename", target))?;
        }
        storage.rename(&temporary, target).map_err(StorageError::of("write", target))?;
        storage
            .sync_directory(&self.directory)
            .map_err(StorageError::of("sync", &self.directory))?;
        if existed {
            storage.remove_directory(&replaced).map_err(StorageError::of("remove", &replaced))?;
        }
        Ok(())
    }

    /// Removes what is neither among the newest nor the best, and what no checkpoint refers to.
    fn prune(&self, current: u64) -> Result<(), StorageError> {
        let steps = self.steps()?;
        // Later ones were damaged: this run resumed from before them.
        let mut kept: BTreeSet<u64> =
            steps.iter().copied().filter(|&step| step <= current).rev().take(self.keep).collect();
        let scored =
            steps.iter().copied().filter(|&step| step <= current && self.score(step).is_finite());
        kept.extend(
            scored.max_by(|&a, &b| self.score(a).total_cmp(&self.score(b)).then(a.cmp(&b))),
        );
        for step in steps.into_iter().filter(|step| !kept.contains(step)) {
            let path = self.directory.join(step.to_string());
            self.storage.remove_directory(&path).map_err(StorageError::of("remove", &path))?;
        }
        for leftover in entries(&self.directory)?.filter(|path| is_hidden(path)) {
            self.storage
                .remove_directory(&leftover)
                .map_err(StorageError::of("remove", &leftover))?;
        }
        let used: BTreeSet<String> = kept
            .iter()
            .filter_map(|&step| self.header(step))
            .flat_map(|header| header.tables.into_values().flatten())
            .map(|segment| segment.file)
            .collect();
        for file in entries(&self.directory.join(ROWS))? {
            if !file
                .file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| used.contains(name))
            {
                self.storage.remove_file(&file).map_err(StorageError::of("remove", &file))?;
            }
        }
        Ok(())
    }

    /// A checkpoint's header, if it can be read.
    fn header(&self, step: u64) -> Option<Header> {
        let path = self.directory.join(step.to_string());
        parse_header(&path, &verify::read(&path.join(HEADER)).ok()?).ok()
    }

    /// Return by which checkpoints are compared; without an evaluation the worst.
    fn score(&self, step: u64) -> f64 {
        let evaluation = self.header(step).and_then(|header| header.info.evaluation);
        evaluation.map_or(f64::NEG_INFINITY, |evaluation| evaluation.return_mean)
    }
}

/// What is in a folder.
fn entries(folder: &Path) -> Result<impl Iterator<Item = PathBuf>, StorageError> {
    let listing = std::fs::read_dir(folder).map_err(StorageError::of("read", folder))?;
    Ok(listing.filter_map(Result::ok).map(|entry| entry.path()))
}

/// Whether it has a temporary name, left behind by a save that did not end.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}
