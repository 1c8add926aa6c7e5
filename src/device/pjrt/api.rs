//! The part of the PJRT C interface that is used here, bound by hand after `xla/pjrt/c/pjrt_c_api.h` of OpenXLA, version 0.81.
//!
//! A plugin is a shared library with one function, which returns a table: its size, its version, and then function pointers whose order
//! never changes; what later versions add comes at the end. Each function takes one structure of arguments, the size of which it
//! checks, and returns null or an error.

use std::ffi::{c_char, c_int, c_void};

/// A function of the table: its only argument is a structure of its own.
type Function = Option<unsafe extern "C" fn(*mut c_void) -> *mut c_void>;

/// How many of the table's functions are known here: all up to the last that is called.
pub(super) const FUNCTIONS: usize = 71;

/// The table.
#[repr(C)]
pub(super) struct Table {
    /// Bytes of the table of this plugin: a shorter one lacks functions.
    pub size: usize,
    extension: *mut c_void,
    pub version: Version,
    pub functions: [Function; FUNCTIONS],
}

/// The version that a plugin speaks.
#[repr(C)]
pub(super) struct Version {
    size: usize,
    extension: *mut c_void,
    pub major: c_int,
    pub minor: c_int,
}

/// What the plugin owns and hands out as a pointer.
pub(super) type Handle = *mut c_void;

/// A structure of arguments: the size and the extension that all begin with, then what the function is about.
#[repr(C)]
pub(super) struct Arguments<T> {
    size: usize,
    extension: *mut c_void,
    pub body: T,
}

impl<T> Arguments<T> {
    pub fn new(body: T) -> Self {
        Self { size: size_of::<Self>(), extension: std::ptr::null_mut(), body }
    }
}

/// A function's structure of arguments, and its place in the table.
///
/// # Safety
/// `Arguments<Self>` must be laid out like the C structure of the function at `PLACE`.
pub(super) unsafe trait Call {
    /// Counted from 0.
    const PLACE: usize;
}

macro_rules! calls {
    ($($(#[$comment:meta])* $place:literal $name:ident { $($(#[$of:meta])* $field:ident: $type:ty),* $(,)? })*) => {$(
        $(#[$comment])*
        #[repr(C)]
        pub(super) struct $name { $($(#[$of])* pub $field: $type),* }
        // SAFETY: the fields are those of the header's structure of this function, in order, behind size and extension; the place was
        // counted in the header's table.
        unsafe impl Call for $name { const PLACE: usize = $place; }
    )*};
}

calls! {
    /// Frees an error; the function returns nothing.
    0 ErrorDestroy { error: Handle }
    /// An error's text, which lives as long as the error; the function returns nothing.
    1 ErrorMessage { error: Handle, message: *const c_char, message_size: usize }
    3 PluginInitialize { }
    5 EventDestroy { event: Handle }
    8 EventAwait { event: Handle }
    10 ClientCreate {
        options: *const Arguments<NamedValue>,
        options_len: usize,
        get: *const c_void,
        get_argument: Handle,
        put: *const c_void,
        put_argument: Handle,
        client: Handle,
        try_get: *const c_void,
        try_get_argument: Handle,
    }
    11 ClientDestroy { client: Handle }
    12 ClientPlatformName { client: Handle, name: *const c_char, name_size: usize }
    /// The devices of this process; the array lives as long as the client.
    16 ClientAddressableDevices { client: Handle, devices: *const Handle, devices_len: usize }
    20 ClientCompile {
        client: Handle,
        program: *const Arguments<ProgramText>,
        options: *const c_char,
        options_size: usize,
        executable: Handle,
    }
    22 ClientBufferFromHost {
        client: Handle,
        data: *const c_void,
        element: c_int,
        dims: *const i64,
        dims_len: usize,
        strides: *const i64,
        strides_len: usize,
        semantics: c_int,
        device: Handle,
        memory: Handle,
        layout: *mut c_void,
        done: Handle,
        buffer: Handle,
    }
    26 DescriptionKind { description: Handle, kind: *const c_char, kind_size: usize }
    29 DeviceDescription { device: Handle, description: Handle }
    34 DeviceMemoryStats {
        device: Handle,
        bytes_in_use: i64,
        peak_bytes_in_use: i64,
        peak_bytes_in_use_is_set: bool,
        /// Numbers of no use here, each followed by whether it is set.
        others: [[i64; 2]; 9],
    }
    50 ExecutableDestroy { executable: Handle }
    55 ExecutableExecute {
        executable: Handle,
        options: *mut Arguments<ExecuteOptions>,
        /// For each device, the arguments.
        arguments: *const *const Handle,
        devices_len: usize,
        arguments_len: usize,
        /// For each device, room for the outputs.
        outputs: *const *mut Handle,
        /// Null: nobody waits for the end but who reads an output.
        done: *mut Handle,
        device: Handle,
    }
    58 BufferDestroy { buffer: Handle }
    /// Bytes of an array where it lies.
    64 BufferSize { buffer: Handle, bytes: usize }
    70 BufferToHost {
        buffer: Handle,
        layout: *mut c_void,
        to: *mut c_void,
        to_size: usize,
        done: Handle,
    }
}

/// A setting of a client: a truth (kind 4) or a number of single precision (kind 3), which lies in the low bytes of a place for eight.
#[repr(C)]
pub(super) struct NamedValue {
    name: *const c_char,
    name_size: usize,
    kind: c_int,
    value: u64,
    value_size: usize,
}

impl NamedValue {
    /// A truth.
    pub fn truth(name: &'static str, value: bool) -> Arguments<Self> {
        Self::new(name, 4, u64::from(value))
    }

    /// A number.
    pub fn single(name: &'static str, value: f32) -> Arguments<Self> {
        Self::new(name, 3, u64::from(value.to_bits()))
    }

    fn new(name: &'static str, kind: c_int, value: u64) -> Arguments<Self> {
        let (name, name_size) = (name.as_ptr().cast(), name.len());
        // Of a machine on which low bytes come first, as all are that plugins are made for.
        Arguments::new(Self { name, name_size, kind, value, value_size: 1 })
    }
}

/// A text to compile.
#[repr(C)]
pub(super) struct ProgramText {
    pub code: *mut c_char,
    pub code_size: usize,
    pub format: *const c_char,
    pub format_size: usize,
}

/// How a program is run: all defaults.
#[repr(C)]
pub(super) struct ExecuteOptions {
    send_callbacks: *mut c_void,
    receive_callbacks: *mut c_void,
    sends: usize,
    receives: usize,
    launch: c_int,
    not_donated: *const i64,
    not_donated_len: usize,
    context: Handle,
    call_location: *const c_char,
    tasks_len: usize,
    tasks: *mut c_int,
    incarnations: *mut i64,
}

impl ExecuteOptions {
    pub fn defaults() -> Self {
        let null = std::ptr::null_mut;
        Self {
            send_callbacks: null(),
            receive_callbacks: null(),
            sends: 0,
            receives: 0,
            launch: 0,
            not_donated: std::ptr::null(),
            not_donated_len: 0,
            context: null(),
            call_location: std::ptr::null(),
            tasks_len: 0,
            tasks: std::ptr::null_mut(),
            incarnations: std::ptr::null_mut(),
        }
    }
}
