//! The files that a model is made of. MuJoCo asks for each by its absolute name, and gets it from here: from the disk, where
//! what was asked for is remembered, or from what a run has kept. No rule for finding files is written twice.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsStr, c_int, c_void};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mujoco_rs::mujoco_c::{
    mj_defaultVFS, mj_deleteVFS, mj_mountVFS, mjResource, mjVFS, mjp_defaultProvider,
    mjpResourceProvider,
};

/// Largest file that is read, in bytes.
const LARGEST: u64 = 1 << 30;

/// A model and all files that it refers to, by absolute name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModelFiles {
    /// The model itself.
    pub main: PathBuf,
    /// Contents, the model's own included.
    pub contents: BTreeMap<PathBuf, Box<[u8]>>,
}

impl ModelFiles {
    /// A model that is one text, under this name in messages.
    pub fn of_text(name: &str, text: &str) -> Self {
        let main = Path::new("/model")
            .join(Path::new(name).file_name().unwrap_or(OsStr::new("model.xml")));
        let contents = BTreeMap::from([(main.clone(), text.as_bytes().into())]);
        Self { main, contents }
    }
}

/// The content of a regular file, or what is wrong with it: "cannot be read: …", "is a named pipe, and no file".
pub(crate) fn read_file(path: &Path) -> Result<Box<[u8]>, String> {
    let cannot = |error: std::io::Error| {
        let text = error.to_string();
        format!("cannot be read: {}", text.split(" (os error").next().unwrap_or(&text))
    };
    // Without waiting: opening a pipe would wait for someone to write into it.
    let file =
        File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    let kind = metadata.file_type();
    if !kind.is_file() {
        let what = if kind.is_dir() {
            "a folder"
        } else if kind.is_fifo() {
            "a named pipe"
        } else {
            "a device or socket"
        };
        return Err(format!("is {what}, and no file"));
    }
    if metadata.len() > LARGEST {
        return Err(format!("is larger than {} GB", LARGEST >> 30));
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > LARGEST {
        return Err(format!("is larger than {} GB", LARGEST >> 30));
    }
    Ok(bytes.into_boxed_slice())
}

/// Where files come from.
pub(crate) enum Origin<'a> {
    /// The disk.
    Disk,
    /// These, and nothing else.
    Kept(&'a ModelFiles),
}

/// Files on their way to MuJoCo.
struct Reader<'a> {
    origin: Origin<'a>,
    /// What was asked for and is there. Nothing is taken out or changed, so that MuJoCo may read where it lies.
    read: BTreeMap<PathBuf, Box<[u8]>>,
    /// What was asked for and cannot be had, and why.
    refused: Vec<(PathBuf, String)>,
}

impl Reader<'_> {
    /// Whether the file can be had.
    fn open(&mut self, path: &Path) -> bool {
        if self.read.contains_key(path) {
            return true;
        }
        let content = match self.origin {
            Origin::Disk => read_file(path),
            Origin::Kept(files) => files
                .contents
                .get(path)
                .cloned()
                .ok_or_else(|| "is not among the files kept".to_owned()),
        };
        match content {
            Ok(content) => {
                self.read.insert(path.to_owned(), content);
                true
            }
            Err(reason) => {
                self.refused.push((path.to_owned(), reason));
                false
            }
        }
    }
}

/// MuJoCo's virtual file system, with every folder of the disk's root in the hands of one [`Reader`].
pub(crate) struct Library<'a> {
    vfs: mjVFS,
    /// MuJoCo keeps pointers to it.
    _provider: Box<mjpResourceProvider>,
    reader: Box<Mutex<Reader<'a>>>,
}

