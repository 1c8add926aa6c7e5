//! Measurements of a run: one JSON object a line in `metrics.jsonl`, documented name by name in `docs/metrics.md`.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::storage::{Disk, StorageError, open_regular, read_regular, replace};

/// Bytes of the longest file that is read.
const LONGEST: u64 = 1 << 30;

/// The kinds a line can have.
pub const KINDS: [&str; 5] = ["train", "model", "rollout", "evaluation", "analysis"];

/// One line of `metrics.jsonl`. Everything outside `time` is a function of the configuration and its seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// What was measured: one of [`KINDS`].
    pub kind: &'static str,
    /// Environment steps done when it was measured.
    pub step: u64,
    /// Measured values, in the order they were put in.
    pub values: Map<String, Value>,
    /// Wall-clock figures, in seconds. The only part that differs between two runs of one seed.
    pub time: Map<String, Value>,
}

impl Record {
    /// An empty record of `kind` at `step`.
    pub fn new(kind: &'static str, step: u64) -> Self {
        debug_assert!(KINDS.contains(&kind), "`{kind}` is no kind of record");
        Self { kind, step, values: Map::new(), time: Map::new() }
    }

    /// Adds a measured number; see [`number`] for those that are not finite.
    pub fn put(&mut self, name: &str, value: f64) {
        self.values.insert(name.to_owned(), number(value));
    }

    /// Adds a count.
    pub fn put_count(&mut self, name: &str, value: u64) {
        self.values.insert(name.to_owned(), Value::from(value));
    }

    /// Adds a list of measured numbers.
    pub fn put_list(&mut self, name: &str, values: &[f64]) {
        self.values.insert(name.to_owned(), values.iter().map(|&v| number(v)).collect());
    }

    /// Adds a wall-clock figure in seconds.
    pub fn put_seconds(&mut self, name: &str, seconds: f64) {
        self.time.insert(name.to_owned(), number(seconds));
    }

    /// A measured number by its name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.get(name).and_then(as_number)
    }

    /// The line to write, without its line end.
    pub fn to_line(&self) -> String {
        let mut object = Map::new();
        object.insert("step".to_owned(), Value::from(self.step));
        object.insert("kind".to_owned(), Value::from(self.kind));
        object.extend(self.values.clone());
        object.insert("time".to_owned(), Value::Object(self.time.clone()));
        Value::Object(object).to_string()
    }
}

/// A number as JSON. JSON has no NaN and no infinity: they become the strings `"NaN"`, `"inf"` and `"-inf"`, so that a
/// diverged run shows in its log instead of leaving a hole.
pub fn number(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or_else(
        || Value::from(if value.is_nan() { "NaN".to_owned() } else { value.to_string() }),
        Value::Number,
    )
}

/// The inverse of [`number`]. `None` for any other value.
pub fn as_number(value: &Value) -> Option<f64> {
    match value.as_str() {
        Some("NaN") => Some(f64::NAN),
        Some("inf") => Some(f64::INFINITY),
        Some("-inf") => Some(f64::NEG_INFINITY),
        Some(_) => None,
        None => value.as_f64(),
    }
}

/// A line of `metrics.jsonl` read back.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Environment steps done.
    pub step: u64,
    /// Kind of the record.
    pub kind: String,
    /// All else, `time` included.
    pub values: Map<String, Value>,
}

/// A metrics file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The file cannot be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A line is no record.
    #[error("{}, line {line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// The file lacks what was in it when the checkpoint was saved.
    #[error(
        "{} has {found} whole lines, but had {expected} when the checkpoint was saved: it was cut or replaced",
        path.display()
    )]
    Cut {
        /// The file.
        path: PathBuf,
        /// Its lines.
        found: u64,
        /// Its lines at the checkpoint.
        expected: u64,
    },
}

impl Line {
    /// Reads one line.
    ///
    /// # Errors
    /// What is wrong with it, to be read behind the place.
    pub fn parse(text: &str) -> Result<Self, String> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| format!("no JSON object ({error})"))?;
        let Value::Object(mut values) = value else { return Err("no JSON object".to_owned()) };
        let step = values.shift_remove("step").and_then(|step| step.as_u64());
        let kind = values.shift_remove("kind").and_then(|kind| kind.as_str().map(str::to_owned));
        Ok(Self {
            step: step.ok_or("`step` is missing or no whole number")?,
            kind: kind.ok_or("`kind` is missing or no string")?,
            values,
        })
    }

    /// A measured number by its name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.get(name).and_then(as_number)
    }

    /// Whether none of its numbers is NaN or infinite.
    pub fn is_finite(&self) -> bool {
        self.values.values().filter_map(as_number).all(f64::is_finite)
    }
}

/// Reads a whole `metrics.jsonl`. A last line without its end, left by a crash or still being written, is no record yet.
///
/// # Errors
/// When the file cannot be read, or names the first line that is no record.
pub fn read(path: &Path) -> Result<Vec<Line>, MetricsError> {
    let bytes = read_regular(path, LONGEST).map_err(StorageError::of("read", path))?;
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    let bad = |line, problem| MetricsError::Line { path: path.to_owned(), line, problem };
    let text = std::str::from_utf8(&bytes[..whole]).map_err(|error| {
        bad(
            1 + bytes[..error.valid_up_to()].iter().filter(|&&b| b == b'\n').count(),
            "no UTF-8 text".to_owned(),
        )
    })?;
    text.lines()
        .enumerate()
        .map(|(i, line)| Line::parse(line).map_err(|problem| bad(i + 1, problem)))
        .collect()
}

