//! Choosing the format by the file's name, and writing the file.

use std::path::Path;

use crate::run::storage::{Disk, StorageError, replace};
use crate::train::Trainer;

use super::portable::PortablePolicy;
use super::{c_header, onnx, tensors};

/// Why a policy is not exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The name of the file says no known format.
    #[error("`{0}` must end in .onnx, .safetensors or .h")]
    Format(String),
    /// The policy has broken numbers.
    #[error("the policy after {step} steps has numbers that are not finite, and is not exported")]
    NotFinite {
        /// Environment steps that it has learned from.
        step: u64,
    },
    /// The file cannot be written.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What a policy can be written as.
enum Format {
    Onnx,
    Safetensors,
    CHeader,
}

impl Format {
    fn of(path: &Path) -> Result<Self, ExportError> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("onnx") => Ok(Self::Onnx),
            Some("safetensors") => Ok(Self::Safetensors),
            Some("h") => Ok(Self::CHeader),
            _ => Err(ExportError::Format(path.display().to_string())),
        }
    }
}

/// Whether [`export`] knows what to write to `path`.
///
/// # Errors
/// When it ends in none of the three.
pub fn check_name(path: &Path) -> Result<(), ExportError> {
    Format::of(path).map(drop)
}

/// Writes the policy of a run, as it is now, to `path`, in the format that the path ends in: `.onnx`, `.safetensors` or `.h`. Returns
/// what was written. A file that is there is replaced in one step.
///
/// # Errors
/// When the path ends in something else, the policy is not finite, or the file cannot be written.
pub fn export(run: &Trainer, path: &Path) -> Result<PortablePolicy, ExportError> {
    let policy = PortablePolicy::of_run(run);
    replace(&Disk, path, &written(&policy, path)?)?;
    Ok(policy)
}

/// The content of the file that [`export`] would write to `path`.
///
/// # Errors
/// When the path ends in none of the three, or the policy is not finite.
pub fn written(policy: &PortablePolicy, path: &Path) -> Result<Vec<u8>, ExportError> {
    let format = Format::of(path)?;
    if !policy.is_finite() {
        return Err(ExportError::NotFinite { step: policy.about.step });
    }
    Ok(match format {
        Format::Onnx => onnx::model(policy),
        Format::Safetensors => tensors::file(policy),
        Format::CHeader => c_header::header(policy, path).into_bytes(),
    })
}
