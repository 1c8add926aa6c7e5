//! A device: programs are compiled for it, arrays brought there and back.

use std::ffi::c_int;
use std::path::Path;
use std::sync::Arc;

use super::api::{
    Arguments, BufferDestroy, BufferSize, ClientAddressableDevices, ClientBufferFromHost,
    ClientCompile, ClientCreate, ClientDestroy, ClientPlatformName, DescriptionKind,
    DeviceDescription, DeviceMemoryStats, ExecutableDestroy, ExecutableExecute, ExecuteOptions,
    Handle, ProgramText,
};
use super::options::{self, CompileEffort};
use super::plugin::{DeviceError, Plugin, text};

/// Element types of arrays on a device.
pub trait DeviceElement: bytemuck::Pod {
    /// As the interface numbers them.
    const CODE: i32;
}

impl DeviceElement for i32 {
    const CODE: i32 = 4;
}

impl DeviceElement for f32 {
    const CODE: i32 = 11;
}

impl DeviceElement for f64 {
    const CODE: i32 = 12;
}

/// The data are copied before the call that takes them returns.
const COPIED_DURING_CALL: c_int = 0;

/// A client, destroyed when the last array and program of it are.
#[derive(Debug)]
pub(super) struct PluginClient {
    pub(super) plugin: Plugin,
    client: Handle,
    device: Handle,
}

// SAFETY: a client may be used from any thread, several at once.
unsafe impl Send for PluginClient {}
// SAFETY: as above.
unsafe impl Sync for PluginClient {}

impl Drop for PluginClient {
    fn drop(&mut self) {
        // Nothing is left that could use it, and nobody to tell of an error.
        let _ = self.plugin.call("be closed", ClientDestroy { client: self.client });
    }
}

/// The first device of a plugin.
#[derive(Clone, Debug)]
pub struct Device {
    owner: Arc<PluginClient>,
    /// "cpu", "cuda", …
    pub platform: String,
    /// The card's name, for people.
    pub kind: String,
    /// CUDA's tools.
    cuda: Option<String>,
    /// How much of its effort the compiler takes.
    effort: CompileEffort,
}

/// An array on a device.
#[derive(Debug)]
pub struct Buffer {
    pub(super) owner: Arc<PluginClient>,
    pub(super) handle: Handle,
}

// SAFETY: a buffer may be used from any thread, several at once.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl Drop for Buffer {
    fn drop(&mut self) {
        let _ = self.owner.plugin.call("free an array", BufferDestroy { buffer: self.handle });
    }
}

/// A compiled program.
#[derive(Debug)]
pub struct Executable {
    owner: Arc<PluginClient>,
    handle: Handle,
    outputs: usize,
}

// SAFETY: a program may be run from any thread, several at once.
unsafe impl Send for Executable {}
// SAFETY: as above.
unsafe impl Sync for Executable {}

impl Drop for Executable {
    fn drop(&mut self) {
        let executable = self.handle;
        let _ = self.owner.plugin.call("free a program", ExecutableDestroy { executable });
    }
}

impl Device {
    /// The first device of the plugin in a file.
    ///
    /// # Errors
    /// When the file is no plugin that fits, or the plugin finds no device.
    pub fn open(path: &Path) -> Result<Self, DeviceError> {
        let plugin = Plugin::load(path)?;
        let null = std::ptr::null_mut();
        let settings = options::client_settings(path);
        let create = ClientCreate {
            options: settings.as_ptr(),
            options_len: settings.len(),
            get: null,
            get_argument: null,
            put: null,
            put_argument: null,
            client: null,
            try_get: null,
            try_get_argument: null,
        };
        let unusable = |problem: String| {
            let path = path.display().to_string();
            DeviceError::Plugin {
                path,
                problem: format!("finds no device that it can use{problem}"),
            }
        };
        let client = match plugin.call("be opened", create) {
            Ok(create) => create.client,
            Err(DeviceError::Refused { message, .. }) => {
                return Err(unusable(format!(": {message}")));
            }
            Err(error) => return Err(error),
        };
        let mut owner = PluginClient { plugin, client, device: null };
        let asked = ClientAddressableDevices { client, devices: null.cast(), devices_len: 0 };
        let found = owner.plugin.call("name its devices", asked)?;
        if found.devices_len == 0 {
            return Err(unusable(String::new()));
        }
        // SAFETY: the interface gives an array of so many devices, which lives as long as the client; there is at least one.
        owner.device = unsafe { *found.devices };
        let asked = ClientPlatformName { client, name: std::ptr::null(), name_size: 0 };
        let name = owner.plugin.call("name its platform", asked)?;
        let platform = text(name.name, name.name_size).to_lowercase();
        let asked = DeviceDescription { device: owner.device, description: null };
        let description = owner.plugin.call("describe itself", asked)?.description;
        let asked = DescriptionKind { description, kind: std::ptr::null(), kind_size: 0 };
        let kind = owner.plugin.call("describe itself", asked)?;
        let kind = text(kind.kind, kind.kind_size);
        Ok(Self {
            owner: Arc::new(owner),
            platform,
            kind,
            cuda: options::cuda_folder(path),
            effort: CompileEffort::Full,
        })
    }