impl<'a> Library<'a> {
    /// Takes over all absolute names. `main` is the model's.
    pub fn new(origin: Origin<'a>, main: &Path) -> Self {
        let mut tops = tops_of(main);
        match origin {
            Origin::Disk => {
                let entries = std::fs::read_dir("/").into_iter().flatten().flatten();
                tops.extend(entries.map(|entry| entry.path()));
            }
            Origin::Kept(files) => {
                tops.extend(files.contents.keys().flat_map(|path| tops_of(path)))
            }
        }
        tops.sort();
        tops.dedup();
        let reader = Reader { origin, read: BTreeMap::new(), refused: Vec::new() };
        let reader = Box::new(Mutex::new(reader));
        let mut vfs = mjVFS { impl_: std::ptr::null_mut() };
        // SAFETY: zeros are a valid value of a structure of pointers.
        let mut provider = Box::new(unsafe { std::mem::zeroed::<mjpResourceProvider>() });
        // SAFETY: the file system is made here and deleted in `drop`. The provider and the reader that it points to have places
        // of their own on the heap and live as long as the file system.
        unsafe {
            mj_defaultVFS(&mut vfs);
            mjp_defaultProvider(&mut *provider);
            provider.prefix = c"ddppo".as_ptr();
            provider.open = Some(open);
            provider.read = Some(read);
            provider.close = Some(close);
            provider.mount = Some(mount);
            provider.data = std::ptr::from_ref(&*reader).cast_mut().cast();
            for top in tops {
                if let Ok(top) = CString::new(top.as_os_str().as_bytes()) {
                    mj_mountVFS(&mut vfs, top.as_ptr(), &*provider);
                }
            }
        }
        Self { vfs, _provider: provider, reader }
    }

    /// For MuJoCo's loader.
    pub fn vfs(&self) -> *const mjVFS {
        &self.vfs
    }

    /// The file that was asked for last and could not be had, and why.
    pub fn last_refused(&self) -> Option<(PathBuf, String)> {
        locked(&self.reader).refused.last().cloned()
    }

    /// All that was read.
    pub fn take_read(&self) -> BTreeMap<PathBuf, Box<[u8]>> {
        std::mem::take(&mut locked(&self.reader).read)
    }
}

impl Drop for Library<'_> {
    fn drop(&mut self) {
        // SAFETY: made in `new`, deleted once.
        unsafe { mj_deleteVFS(&mut self.vfs) };
    }
}

/// The first folder of an absolute path, `/home` of `/home/me/robot.xml`; none for a relative one.
fn tops_of(path: &Path) -> Vec<PathBuf> {
    path.components()
        .find_map(|part| match part {
            Component::Normal(name) => Some(Path::new("/").join(name)),
            _ => None,
        })
        .into_iter()
        .collect()
}

fn locked<'r, 'a>(reader: &'r Mutex<Reader<'a>>) -> MutexGuard<'r, Reader<'a>> {
    reader.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The reader and the name of what MuJoCo asks for.
///
/// # Safety
/// `resource` must be one of a [`Library`]'s provider, within a callback.
unsafe fn asked<'r>(resource: *const mjResource) -> (&'r Mutex<Reader<'r>>, PathBuf) {
    // SAFETY: MuJoCo passes resources whose name and provider live through the callback; the provider's data is the
    // library's reader, which outlives the file system.
    unsafe {
        let name = CStr::from_ptr((*resource).name);
        let reader = (*(*resource).provider).data.cast_const().cast::<Mutex<Reader<'r>>>();
        (&*reader, Path::new(OsStr::from_bytes(name.to_bytes())).to_owned())
    }
}

unsafe extern "C" fn open(resource: *mut mjResource) -> c_int {
    // SAFETY: this is the callback of a library's provider.
    let (reader, path) = unsafe { asked(resource) };
    c_int::from(locked(reader).open(&path))
}

unsafe extern "C" fn read(resource: *mut mjResource, buffer: *mut *const c_void) -> c_int {
    // SAFETY: as in `open`.
    let (reader, path) = unsafe { asked(resource) };
    let reader = locked(reader);
    let Some(content) = reader.read.get(&path) else { return -1 };
    // SAFETY: MuJoCo passes a place for the pointer. The content stays where it is as long as the library lives.
    unsafe { *buffer = content.as_ptr().cast() };
    c_int::try_from(content.len()).unwrap_or(-1)
}

unsafe extern "C" fn close(_resource: *mut mjResource) {}

unsafe extern "C" fn mount(_resource: *mut mjResource) -> c_int {
    1
}
