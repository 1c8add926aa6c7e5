//! Which device learns, and where its plugin is.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::pjrt::{Device, DeviceError};

/// Names a plugin's file for `--device gpu`.
const VARIABLE: &str = "DDPPO_PJRT_PLUGIN";
/// Python packages that bring NVIDIA's plugin, newest first.
const PACKAGES: [&str; 2] = ["jax_plugins.xla_cuda13", "jax_plugins.xla_cuda12"];
/// The plugin in such a package.
const FILE: &str = "xla_cuda_plugin.so";

/// Which device learns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The processor, without any plugin.
    #[default]
    Cpu,
    /// NVIDIA's plugin, wherever it is installed.
    Gpu,
    /// A plugin's file.
    Plugin(PathBuf),
}

impl DeviceChoice {
    /// Opens it; `None` where the processor learns.
    ///
    /// # Errors
    /// When there is no such plugin or device: one sentence says what brings it.
    pub fn open(&self) -> Result<Option<Device>, DeviceError> {
        match self {
            Self::Cpu => Ok(None),
            Self::Gpu => Device::open(&gpu_plugin()?).map(Some),
            Self::Plugin(path) => Device::open(path).map(Some),
        }
    }
}

/// The file of NVIDIA's plugin: what the variable names, or what the Python of the path has.
fn gpu_plugin() -> Result<PathBuf, DeviceError> {
    if let Some(path) = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let asked = PACKAGES.map(|package| format!("'{package}'")).join(", ");
    let program = format!(
        "import importlib.util\nfor name in [{asked}]:\n    try:\n        spec = importlib.util.find_spec(name)\n    \
         except ImportError:\n        continue\n    for place in spec.submodule_search_locations if spec else []:\n        \
         print(place)"
    );
    let output = Command::new("python3").args(["-c", &program]).output();
    let asked = match &output {
        Ok(output) if output.status.success() => "`python3` knows no",
        Ok(_) => "`python3` failed when it was asked for a",
        Err(_) => "there is no `python3` that could be asked for a",
    };
    let places = output.map(|output| output.stdout).unwrap_or_default();
    let places = String::from_utf8_lossy(&places).into_owned();
    let found = places.lines().map(|place| Path::new(place).join(FILE)).find(|file| file.is_file());
    found.ok_or_else(|| {
        DeviceError::Missing(format!(
            "{asked} plugin for NVIDIA's cards: `pip install jax-cuda13-pjrt 'jax-cuda13-plugin[with-cuda]'` brings it, or \
             {VARIABLE} names its file (docs/devices.md)"
        ))
    })
}
