//! The few file operations that saving is made of, behind a trait so that tests can make each of them fail.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file operation that failed, as one sentence.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {}", path.display(), in_words(reason))]
pub struct StorageError {
    /// What was tried: "write", "read", …
    pub action: &'static str,
    /// On which file or folder.
    pub path: PathBuf,
    /// The system's reason.
    pub reason: io::Error,
}

impl StorageError {
    /// An adapter for `map_err`.
    pub fn of(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |reason| Self { action, path: path.to_owned(), reason }
    }
}

/// The system's words without its error number: "no space left on device".
fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// File operations. Each returns when its effect is done; only [`Storage::write`] and [`Storage::sync_directory`] promise
/// that it outlives a power cut.
pub trait Storage: Send + Sync {
    /// Makes a folder whose parent exists.
    fn create_directory(&self, path: &Path) -> io::Result<()>;
    /// Makes or replaces a file and forces its content to the disk.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Gives a file or folder another name in one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Forces a folder's names to the disk.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder with all that it holds.
    fn remove_directory(&self, path: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
}

/// The real thing.
#[derive(Clone, Copy, Debug)]
pub struct Disk;

impl Storage for Disk {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

/// The folder that a path lies in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Replaces a file so that a crash at any moment leaves the old content or the new: temporary name, sync, rename, sync.
pub fn replace(storage: &dyn Storage, path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    let folder = folder_of(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".tmp-{name}"));
    storage.write(&temporary, bytes).map_err(StorageError::of("write", &temporary))?;
    storage.rename(&temporary, path).map_err(StorageError::of("write", path))?;
    storage.sync_directory(folder).map_err(StorageError::of("sync", folder))
}
