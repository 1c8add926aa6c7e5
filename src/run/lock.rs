//! Keeps other processes out of a run's folder while one works in it.
//!
//! The operating system holds the lock on `run.lock` and drops it with the process, however that ends: a lock file left
//! behind by a crash locks nobody out. Some network file systems have no such locks. There the file's content takes their
//! place: it names the process that works in the folder, and whoever comes later looks whether that process still lives.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::storage::open_regular;

/// Name of the lock file.
pub(crate) const LOCK: &str = "run.lock";

/// A holder on another machine that has not touched the file for as long is dead.
const SILENCE: Duration = Duration::from_secs(15 * 60);

/// Between two touches of a holder.
const BEAT: Duration = Duration::from_secs(60);

/// Between writing one's name and looking whether it is still there.
const SETTLE: Duration = Duration::from_millis(50);

/// Why a folder cannot be locked.
pub(crate) enum Refused {
    /// Somebody else works in it: " (process 123)" or what else is known of them.
    InUse(String),
    /// The file cannot be used.
    Failed(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// A lock that is held as long as this value lives.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    file: File,
    /// What the file must say where the file system has no locks; `None` where it has.
    claim: Option<String>,
    touched: Instant,
}

impl Lock {
    /// Locks the run in `root`.
    pub(crate) fn acquire(root: &Path) -> Result<Self, Refused> {
        let path = root.join(LOCK);
        let mut options = OpenOptions::new();
        options.create(true).read(true).write(true).truncate(false);
        let mut file = open_regular(&mut options, &path)?;
        let mut text = String::new();
        // At most what we write ourselves: the file may be anybody's.
        let found = (&mut file).take(1000).read_to_string(&mut text).map(|_| text.as_str());
        let holder = Holder::parse(found.unwrap_or_default());
        let name =
            format!("{}\n{}\n{}\n", std::process::id(), machine(), birth(std::process::id()));
        let claim = match file.try_lock() {
            Ok(()) => None,
            Err(TryLockError::WouldBlock) => return Err(Refused::InUse(process(holder.as_ref()))),
            Err(TryLockError::Error(error)) if lacks_locks(&error) => {
                let touched = file.metadata()?.modified().ok();
                if let Some(holder) = holder.filter(|holder| holder.lives(touched)) {
                    return Err(Refused::InUse(holder.in_words()));
                }
                Some(name.clone())
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        };
        let mut lock = Self { path, file, claim, touched: Instant::now() };
        // A second name of a file elsewhere is not written into.
        if lock.file.metadata()?.nlink() == 1 {
            lock.write(&name)?;
        }
        if lock.claim.is_some() {
            // Of two that come at the same moment, the one that wrote last goes on.
            std::thread::sleep(SETTLE);
            if let Some(other) = lock.taken_over() {
                lock.claim = None;
                return Err(Refused::InUse(other));
            }
        }
        Ok(lock)
    }

    /// Whether the file system has no locks, so that only the file's content tells who works in the folder.
    pub(crate) fn is_by_name(&self) -> bool {
        self.claim.is_some()
    }

    /// Shows others that the holder lives. Returns who has taken the folder over, where that has happened.
    pub(crate) fn beat(&mut self) -> Option<String> {
        if self.claim.is_none() || self.touched.elapsed() < BEAT {
            return None;
        }
        self.touched = Instant::now();
        let other = self.taken_over();
        if other.is_none() {
            // Best effort: somebody who reads an old time asks for the process, too.
            let _ = self.file.set_modified(SystemTime::now());
        }
        other
    }

    fn taken_over(&self) -> Option<String> {
        let found = fs::read_to_string(&self.path).unwrap_or_default();
        let ours = self.claim.as_ref()?;
        (found != *ours).then(|| process(Holder::parse(&found).as_ref()))
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(text.as_bytes())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.claim.is_some() && self.taken_over().is_none() {
            let _ = self.file.set_len(0);
        }
    }
}

/// Who the file says works in the folder.
struct Holder {
    process: u32,
    machine: String,
    birth: String,
}

impl Holder {
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let process = lines.next()?.trim().parse().ok()?;
        let mut rest = || lines.next().unwrap_or_default().to_owned();
        Some(Self { process, machine: rest(), birth: rest() })
    }

    /// Whether it still works, as far as can be known; `touched` is when it last changed the file.
    fn lives(&self, touched: Option<SystemTime>) -> bool {
        if self.machine == machine() {
            // A number is given again: only with the same birth it is the same process.
            return !self.birth.is_empty() && self.birth == birth(self.process);
        }
        // A time in the future counts as now.
        touched.is_some_and(|at| {
            at.elapsed().is_ok_and(|since| since < SILENCE) || at > SystemTime::now()
        })
    }

    fn in_words(&self) -> String {
        if self.machine == machine() {
            return process(Some(self));
        }
        let host = self.machine.split_whitespace().next().unwrap_or("unknown");
        format!(
            " (process {} on machine {host}; if that one is dead, remove {LOCK} from the folder)",
            self.process
        )
    }
}

fn process(holder: Option<&Holder>) -> String {
    holder.map(|holder| format!(" (process {})", holder.process)).unwrap_or_default()
}

/// "name boot namespace": where a process number means the same process.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned());
    let name = read("/proc/sys/kernel/hostname").unwrap_or_default().replace(' ', "-");
    let boot = read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{name} {boot} {}", namespace.display())
}

/// When a process began, in the kernel's ticks; empty when there is none.
fn birth(process: u32) -> String {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The second field is the program's name in parentheses, which may hold anything.
    let after = text.rsplit_once(')').map_or("", |(_, after)| after);
    after.split_whitespace().nth(19).unwrap_or_default().to_owned()
}

/// Whether an error says that there are no locks here, and not that this one is held or the disk is broken.
fn lacks_locks(error: &io::Error) -> bool {
    let known = [libc::ENOSYS, libc::ENOLCK, libc::EOPNOTSUPP, libc::ENOTSUP, libc::EINVAL];
    error.raw_os_error().is_some_and(|code| known.contains(&code))
        || error.kind() == io::ErrorKind::Unsupported
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_lives_as_long_as_its_process() {
        let holder =
            |process, birth: &str| Holder { process, machine: machine(), birth: birth.to_owned() };
        let own = std::process::id();
        assert!(holder(own, &birth(own)).lives(None));
        assert!(!holder(own, "1").lives(None), "the number was given again");
        assert!(!holder(u32::MAX, "").lives(None));
    }

    #[test]
    fn a_holder_elsewhere_lives_while_it_touches_the_file() {
        let other = Holder { process: 1, machine: "other x y".to_owned(), birth: "5".to_owned() };
        let now = SystemTime::now();
        assert!(other.lives(Some(now)) && other.lives(Some(now + SILENCE)));
        assert!(!other.lives(Some(now - 2 * SILENCE)) && !other.lives(None));
        assert!(other.in_words().contains("process 1 on machine other"), "{}", other.in_words());
    }

    #[test]
    fn what_we_write_is_read() {
        let holder = Holder::parse("12\nhost boot ns\n345\n").unwrap();
        assert_eq!(
            (holder.process, holder.machine.as_str(), holder.birth.as_str()),
            (12, "host boot ns", "345")
        );
        assert!(Holder::parse("").is_none() && Holder::parse("x\n").is_none());
        assert_eq!(Holder::parse("12\n").unwrap().birth, "");
    }
}
