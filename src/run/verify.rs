//! Reading one checkpoint back, and all that can be wrong with it: nothing is believed that a checksum does not cover.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::encoding;
use super::encoding::{FORMAT, Header, Info, Segment};
use super::snapshot::{Snapshot, Tensor};
use super::storage::{FileKind, StorageError, kind, read_regular};
use super::text::printable;

pub(crate) const HEADER: &str = "state.json";
pub(crate) const TENSORS: &str = "state.safetensors";
pub(crate) const CHECKSUMS: &str = "checksums";
pub(crate) const ROWS: &str = "rows";

/// Bytes of the longest `checksums`: two short lines.
const LONGEST_CHECKSUMS: u64 = 1 << 12;
/// Bytes of the longest `state.json`: it lists files and counters.
const LONGEST_HEADER: u64 = 1 << 26;

/// A file of a checkpoint that is not as it was written.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{} {problem}", path.display())]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it, to be read behind the file's name.
    pub problem: String,
}

/// Why no state could be loaded.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Nothing was saved yet.
    #[error("there is no checkpoint in {}", directory.display())]
    None {
        /// The folder of checkpoints.
        directory: PathBuf,
    },
    /// No checkpoint is whole.
    #[error("no checkpoint in {} can be used: {}", directory.display(), join(damages))]
    AllDamaged {
        /// The folder of checkpoints.
        directory: PathBuf,
        /// What is wrong with each, newest first.
        damages: Vec<Damage>,
    },
    /// None is of the step asked for.
    #[error(
        "there is no checkpoint of step {step} in {}: {}",
        directory.display(),
        others(steps)
    )]
    NoStep {
        /// The folder of checkpoints.
        directory: PathBuf,
        /// The step asked for.
        step: u64,
        /// The steps of those that there are, oldest first.
        steps: Vec<u64>,
    },
    /// Another program wrote it.
    #[error(
        "{} was saved in format {found} by ddppo {version}; this one reads format {FORMAT} only: go on with that version, or start a \
         run of its own",
        path.display()
    )]
    OtherFormat {
        /// The checkpoint.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The version that wrote it.
        version: String,
    },
    /// The folder cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

fn join(damages: &[Damage]) -> String {
    damages.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn others(steps: &[u64]) -> String {
    let steps: Vec<String> = steps.iter().map(u64::to_string).collect();
    if steps.is_empty() {
        "there is none".to_owned()
    } else {
        format!("there are {}", steps.join(", "))
    }
}

/// A state read back.
#[derive(Debug)]
pub struct Loaded {
    /// Its folder.
    pub path: PathBuf,
    /// Version of the program that saved it.
    pub version: String,
    /// What it says of itself.
    pub info: Info,
    /// The state.
    pub snapshot: Snapshot,
    /// Checkpoints that would have come first, but are damaged or do not fit, in the order in which they were passed over.
    pub passed_over: Vec<Damage>,
}

/// Why one checkpoint cannot be loaded.
pub(crate) enum Unusable {
    Damaged(Damage),
    OtherFormat(CheckpointError),
}

/// Reads the checkpoint of `step` in `directory`, and the list of its row segments.
pub(crate) fn load(
    directory: &Path,
    step: u64,
) -> Result<(Loaded, BTreeMap<String, Vec<Segment>>), Unusable> {
    let path = directory.join(step.to_string());
    require_folder(&path)?;
    let checksums = path.join(CHECKSUMS);
    // The sizes first: memory is asked for only where they agree.
    let written = read(&checksums, LONGEST_CHECKSUMS)?;
    let sizes = sizes(&written).ok_or_else(|| damage(&checksums, "is no list of checksums"))?;
    let [json, tensors] = [(HEADER, sizes[0].min(LONGEST_HEADER)), (TENSORS, sizes[1])]
        .map(|(name, size)| read(&path.join(name), size));
    let (json, tensors) = (json?, tensors?);
    if written != checksum_file(&json, &tensors).into_bytes() {
        return Err(damage(
            &checksums,
            "does not agree with the files beside it: one of them has changed",
        ));
    }
    let header = parse_header(&path, &json)?;
    if header.info.step != step {
        return Err(damage(&path, format!("holds the state of step {}", header.info.step)));
    }
    let file = path.join(TENSORS);
    let tensors = encoding::decode(&tensors)
        .map_err(|error| damage(&file, format!("cannot be read: {error}")))?;
    let mut rows = BTreeMap::new();
    for (name, segments) in &header.tables {
        rows.insert(name.clone(), read_table(directory, &path, segments)?);
    }
    let snapshot = Snapshot { tensors, rows, values: header.values };
    let loaded = Loaded {
        path,
        version: header.version,
        info: header.info,
        snapshot,
        passed_over: Vec::new(),
    };
    Ok((loaded, header.tables))
}

fn read_table(
    directory: &Path,
    checkpoint: &Path,
    segments: &[Segment],
) -> Result<Tensor, Unusable> {
    let mut whole: Option<Tensor> = None;
    let folder = directory.join(ROWS);
    require_folder(&folder)?;
    for segment in segments {
        if !is_plain(&segment.file) {
            let problem = format!("lists the rows {:?}, which is no name of ours", segment.file);
            return Err(damage(&checkpoint.join(HEADER), problem));
        }
        let file = folder.join(&segment.file);
        let bytes = read(&file, longest_segment(segment.rows))?;
        if crc32fast::hash(&bytes) != segment.crc32 {
            return Err(damage(&file, "has changed: its checksum is not the one that was written"));
        }
        let part = encoding::decode(&bytes)
            .ok()
            .and_then(|mut tensors| tensors.remove("rows"))
            .filter(|part| part.shape.first() == Some(&segment.rows));
        let Some(part) = part else {
            return Err(damage(&file, format!("does not hold {} rows", segment.rows)));
        };
        let first = whole.as_ref().map_or(0, |table| table.shape[0]);
        // The sum is of numbers that somebody may have written: it must not overflow.
        if first != segment.first_row || first.checked_add(segment.rows).is_none() {
            return Err(damage(
                &file,
                format!("starts at row {} instead of {first}", segment.first_row),
            ));
        }
        match &mut whole {
            None => whole = Some(part),
            Some(table) => encoding::append(table, part).ok_or_else(|| {
                damage(&file, "has rows of another type or width than those before")
            })?,
        }
    }
    whole.ok_or_else(|| damage(&checkpoint.join(HEADER), "lists a table without a file"))
}

/// Whether a name is one that rows are saved under: it leads to no other folder, and can be printed.
fn is_plain(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn damage(path: &Path, problem: impl Into<String>) -> Unusable {
    // Readers quote what they found.
    let problem = printable(&problem.into());
    Unusable::Damaged(Damage { path: path.to_owned(), problem })
}

/// Reads a file of a checkpoint that may have `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, Unusable> {
    read_regular(path, limit).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => damage(path, "is missing"),
        _ => damage(path, format!("cannot be read: {error}")),
    })
}

