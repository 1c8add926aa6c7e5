//! MJCF to a compiled model.
//!
//! MuJoCo's compiler is C++: it throws where memory ends, crashes on some broken files, and takes as long as a model has it
//! take. Its exceptions cannot be caught here, since the library brings an unwinder of its own. So models from elsewhere
//! are compiled in a child process, which sends the compiled form back (docs/decisions/050-models-in-a-child-process.md).

use std::ffi::{CStr, CString, c_char, c_int};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use mujoco_rs::mujoco_c::{mj_loadXML, mj_saveModel, mj_sizeModel, mjLogMessage};
use mujoco_rs::wrappers::MjModel;

use super::child::{self, Failure, Limits};
use super::files::{Library, ModelFiles, Origin};
use super::simulation::{divert_messages, guarded, is_error, set_message_handler};
use super::{format, plugins};
use crate::run::text::printable;

/// What compiling a model may take. The largest models of MuJoCo Menagerie take half a gigabyte and three seconds.
const LIMITS: Limits =
    Limits { memory: 4 << 30, time: Duration::from_secs(120), patience: Duration::from_secs(5) };

/// Bytes for MuJoCo's message: two paths of the longest length that systems allow, and some words.
const MESSAGE: usize = 10_000;

/// Held while MuJoCo's compiler runs in this process, and while a child is split off from it: a lock of the compiler's that
/// another thread held then would stay locked in the child.
static COMPILER: Mutex<()> = Mutex::new(());

/// Compiles a model that comes with the program.
pub(crate) fn built_in(mjcf: &str) -> Result<Arc<MjModel>, String> {
    divert_messages();
    let _alone = COMPILER.lock().unwrap_or_else(PoisonError::into_inner);
    MjModel::from_xml_string(mjcf).map(Arc::new).map_err(|error| error.to_string())
}

/// Compiles the model in a file, and returns it with all files that went into it. The error is one line, without the file's name.
pub(crate) fn from_disk(path: &Path) -> Result<(Arc<MjModel>, ModelFiles), String> {
    let content = super::read_file(path)?;
    format::check(&content)?;
    // The folder is resolved as the system does it, so that `..` in the model's references means what it means there; the
    // name stays, since a link to a model may lie among the files that the model refers to.
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or("is no file")?;
    let main =
        folder.canonicalize().map_err(|error| format!("cannot be found: {error}"))?.join(name);
    let (model, contents) = compile(&main, || Origin::Disk)?;
    Ok((model, ModelFiles { main, contents }))
}

/// Compiles a model from files at hand: nothing is read from the disk.
pub(crate) fn from_files(files: &ModelFiles) -> Result<Arc<MjModel>, String> {
    if let Some(content) = files.contents.get(&files.main) {
        format::check(content)?;
    }
    Ok(compile(&files.main, || Origin::Kept(files))?.0)
}

type Compiled = (Arc<MjModel>, std::collections::BTreeMap<PathBuf, Box<[u8]>>);

fn compile<'a>(main: &Path, origin: impl Fn() -> Origin<'a>) -> Result<Compiled, String> {
    divert_messages();
    let Answer { model, files } = match in_child(main, origin()) {
        // MuJoCo's plugins are libraries of their own, which most models do without.
        Err(message) if message.contains("plugin") => {
            if plugins::load() {
                in_child(main, origin())?
            } else {
                let folder = plugins::folder().display().to_string();
                return Err(format!(
                    "{message}; MuJoCo's plugin libraries are looked for in {folder}"
                ));
            }
        }
        compiled => compiled?,
    };
    let model = guarded(|| MjModel::from_buffer(&model))
        .and_then(|model| model.map_err(|error| error.to_string()))
        .map_err(|error| format!("MuJoCo cannot hold the compiled model: {error}"))?;
    Ok((Arc::new(model), files))
}

/// What the child sends.
struct Answer {
    /// MuJoCo's binary form of the model.
    model: Vec<u8>,
    files: std::collections::BTreeMap<PathBuf, Box<[u8]>>,
}

fn in_child(main: &Path, origin: Origin<'_>) -> Result<Answer, String> {
    let alone = COMPILER.lock().unwrap_or_else(PoisonError::into_inner);
    let name = printable(&main.display().to_string());
    let outcome = child::run(
        LIMITS,
        |connection| encode(in_this_process(main, origin, connection)),
        || {
            let _ = writeln!(
                std::io::stderr(),
                "warning: MuJoCo is still compiling {name}; it is given up after {} seconds",
                LIMITS.time.as_secs()
            );
        },
    );
    drop(alone);
    match outcome {
        Ok(bytes) => {
            decode(&bytes).unwrap_or_else(|| Err("MuJoCo's compiler gave no answer".to_owned()))
        }
        Err(Failure::NotStarted(reason)) => {
            Err(format!("no process to compile it can be started: {reason}"))
        }
        Err(Failure::TooLong) => Err(format!(
            "MuJoCo's compiler takes longer than {} seconds: look for very many geoms, `replicate` or `composite` with large \
             counts, large sizes in <size>, or meshes with very many faces",
            LIMITS.time.as_secs()
        )),
        Err(Failure::Signal(_) | Failure::Silent) => Err(format!(
            "MuJoCo's compiler broke down at it; most often a model asks for more memory than there is, or than the {} GB that \
             one may take: look for large numbers in <size>, height fields, `replicate` and `composite`",
            LIMITS.memory >> 30
        )),
    }
}