/// The steps of a file's whole lines, in order; those that are no record have none.
///
/// # Errors
/// When the file cannot be read.
pub fn steps(path: &Path) -> Result<Vec<Option<u64>>, StorageError> {
    let bytes = match read_regular(path, LONGEST) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        bytes => bytes.map_err(StorageError::of("read", path))?,
    };
    let mut lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
    // Behind the last line's end: nothing, or a line that is not whole.
    lines.pop();
    let step = |line: &&[u8]| Some(Line::parse(std::str::from_utf8(line).ok()?).ok()?.step);
    Ok(lines.iter().map(step).collect())
}

/// `metrics.jsonl`, open for appending.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
    lines: u64,
}

impl MetricsLog {
    /// Opens the file with its first `lines` lines; what a run wrote after its checkpoint is cut off, to be written again.
    /// 0 starts it anew.
    ///
    /// # Errors
    /// When the file has fewer lines, or is not to be opened.
    pub fn open(path: &Path, lines: u64) -> Result<Self, MetricsError> {
        let open = || -> Result<File, StorageError> {
            let mut options = OpenOptions::new();
            options.create(true).read(true).write(true).truncate(false);
            open_regular(&mut options, path).map_err(StorageError::of("open", path))
        };
        let mut file = open()?;
        let mut reader = BufReader::new(&file);
        let (mut found, mut end) = (0, 0);
        let mut line = Vec::new();
        while found < lines {
            line.clear();
            // Line by line: the file is as long as the run, or as whoever sent it made it.
            let read = (&mut reader)
                .take(LONGEST)
                .read_until(b'\n', &mut line)
                .map_err(StorageError::of("read", path))?;
            if line.last() != Some(&b'\n') {
                return Err(MetricsError::Cut { path: path.to_owned(), found, expected: lines });
            }
            found += 1;
            end += read as u64;
        }
        drop(reader);
        if file.metadata().map_err(StorageError::of("read", path))?.nlink() > 1 {
            // Another name of the file, such as a copy made of links, keeps what it has.
            let bytes = read_regular(path, LONGEST).map_err(StorageError::of("read", path))?;
            replace(&Disk, path, &bytes)?;
            file = open()?;
        }
        file.set_len(end).map_err(StorageError::of("cut", path))?;
        file.seek(SeekFrom::Start(end)).map_err(StorageError::of("write", path))?;
        Ok(Self { path: path.to_owned(), file, lines })
    }

    /// Appends records, one write each, so that a reader sees whole lines.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn append(&mut self, records: &[Record]) -> Result<(), StorageError> {
        for record in records {
            let line = record.to_line() + "\n";
            self.file.write_all(line.as_bytes()).map_err(StorageError::of("write", &self.path))?;
            self.lines += 1;
        }
        Ok(())
    }

    /// Forces everything to the disk; returns the number of lines, which a checkpoint stores.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&mut self) -> Result<u64, StorageError> {
        self.file.sync_data().map_err(StorageError::of("sync", &self.path))?;
        Ok(self.lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_everything_in_order() {
        let mut record = Record::new("evaluation", 250);
        record.put("return_mean", 12.5);
        record.put_list("returns", &[12.0, 13.0]);
        record.put_count("episodes", 2);
        record.put_seconds("evaluation", 0.25);
        assert_eq!(
            record.to_line(),
            r#"{"step":250,"kind":"evaluation","return_mean":12.5,"returns":[12.0,13.0],"episodes":2,"time":{"evaluation":0.25}}"#
        );
    }

    #[test]
    fn numbers_that_are_not_finite_are_written_and_read() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.1, -0.0, 5e-324] {
            let back = as_number(&number(value)).unwrap();
            assert!(
                back.to_bits() == value.to_bits() || back.is_nan() && value.is_nan(),
                "{value} became {back}"
            );
        }
        assert_eq!(number(f64::NEG_INFINITY), Value::from("-inf"));
        assert_eq!(as_number(&Value::from("nan")), None);
        assert_eq!(as_number(&Value::Null), None);
    }

    #[test]
    fn lines_read_back_or_say_what_is_wrong() {
        let line = Line::parse(r#"{"step":3,"kind":"train","loss":"NaN","time":{}}"#).unwrap();
        assert_eq!((line.step, line.kind.as_str()), (3, "train"));
        assert!(line.get("loss").unwrap().is_nan());
        for (text, problem) in [
            ("", "no JSON object"),
            ("[]", "no JSON object"),
            (r#"{"kind":"train"}"#, "`step` is missing"),
            (r#"{"step":-1,"kind":"train"}"#, "`step` is missing or no whole number"),
            (r#"{"step":1,"kind":2}"#, "`kind` is missing or no string"),
        ] {
            let found = Line::parse(text).unwrap_err();
            assert!(found.contains(problem), "{text}: {found}");
        }
    }

    #[test]
    fn damaged_lines_give_errors_not_panics() {
        let mut rng = crate::rng::Rng::new(0, "metrics fuzz");
        let mut record = Record::new("evaluation", 250);
        record.put_list("returns", &[f64::NAN, -1e300, 0.5]);
        record.put_seconds("evaluation", 0.25);
        let good = record.to_line();
        let mut accepted = 0;
        for _ in 0..20_000 {
            let mut bytes = good.clone().into_bytes();
            for _ in 0..=rng.below(2) {
                let at = rng.below(bytes.len());
                bytes[at] = b"{}[]\":,.0eE-x\\"[rng.below(14)];
            }
            // Whatever is accepted can be asked for its numbers.
            if let Ok(line) = Line::parse(&String::from_utf8_lossy(&bytes)) {
                accepted += usize::from(
                    line.values.keys().all(|key| line.get(key).is_none_or(|v| !v.is_nan())),
                );
            }
        }
        assert!((1000..19_000).contains(&accepted), "{accepted} of 20000 were still records");
    }
}
