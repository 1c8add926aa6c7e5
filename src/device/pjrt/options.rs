//! How clients are made and programs compiled, the latter in the form that the interface takes: a message in protocol buffers' encoding, of which three kinds of
//! field are needed.

use std::path::Path;

use super::api::{Arguments, NamedValue};

/// How hard a compiler tries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CompileEffort {
    /// For programs that run long.
    #[default]
    Full,
    /// For programs that are soon compiled, and slower: a test that runs each a few times is over in half the time.
    Little,
}

/// What a client of the plugin in this file is told. NVIDIA's would take three quarters of the card's memory at its beginning, from other
/// programs and from the rest of this one's needs alike; so it takes what is needed, and nearly all if need be. It is known by its
/// file's name: other plugins refuse its settings.
pub(super) fn client_settings(plugin: &Path) -> Vec<Arguments<NamedValue>> {
    let name = plugin.file_name().unwrap_or_default().to_string_lossy();
    if !name.contains("cuda") {
        return Vec::new();
    }
    vec![NamedValue::truth("preallocate", false), NamedValue::single("memory_fraction", 0.95)]
}

/// XLA's flags for each platform, by the beginning of its name: as few choices by timing and sums in a free order as it can be told to make.
const FLAGS: [(&str, &[(&str, Flag)]); 2] = [
    // Algorithms are chosen by rule instead of by timing, and nothing is summed by atomic additions. Triton's products need timing to find
    // their tiles; those of cuBLAS have rules.
    (
        "cuda",
        &[
            ("xla_gpu_autotune_level", Flag::Number(0)),
            ("xla_gpu_deterministic_ops", Flag::Truth(true)),
            ("xla_gpu_exclude_nondeterministic_ops", Flag::Truth(true)),
            ("xla_gpu_enable_triton_gemm", Flag::Truth(false)),
            // Kernels that do not wait for each other run side by side: a policy's update of one run on an H200 0.83 → 0.65 ms.
            ("xla_gpu_command_buffer_scheduling_mode", Flag::Name("CONCURRENT")),
        ],
    ),
    // YNNPACK's products sum in an order that depends on how many runs there are; without them, bits do not.
    ("cpu", &[("xla_cpu_experimental_ynn_fusion_type", Flag::Nothing)]),
];

#[derive(Clone, Copy)]
enum Flag {
    Truth(bool),
    Number(u8),
    /// Of a value that has a name.
    Name(&'static str),
    /// Of a list: it is empty.
    Nothing,
}

/// Where NVIDIA's Python packages lie beside a plugin's package, as JAX looks for them: with them come the tools that programs for CUDA
/// are built with.
const CUDA_FOLDERS: [&str; 2] = ["nvidia/cu13", "nvidia/cuda_nvcc"];
/// CUDA's assembler in its folder. Packages of libraries alone make the same folders without it.
const ASSEMBLER: &str = "bin/ptxas";
/// Names CUDA's folder, as for JAX.
const VARIABLE: &str = "CUDA_ROOT";

/// The folder of CUDA's tools for the plugin in `site-packages/jax_plugins/NAME/`; `None` where there is none, and XLA looks by itself.
pub(super) fn cuda_folder(plugin: &Path) -> Option<String> {
    if let Some(folder) = std::env::var(VARIABLE).ok().filter(|folder| !folder.is_empty()) {
        return Some(folder);
    }
    let packages = plugin.parent()?.parent()?.parent()?;
    let mut folders = CUDA_FOLDERS.iter().map(|folder| packages.join(folder));
    Some(folders.find(|folder| folder.join(ASSEMBLER).is_file())?.to_str()?.to_owned())
}

/// The options for programs of a platform; `cuda` as [`cuda_folder`] gives it.
pub(super) fn compile_options(
    platform: &str,
    cuda: Option<&str>,
    effort: CompileEffort,
) -> Vec<u8> {
    // ExecutableBuildOptions: device_ordinal (1) = −1, num_replicas (4) = 1, num_partitions (5) = 1.
    let mut build = vec![0x08];
    build.extend([0xFF; 9]);
    build.extend([0x01, 0x20, 1, 0x28, 1]);
    let mut options = message(3, &build);
    let flags = FLAGS.iter().find(|(name, _)| platform.starts_with(name));
    for (name, flag) in flags.map_or(&[][..], |(_, flags)| flags) {
        let value = match *flag {
            Flag::Truth(value) => vec![0x10, u8::from(value)],
            Flag::Number(value) => vec![0x18, value],
            Flag::Name(value) => message(1, value.as_bytes()),
            Flag::Nothing => message(1, b""),
        };
        options.extend(setting(name, &value));
    }
    if effort == CompileEffort::Little {
        options.extend(setting("xla_backend_optimization_level", &[0x18, 0]));
    }
    if let Some(folder) = cuda.filter(|_| platform.starts_with("cuda")) {
        options.extend(setting("xla_gpu_cuda_data_dir", &message(1, folder.as_bytes())));
    }
    options
}

/// An entry of the map of flags.
fn setting(name: &str, value: &[u8]) -> Vec<u8> {
    let mut entry = message(1, name.as_bytes());
    entry.extend(message(2, value));
    message(7, &entry)
}

/// A field with a length: a text or a message.
fn message(field: u8, content: &[u8]) -> Vec<u8> {
    let mut all = vec![field << 3 | 2];
    let mut length = content.len();
    // Seven bits a byte, the lowest first.
    while length > 127 {
        all.push((length & 127) as u8 | 128);
        length >>= 7;
    }
    all.push(length as u8);
    all.extend(content);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: CompileEffort = CompileEffort::Full;

    #[test]
    fn options_are_encoded_as_protocol_buffers_are() {
        let minus_one = [0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01];
        let plain: Vec<u8> =
            [0x1A, 15].into_iter().chain(minus_one).chain([0x20, 1, 0x28, 1]).collect();
        assert_eq!(compile_options("tpu", Some("/cuda"), FULL), plain);
        let cpu = compile_options("cpu", Some("/cuda"), FULL);
        assert!(cpu.starts_with(&plain));
        assert!(cpu.ends_with(b"\x0a\x24xla_cpu_experimental_ynn_fusion_type\x12\x02\x0a\x00"));
        let little = compile_options("cpu", None, CompileEffort::Little);
        assert!(
            little.starts_with(&cpu) && little.ends_with(b"_optimization_level\x12\x02\x18\x00")
        );
        let cuda = compile_options("cuda", None, FULL);
        let flag = b"\x0a\x19xla_gpu_deterministic_ops\x12\x02\x10\x01";
        assert!(cuda.starts_with(&plain) && cuda.windows(flag.len()).any(|w| w == flag));
        let folder = "x".repeat(200);
        let longer = compile_options("cuda", Some(&folder), FULL);
        // The map's entry of 3 + 21 + 2 + 3 + 200 bytes, and its head of three.
        assert_eq!(longer.len(), cuda.len() + 3 + 23 + 3 + 203);
        assert!(longer.ends_with(folder.as_bytes()));
    }
}
