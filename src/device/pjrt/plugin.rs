//! A loaded plugin: the one place where its functions are called, and its errors become sentences.

use std::ffi::c_char;
use std::path::Path;

use libloading::{Library, Symbol};

use super::api::{
    Arguments, Call, ErrorDestroy, ErrorMessage, EventAwait, EventDestroy, FUNCTIONS, Handle,
    PluginInitialize, Table,
};

/// The major version that all plugins have had so far; another one is another interface.
const MAJOR: i32 = 0;

/// What goes wrong with a device.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// There is no plugin.
    #[error("{0}")]
    Missing(String),
    /// A file is not a plugin that this program can use.
    #[error("{path}: {problem}")]
    Plugin {
        /// The plugin's file.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// The plugin refused something.
    #[error("the device could not {what}: {message}")]
    Refused {
        /// What it was asked for.
        what: &'static str,
        /// What it says.
        message: String,
    },
    /// A run asks for what no device program does.
    #[error("{0}")]
    Unsupported(String),
}

/// A plugin, initialised. It stays loaded to the end of the process: plugins have threads that outlive their clients.
#[derive(Debug)]
pub(super) struct Plugin {
    table: *const Table,
}

// SAFETY: the table is constant once the plugin is initialised, and the interface is thread-safe by its contract.
unsafe impl Send for Plugin {}
// SAFETY: as above.
unsafe impl Sync for Plugin {}

impl Plugin {
    /// Loads the plugin in a file.
    pub fn load(path: &Path) -> Result<Self, DeviceError> {
        let problem =
            |problem: String| DeviceError::Plugin { path: path.display().to_string(), problem };
        // SAFETY: the user named this file as a plugin; what its initialisers do is its own affair, as with any library that is linked.
        let library = unsafe { Library::new(path) };
        let library = library.map_err(|error| {
            // The reason is the cause.
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            problem(format!("cannot be loaded: {}", cause.unwrap_or_else(|| error.to_string())))
        })?;
        // SAFETY: that is the function's type in the interface.
        let entry: Result<Symbol<'_, unsafe extern "C" fn() -> *const Table>, _> =
            unsafe { library.get(b"GetPjrtApi\0") };
        let entry = entry.map_err(|_| {
            problem("is no PJRT plugin: it has no function `GetPjrtApi`".to_owned())
        })?;
        // SAFETY: the function takes nothing and may be called at any time.
        let table = unsafe { entry() };
        // Never unloaded.
        std::mem::forget(library);
        if table.is_null() {
            return Err(problem("gives no table of functions".to_owned()));
        }
        // SAFETY: not null, and by the interface a table that lives as long as the library, which is for good. Every version begins
        // with size and version; that the functions reach is checked before one is read.
        let (size, major, minor) =
            unsafe { ((*table).size, (*table).version.major, (*table).version.minor) };
        if major != MAJOR || size < size_of::<Table>() {
            return Err(problem(format!(
                "speaks version {major}.{minor} of the PJRT interface with {} functions; this program needs version {MAJOR} with \
                 {FUNCTIONS} or more",
                size.saturating_sub(size_of::<Table>() - FUNCTIONS * 8) / 8
            )));
        }
        let plugin = Self { table };
        plugin.call("initialise its plugin", PluginInitialize {})?;
        Ok(plugin)
    }

    /// Calls a function; its structure of arguments comes back with what the function wrote into it. The fields of `body` must be what
    /// the function's description asks for: pointers that are valid during the call, handles that have not been destroyed.
    pub fn call<T: Call>(&self, what: &'static str, body: T) -> Result<T, DeviceError> {
        let mut arguments = Arguments::new(body);
        let error = self.raw(&mut arguments);
        if error.is_null() {
            return Ok(arguments.body);
        }
        Err(DeviceError::Refused { what, message: self.take_message(error) })
    }

    fn raw<T: Call>(&self, arguments: &mut Arguments<T>) -> Handle {
        // SAFETY: the table lives for good, and has at least so many functions.
        let function = unsafe { (*self.table).functions[T::PLACE] };
        let function = function.expect("a plugin has all functions of its version");
        // SAFETY: `Call` promises that the structure is that of the function; the callers' duty is the contents.
        unsafe { function(std::ptr::from_mut(arguments).cast()) }
    }

    /// An error's text in one line; the error is freed.
    fn take_message(&self, error: Handle) -> String {
        let mut arguments =
            Arguments::new(ErrorMessage { error, message: std::ptr::null(), message_size: 0 });
        // These two functions return nothing, so what seems to be returned is not looked at.
        let _ = self.raw(&mut arguments);
        let ErrorMessage { message, message_size, .. } = arguments.body;
        let text = text(message, message_size);
        let _ = self.raw(&mut Arguments::new(ErrorDestroy { error }));
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let lower = text.to_lowercase();
        let full = ["resource_exhausted", "out of memory"].iter().any(|sign| lower.contains(sign));
        let advice =
            if full { " (fewer runs at once need less: docs/devices.md, \"Memory\")" } else { "" };
        text + advice
    }

    /// Waits for an event, and frees it.
    pub fn wait(&self, what: &'static str, event: Handle) -> Result<(), DeviceError> {
        if event.is_null() {
            return Ok(());
        }
        let waited = self.call(what, EventAwait { event });
        self.call(what, EventDestroy { event })?;
        waited.map(drop)
    }

    /// Frees an event that nobody waits for.
    pub fn forget(&self, event: Handle) {
        if !event.is_null() {
            // Nothing depends on it.
            let _ = self.call("forget an event", EventDestroy { event });
        }
    }
}

/// A text that a plugin points to; empty where there is none.
pub(super) fn text(start: *const c_char, size: usize) -> String {
    if start.is_null() {
        return String::new();
    }
    // SAFETY: the interface gives start and size of a text that lives as long as its owner, which the caller holds.
    let bytes = unsafe { std::slice::from_raw_parts(start.cast::<u8>(), size) };
    String::from_utf8_lossy(bytes).into_owned()
}
