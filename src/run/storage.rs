//! The few file operations that saving is made of, behind a trait so that tests can make each of them fail.
//!
//! A run's folder may have come from elsewhere. So nothing here follows a link that lies in it: files are made anew under
//! a name that was free (`O_EXCL`), read only where they are regular files (`O_NOFOLLOW`), and folders are used only where
//! they are folders.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
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
        // What lies there is taken away, not written into: it may be a link, or a second name of a file elsewhere.
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = File::create_new(path)?;
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
    put(storage, path, bytes)?;
    let folder = folder_of(path);
    storage.sync_directory(folder).map_err(StorageError::of("sync", folder))
}

/// [`replace`] but for the last sync: the file's name outlives a power cut only after one of its folder.
///
/// # Errors
/// When a file operation fails.
pub(super) fn put(storage: &dyn Storage, path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    // A file takes the place of a file; a pipe or a device is somebody else's.
    if matches!(kind(path), Ok(FileKind::Other)) {
        let error = io::Error::other("it is a pipe or a device, and no file");
        return Err(StorageError::of("write", path)(error));
    }
    let folder = folder_of(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".tmp-{name}"));
    storage.write(&temporary, bytes).map_err(StorageError::of("write", &temporary))?;
    storage.rename(&temporary, path).map_err(StorageError::of("write", path))
}

/// What a path is, links not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Nothing is there.
    Nothing,
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A link, wherever it leads.
    Link,
    /// A pipe, a socket or a device.
    Other,
}

/// What is at `path`, links not followed.
///
/// # Errors
/// When that cannot be found out.
pub fn kind(path: &Path) -> io::Result<FileKind> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => Ok(FileKind::Link),
        Ok(found) if found.is_dir() => Ok(FileKind::Folder),
        Ok(found) if found.is_file() => Ok(FileKind::File),
        Ok(_) => Ok(FileKind::Other),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(FileKind::Nothing)
        }
        Err(error) => Err(error),
    }
}

/// Whether a folder is at `path`.
///
/// # Errors
/// When something else is there: a link to a folder is none.
pub fn is_folder(path: &Path) -> io::Result<bool> {
    match kind(path)? {
        FileKind::Nothing => Ok(false),
        FileKind::Folder => Ok(true),
        FileKind::Link => Err(link()),
        FileKind::File | FileKind::Other => Err(ErrorKind::NotADirectory.into()),
    }
}

fn link() -> io::Error {
    io::Error::other("it is a link, and no link in a run's folder is followed")
}

/// Opens a regular file that lies in a run's folder.
///
/// # Errors
/// When it is a link, or a pipe or device (which could keep its reader waiting for ever), or cannot be opened.
pub fn open_regular(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    // Without waiting: opening a pipe would last until somebody writes into it.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = options
        .custom_flags(flags)
        .open(path)
        .map_err(|error| if error.raw_os_error() == Some(libc::ELOOP) { link() } else { error })?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no file")) }
}

/// The content of a regular file in a run's folder, which must not be longer than `limit` bytes.
///
/// # Errors
/// As [`open_regular`], and when the file is longer: nothing is read then.
pub fn read_regular(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open_regular(OpenOptions::new().read(true), path)?;
    let length = file.metadata()?.len();
    if length > limit {
        return Err(io::Error::other(format!("it has {length} bytes, more than {limit}")));
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length as usize + 1).map_err(|_| ErrorKind::OutOfMemory)?;
    // A file that grows meanwhile is read to here.
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}
