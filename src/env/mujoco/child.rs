//! A computation in a process of its own, so that nothing that it does can end this one: a crash, an exception that nobody
//! catches, memory without bound, or no end at all.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// What a computation may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of address space beyond what this process has.
    pub memory: u64,
    /// Wall-clock time.
    pub time: Duration,
    /// Time after which [`run`] says, once, that it is waiting.
    pub patience: Duration,
}

/// Why a computation gave nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No process could be started.
    NotStarted(String),
    /// The process ended by this signal.
    Signal(i32),
    /// The process ended by itself without an answer.
    Silent,
    /// It took too long and was ended.
    TooLong,
}

/// Runs `compute` in a child process and returns what it gives. The child is handed its end of the connection, so that
/// code which cannot return may answer through [`answer`] and leave.
pub(crate) fn run(
    limits: Limits,
    compute: impl FnOnce(&mut UnixStream) -> Vec<u8>,
    waiting: impl FnOnce(),
) -> Result<Vec<u8>, Failure> {
    let not_started = |error: std::io::Error| Failure::NotStarted(error.to_string());
    let (mut ours, mut theirs) = UnixStream::pair().map_err(not_started)?;
    // SAFETY: the child has a copy of this thread alone. It calls `compute` and system calls only, touches no lock of this
    // program that another thread may have held, and leaves by `_exit`, so that no destructor or exit handler of the
    // parent runs twice. glibc makes its own locks (malloc, the dynamic loader) usable in the child of a process with
    // threads; MuJoCo's are guarded by the caller, who lets no other thread compile at this moment.
    let process = unsafe { libc::fork() };
    match process {
        -1 => return Err(not_started(std::io::Error::last_os_error())),
        0 => {
            confine(limits);
            let answered = catch_unwind(AssertUnwindSafe(|| {
                let bytes = compute(&mut theirs);
                answer(&mut theirs, &bytes);
            }));
            // SAFETY: ends the process.
            unsafe { libc::_exit(if answered.is_ok() { 0 } else { 101 }) }
        }
        _ => drop(theirs),
    }
    let received = receive(&mut ours, limits, waiting);
    if received.is_none() {
        // SAFETY: the process is our child and has not been waited for, so the number is still its own.
        unsafe { libc::kill(process, libc::SIGKILL) };
    }
    let mut status = 0;
    // SAFETY: waits for our own child; `status` outlives the call.
    while unsafe { libc::waitpid(process, &mut status, 0) } == -1
        && std::io::Error::last_os_error().kind() == ErrorKind::Interrupted
    {}
    match received {
        None => Err(Failure::TooLong),
        Some(bytes) => match complete(bytes) {
            Some(bytes) => Ok(bytes),
            None if libc::WIFSIGNALED(status) => Err(Failure::Signal(libc::WTERMSIG(status))),
            None => Err(Failure::Silent),
        },
    }
}

/// Sends an answer: its length and its bytes. Nobody is left to tell where it cannot be sent.
pub(crate) fn answer(connection: &mut UnixStream, bytes: &[u8]) {
    let _ = connection
        .write_all(&(bytes.len() as u64).to_le_bytes())
        .and_then(|()| connection.write_all(bytes));
}

/// The bytes of a whole answer.
fn complete(mut received: Vec<u8>) -> Option<Vec<u8>> {
    let bytes = received.get(..8)?.try_into().ok()?;
    (u64::from_le_bytes(bytes) == (received.len() - 8) as u64).then(|| received.split_off(8))
}

/// Everything that the child sends before it closes its end, or `None` when that takes too long.
fn receive(connection: &mut UnixStream, limits: Limits, waiting: impl FnOnce()) -> Option<Vec<u8>> {
    let started = Instant::now();
    let mut waiting = Some(waiting);
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let gone = started.elapsed();
        if gone >= limits.time {
            return None;
        }
        let patience =
            if waiting.is_some() { limits.patience.min(limits.time) } else { limits.time };
        let left = patience.saturating_sub(gone).max(Duration::from_millis(1));
        connection.set_read_timeout(Some(left)).ok()?;
        match connection.read(&mut buffer) {
            Ok(0) => return Some(bytes),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if started.elapsed() >= limits.patience
                    && let Some(waiting) = waiting.take()
                {
                    waiting();
                }
            }
            Err(_) => return Some(bytes),
        }
    }
}