/// In the child: compiles, with MuJoCo's errors ending the process.
fn in_this_process(
    main: &Path,
    origin: Origin<'_>,
    connection: &UnixStream,
) -> Result<Answer, String> {
    if let Ok(connection) = connection.try_clone() {
        let _ = CONNECTION.set(Mutex::new(connection));
    }
    set_message_handler(answer_and_leave);
    let library = Library::new(origin, main);
    let path =
        CString::new(main.as_os_str().as_bytes()).map_err(|_| "its name has a NUL character")?;
    let mut message: Vec<c_char> = vec![0; MESSAGE];
    // SAFETY: the path ends in NUL, the file system lives through the call, and the message has the size that is said.
    let model =
        unsafe { mj_loadXML(path.as_ptr(), library.vfs(), message.as_mut_ptr(), MESSAGE as c_int) };
    if model.is_null() {
        // SAFETY: MuJoCo writes a text that ends in NUL within the size given.
        let text = unsafe { CStr::from_ptr(message.as_ptr()) }.to_string_lossy().into_owned();
        return Err(explained(&text, library.last_refused()));
    }
    // SAFETY: the model is valid, and the buffer as long as MuJoCo says. The process ends before it would be freed.
    let bytes = unsafe {
        let size = mj_sizeModel(model);
        let mut bytes = vec![0; size as usize];
        mj_saveModel(model, std::ptr::null(), bytes.as_mut_ptr().cast(), size);
        bytes
    };
    Ok(Answer { model: bytes, files: library.take_read() })
}

/// The child's end of the connection, for errors that MuJoCo's compiler does not return from.
static CONNECTION: OnceLock<Mutex<UnixStream>> = OnceLock::new();

unsafe extern "C-unwind" fn answer_and_leave(message: *const mjLogMessage) {
    // SAFETY: MuJoCo passes a message that lives through the call.
    let message = unsafe { &*message };
    if !is_error(message) {
        return;
    }
    if let Some(connection) = CONNECTION.get() {
        let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
        child::answer(&mut connection, &encode(Err(one_line(message.subject()))));
    }
    // SAFETY: ends the child; the handler must not return.
    unsafe { libc::_exit(0) }
}

/// MuJoCo's message on one line, with the whole name of a file that it could not open.
fn explained(text: &str, refused: Option<(PathBuf, String)>) -> String {
    let line = one_line(text);
    match refused {
        Some((path, reason)) if line.to_lowercase().contains("open") => {
            format!("{line}: {} {reason}", path.display())
        }
        _ => line,
    }
}

/// MuJoCo's message on one line; that of its XML parser, full of codes, made readable.
fn one_line(text: &str) -> String {
    let after = |mark: &str| text.split_once(mark).map(|(_, rest)| rest);
    let word = |rest: &str| {
        rest.split([' ', ':']).next().unwrap_or_default().to_lowercase().replace('_', " ")
    };
    match (after("Error=XML_ERROR_"), after("Line number=").or(after("line="))) {
        (Some(kind), Some(line)) => {
            format!("line {}: not well-formed XML ({})", word(line), word(kind))
        }
        _ => text.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

fn put(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
    bytes.extend_from_slice(part);
}

/// An answer as bytes: parts with their lengths. One part is an error; a model has its files behind it, name and content.
fn encode(answer: Result<Answer, String>) -> Vec<u8> {
    let mut bytes = Vec::new();
    match answer {
        Err(message) => put(&mut bytes, message.as_bytes()),
        Ok(Answer { model, files }) => {
            put(&mut bytes, &[]);
            put(&mut bytes, &model);
            for (path, content) in &files {
                put(&mut bytes, path.as_os_str().as_bytes());
                put(&mut bytes, content);
            }
        }
    }
    bytes
}

/// The inverse of [`encode`]; `None` for anything else.
fn decode(mut bytes: &[u8]) -> Option<Result<Answer, String>> {
    let mut next = || {
        let (length, rest) = bytes.split_at_checked(8)?;
        let length = u64::from_le_bytes(length.try_into().ok()?);
        let (part, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        bytes = rest;
        Some(part)
    };
    let message = next()?;
    if !message.is_empty() {
        return Some(Err(String::from_utf8_lossy(message).into_owned()));
    }
    let model = next()?.to_vec();
    let mut files = std::collections::BTreeMap::new();
    while let Some(name) = next() {
        let path = PathBuf::from(std::ffi::OsStr::from_bytes(name));
        files.insert(path, next()?.into());
    }
    Some(Ok(Answer { model, files }))
}
