//! MuJoCo's own plugins (cables, touch grids, signed distance fields, …): libraries beside its own.

use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use mujoco_rs::mujoco_c::mj_version;

/// Loads MuJoCo's plugin libraries, once a process. Says whether there were any.
pub(crate) fn load() -> bool {
    static ONCE: Once = Once::new();
    static FOUND: AtomicBool = AtomicBool::new(false);
    ONCE.call_once(|| {
        let libraries: Vec<PathBuf> = folders().into_iter().flat_map(libraries_in).collect();
        for library in &libraries {
            let Ok(name) = CString::new(library.as_os_str().as_bytes()) else { continue };
            // SAFETY: the libraries lie beside MuJoCo's own and are as trusted; loading one registers its plugins.
            let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
            FOUND.fetch_or(!handle.is_null(), Ordering::Relaxed);
        }
    });
    FOUND.load(Ordering::Relaxed)
}

/// The first folder in which plugins are looked for.
pub(crate) fn folder() -> PathBuf {
    folders().into_iter().next().unwrap_or_default()
}

/// Where plugins lie: beside the library, as in MuJoCo's Python package, or in `bin`, as in its archives.
fn folders() -> Vec<PathBuf> {
    let Some(library) = mujoco_library() else { return Vec::new() };
    let folder = library.parent().unwrap_or(Path::new("/"));
    vec![folder.join("plugin"), folder.join("mujoco_plugin"), folder.join("../bin/mujoco_plugin")]
}

fn libraries_in(folder: PathBuf) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut libraries: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "so"))
        .collect();
    // Plugins are numbered in the order of their registration, which a compiled model remembers.
    libraries.sort();
    libraries
}

/// The library that MuJoCo's functions come from.
fn mujoco_library() -> Option<PathBuf> {
    // SAFETY: zeros are a valid value of a structure of pointers and numbers; the address is one of a loaded function, and
    // the name found lives as long as its library.
    unsafe {
        let mut info = std::mem::zeroed::<libc::Dl_info>();
        let found = libc::dladdr(mj_version as *const libc::c_void, &mut info);
        (found != 0 && !info.dli_fname.is_null())
            .then(|| PathBuf::from(OsStr::from_bytes(CStr::from_ptr(info.dli_fname).to_bytes())))
    }
}