    /// This device with another effort in compiling.
    pub fn compiled_with(self, effort: CompileEffort) -> Self {
        Self { effort, ..self }
    }

    /// Compiles a program given as StableHLO text; `outputs` is how many arrays it returns.
    ///
    /// # Errors
    /// When the compiler refuses it.
    pub fn compile(&self, program: &str, outputs: usize) -> Result<Executable, DeviceError> {
        let format = "mlir";
        let program = Arguments::new(ProgramText {
            code: program.as_ptr().cast_mut().cast(),
            code_size: program.len(),
            format: format.as_ptr().cast(),
            format_size: format.len(),
        });
        let options = options::compile_options(&self.platform, self.cuda.as_deref(), self.effort);
        let compile = ClientCompile {
            client: self.owner.client,
            program: &raw const program,
            options: options.as_ptr().cast(),
            options_size: options.len(),
            executable: std::ptr::null_mut(),
        };
        let handle = self.owner.plugin.call("compile a program", compile)?.executable;
        Ok(Executable { owner: Arc::clone(&self.owner), handle, outputs })
    }

    /// Brings an array to the device, row-major, of shape `dims`.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn upload<T: DeviceElement>(
        &self,
        data: &[T],
        dims: &[usize],
    ) -> Result<Buffer, DeviceError> {
        assert_eq!(data.len(), dims.iter().product::<usize>(), "an array of shape {dims:?}");
        let dims: Vec<i64> = dims.iter().map(|&d| d as i64).collect();
        let null = std::ptr::null_mut();
        let arguments = ClientBufferFromHost {
            client: self.owner.client,
            data: data.as_ptr().cast(),
            element: T::CODE,
            dims: dims.as_ptr(),
            dims_len: dims.len(),
            strides: std::ptr::null(),
            strides_len: 0,
            semantics: COPIED_DURING_CALL,
            device: self.owner.device,
            memory: null,
            layout: null,
            done: null,
            buffer: null,
        };
        let made = self.owner.plugin.call("take an array", arguments)?;
        self.owner.plugin.forget(made.done);
        Ok(Buffer { owner: Arc::clone(&self.owner), handle: made.buffer })
    }

    /// Bytes of device memory in use now, and at most so far; `None` where the plugin does not count.
    pub fn memory(&self) -> Option<(u64, Option<u64>)> {
        let arguments = DeviceMemoryStats {
            device: self.owner.device,
            bytes_in_use: 0,
            peak_bytes_in_use: 0,
            peak_bytes_in_use_is_set: false,
            others: [[0; 2]; 9],
        };
        let stats = self.owner.plugin.call("count its memory", arguments).ok()?;
        let peak = stats.peak_bytes_in_use_is_set.then_some(stats.peak_bytes_in_use as u64);
        Some((stats.bytes_in_use as u64, peak))
    }
}

impl Executable {
    /// Runs the program. What it returns may be used at once: whoever reads it waits. Arguments that the program was told to overwrite are
    /// gone afterwards.
    ///
    /// # Errors
    /// When the arguments do not fit, or the device fails.
    pub fn run(&self, arguments: &[&Buffer]) -> Result<Vec<Buffer>, DeviceError> {
        let handles: Vec<Handle> = arguments.iter().map(|buffer| buffer.handle).collect();
        let mut outputs: Vec<Handle> = vec![std::ptr::null_mut(); self.outputs];
        let of_devices = [handles.as_ptr()];
        let to_devices = [outputs.as_mut_ptr()];
        let mut options = Arguments::new(ExecuteOptions::defaults());
        let execute = ExecutableExecute {
            executable: self.handle,
            options: &raw mut options,
            arguments: of_devices.as_ptr(),
            devices_len: 1,
            arguments_len: handles.len(),
            outputs: to_devices.as_ptr(),
            done: std::ptr::null_mut(),
            device: std::ptr::null_mut(),
        };
        self.owner.plugin.call("run a program", execute)?;
        let owner = || Arc::clone(&self.owner);
        Ok(outputs.into_iter().map(|handle| Buffer { owner: owner(), handle }).collect())
    }
}

impl Buffer {
    /// Bytes that it takes on the device.
    ///
    /// # Errors
    /// When the plugin cannot say.
    pub fn bytes(&self) -> Result<u64, DeviceError> {
        let asked = BufferSize { buffer: self.handle, bytes: 0 };
        Ok(self.owner.plugin.call("measure an array", asked)?.bytes as u64)
    }
}
