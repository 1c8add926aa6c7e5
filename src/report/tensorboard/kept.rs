//! What a run's older event files say that its metrics do not: when each line was measured, and the films.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use crate::run::storage::{FileKind, StorageError, kind, read_regular};

use super::events::{FILM, Seen, seen};
use super::records::contents;

/// Names of event files: TensorBoard looks for the first part.
const PREFIX: &str = "events.out.tfevents.";
/// That they are ours.
const SUFFIX: &str = ".ddppo";
/// Bytes of the longest event file that is read.
const LONGEST: u64 = 1 << 28;

/// What is taken over into a new file.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// By step and first tag.
    pub times: HashMap<(u64, String), f64>,
    /// Whole events, by step.
    pub films: BTreeMap<u64, Vec<u8>>,
    /// Where it comes from.
    pub files: Vec<PathBuf>,
}

/// The second in an event file's name, if it is one of ours.
fn second_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let second = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    // At most ten digits, as long as any second that is written; a sign is none.
    let digits = second.len() <= 10 && second.bytes().all(|byte| byte.is_ascii_digit());
    second.parse().ok().filter(|_| digits)
}

impl Kept {
    /// Reads the event files in a run's folder, as far as they are whole.
    ///
    /// # Errors
    /// When the folder or a file cannot be read.
    pub fn read(root: &Path) -> Result<Self, StorageError> {
        let failed = |error| StorageError::of("read", root)(error);
        let mut kept = Self::default();
        for entry in fs::read_dir(root).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            // Links and the like are left alone.
            if second_of(&path).is_none() || !matches!(kind(&path), Ok(FileKind::File)) {
                continue;
            }
            let bytes = read_regular(&path, LONGEST).map_err(StorageError::of("read", &path))?;
            for content in contents(&bytes) {
                let Some(Seen { wall_time, step, tag }) = seen(content) else { continue };
                if tag == FILM {
                    kept.films.insert(step, content.to_vec());
                } else if !tag.is_empty() {
                    kept.times.insert((step, tag), wall_time);
                }
            }
            kept.files.push(path);
        }
        Ok(kept)
    }

    /// The name of the file that takes their place: TensorBoard reads the files of a folder in their order.
    pub fn next(&self, root: &Path, now: f64) -> PathBuf {
        let after = self.files.iter().filter_map(|path| second_of(path)).max().map_or(0, |s| s + 1);
        root.join(format!("{PREFIX}{:010}{SUFFIX}", after.max(now as u64)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_ours_are_taken() {
        let second = |name: &str| second_of(Path::new(name));
        assert_eq!(second("r/events.out.tfevents.0000000012.ddppo"), Some(12));
        for other in [
            "events.out.tfevents.1700000000.host",
            "events.out.tfevents.1700000000.host.1.ddppo",
            "events.out.tfevents.+1.ddppo",
            "events.out.tfevents..ddppo",
            "events.out.tfevents.99999999999.ddppo",
            "metrics.jsonl",
        ] {
            assert_eq!(second(other), None, "{other}");
        }
        let files = vec![PathBuf::from("events.out.tfevents.0000000012.ddppo")];
        let kept = Kept { files, ..Kept::default() };
        for (now, name) in [(3.5, "0000000013"), (99.9, "0000000099")] {
            let expected = format!("r/events.out.tfevents.{name}.ddppo");
            assert_eq!(kept.next(Path::new("r"), now), Path::new(&expected));
        }
    }
}