/// `state.json` of the checkpoint in `path`, its checksum not looked at.
pub(crate) fn header(path: &Path) -> Option<Header> {
    require_folder(path).ok()?;
    parse_header(path, &read(&path.join(HEADER), LONGEST_HEADER).ok()?).ok()
}

fn require_folder(path: &Path) -> Result<(), Unusable> {
    match kind(path) {
        Ok(FileKind::Folder) => Ok(()),
        Ok(FileKind::Nothing) => Err(damage(path, "is missing")),
        Ok(FileKind::Link) => {
            Err(damage(path, "is a link, and no link in a run's folder is followed"))
        }
        Ok(_) => Err(damage(path, "is no folder")),
        Err(error) => Err(damage(path, format!("cannot be read: {error}"))),
    }
}

/// The sizes that [`CHECKSUMS`] states, of header and tensors.
fn sizes(checksums: &[u8]) -> Option<[u64; 2]> {
    let text = std::str::from_utf8(checksums).ok()?;
    let mut sizes = text.lines().map(|line| line.split(' ').nth(1)?.parse().ok());
    Some([sizes.next()??, sizes.next()??])
}

/// Bytes that a file of so many rows can have: a row of a run has a few hundred numbers, and none has more than these.
fn longest_segment(rows: usize) -> u64 {
    const HEAD: u64 = 1 << 16;
    const LONGEST_ROW: u64 = 1 << 20;
    (rows as u64).saturating_mul(LONGEST_ROW).saturating_add(HEAD)
}

/// The content of [`CHECKSUMS`].
pub(crate) fn checksum_file(json: &[u8], tensors: &[u8]) -> String {
    [(HEADER, json), (TENSORS, tensors)]
        .map(|(name, bytes)| format!("{:08x} {} {name}\n", crc32fast::hash(bytes), bytes.len()))
        .concat()
}

/// `state.json` of the checkpoint in `path`.
pub(crate) fn parse_header(path: &Path, json: &[u8]) -> Result<Header, Unusable> {
    let file = path.join(HEADER);
    let unreadable = |error: serde_json::Error| damage(&file, format!("cannot be read: {error}"));
    // The format first: another one may have other fields.
    let value: serde_json::Value = serde_json::from_slice(json).map_err(unreadable)?;
    match value.get("format").and_then(serde_json::Value::as_u64) {
        Some(found) if found != u64::from(FORMAT) => {
            let version =
                value.get("version").and_then(serde_json::Value::as_str).unwrap_or("unknown");
            let version = printable(version);
            Err(Unusable::OtherFormat(CheckpointError::OtherFormat {
                path: path.to_owned(),
                found,
                version,
            }))
        }
        _ => serde_json::from_slice(json).map_err(unreadable),
    }
}