/// Bounds the child: its memory, its output, and its life, which ends with its parent's.
fn confine(limits: Limits) {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(0);
    // SAFETY: system calls on this process alone, with arguments that outlive them. Signals get their default back, since
    // the handlers copied from the parent would speak to the parent.
    unsafe {
        let page = libc::sysconf(libc::_SC_PAGESIZE).max(1) as u64;
        let mut memory = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::getrlimit(libc::RLIMIT_AS, &mut memory);
        memory.rlim_cur = memory.rlim_cur.min(pages * page + limits.memory);
        libc::setrlimit(libc::RLIMIT_AS, &memory);
        libc::setrlimit(libc::RLIMIT_CORE, &libc::rlimit { rlim_cur: 0, rlim_max: 0 });
        for signal in 1..32 {
            libc::signal(signal, libc::SIG_DFL);
        }
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        #[cfg(target_os = "linux")]
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
    // Where memory ends after all, the child is to be ended and not its parent.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    if let Ok(nowhere) = std::fs::File::options().read(true).write(true).open("/dev/null") {
        for standard in 0..3 {
            // SAFETY: both descriptors are open.
            unsafe { libc::dup2(nowhere.as_raw_fd(), standard) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        memory: 1 << 30,
        time: Duration::from_secs(20),
        patience: Duration::from_millis(50),
    };

    #[test]
    fn an_answer_comes_back_whole() {
        let long: Vec<u8> = (0..3_000_000_u32).map(|i| i as u8).collect();
        assert_eq!(run(LIMITS, |_| long.clone(), || ()).unwrap(), long);
        assert_eq!(run(LIMITS, |_| Vec::new(), || ()).unwrap(), Vec::<u8>::new());
    }

    #[test]
    fn no_end_of_the_child_is_an_end_of_ours() {
        // SAFETY: these end the child.
        let raise = |signal| {
            run(
                LIMITS,
                move |_| unsafe {
                    libc::raise(signal);
                    Vec::new()
                },
                || (),
            )
        };
        assert_eq!(raise(libc::SIGSEGV), Err(Failure::Signal(libc::SIGSEGV)));
        assert_eq!(raise(libc::SIGKILL), Err(Failure::Signal(libc::SIGKILL)));
        // SAFETY: as above.
        assert_eq!(run(LIMITS, |_| unsafe { libc::_exit(0) }, || ()), Err(Failure::Silent));
        assert_eq!(
            run(LIMITS, |_| std::process::abort(), || ()),
            Err(Failure::Signal(libc::SIGABRT))
        );
        // Half an answer is none.
        let half = |connection: &mut UnixStream| {
            let _ = connection.write_all(&[9, 0, 0, 0, 0, 0, 0, 0, 1]);
            // SAFETY: as above.
            unsafe { libc::_exit(0) }
        };
        assert_eq!(run(LIMITS, half, || ()), Err(Failure::Silent));
    }

    #[test]
    fn memory_and_time_have_bounds() {
        let greedy = run(
            LIMITS,
            |_| {
                std::hint::black_box(vec![1_u8; 2 << 30]);
                Vec::new()
            },
            || (),
        );
        assert_eq!(greedy, Err(Failure::Signal(libc::SIGABRT)));
        let mut told = 0;
        let short = Limits { time: Duration::from_millis(300), ..LIMITS };
        let slow = run(
            short,
            |_| loop {
                std::thread::sleep(Duration::from_secs(1))
            },
            || told += 1,
        );
        assert_eq!((slow, told), (Err(Failure::TooLong), 1));
    }
}
